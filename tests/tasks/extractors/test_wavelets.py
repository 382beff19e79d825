"""Wavelet features follow from what they mean: energy is kept, octaves and quarters are in their places."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otzyv.tasks.extractors.audio.wavelets import CARD, audio_wavelet, evenness, octaves

Floats = np.ndarray[Any, np.dtype[np.float32]]
RUN = audio_wavelet(CARD, None)
seeds = st.integers(0, 2**32 - 1)


def features(recording: Floats) -> tuple[float, Floats, Floats, Floats]:
    """Power, shares (8,), evenness (8,) and quarters (8, 4)."""
    (row,) = np.asarray(RUN([recording]))
    assert row.shape == (CARD.dim,)
    return float(row[0]), row[1:9], row[9:17], row[17:].reshape(8, 4)


def noise(seed: int, samples: int, loudness: float = 0.1) -> Floats:
    return (loudness * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_golden_values() -> None:
    seconds = np.arange(19_200) / 16_000
    sweep = (0.3 * np.sin(2 * np.pi * (200 * seconds + 900 * seconds**2))).astype(np.float32)
    (row,) = np.asarray(RUN([sweep]))
    np.testing.assert_allclose(row[:5], [-13.4679, -23.2546, -7.3553, -3.6007, -6.3224], atol=CARD.tolerance, rtol=0)
    assert np.linalg.norm(row) == pytest.approx(100.944, abs=0.01)


@given(st.integers(1, 20_000), seeds)
def test_no_energy_is_lost_or_made(length: int, seed: int) -> None:
    samples = noise(seed, length)
    kept = sum(float((band.astype(np.float64) ** 2).sum()) for band in octaves(samples))
    assert kept == pytest.approx(float((samples.astype(np.float64) ** 2).sum()), rel=1e-4)


@given(st.integers(0, 6), st.floats(1.3, 1.6))
def test_a_tone_is_loudest_in_its_octave(band: int, place: float) -> None:
    hertz = 8_000 / 2 ** (band + 1) * place
    _, shares, _, _ = features(np.sin(2 * np.pi * hertz * np.arange(32_000) / 16_000).astype(np.float32))
    assert shares.argmax() == band


@given(seeds, st.floats(0.05, 20))
def test_loudness_moves_only_the_power(seed: int, gain: float) -> None:
    samples = noise(seed, 8_000, 0.01)
    (quiet, *rest), (loud, *same) = features(samples), features(samples * np.float32(gain))
    assert loud - quiet == pytest.approx(20 * np.log10(gain), abs=1e-3)
    for one, other in zip(rest, same, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@given(seeds, st.integers(0, 3))
def test_a_noise_is_heard_in_its_quarter(seed: int, quarter: int) -> None:
    samples = np.zeros(32_000, np.float32)
    samples[8_000 * quarter : 8_000 * (quarter + 1)] = noise(seed, 8_000)
    _, _, spread, quarters = features(samples)
    assert (quarters[:6].argmax(axis=1) == quarter).all()
    assert quarters[0, quarter] == pytest.approx(10 * np.log10(4), abs=0.1)
    assert (features(noise(seed, 32_000))[2][:6] > spread[:6]).all()


@given(st.integers(2, 1_000), st.floats(1e-9, 1e9))
def test_evenness_goes_from_one_moment_to_all_alike(length: int, energy: float) -> None:
    moment = np.zeros(length)
    moment[length // 2] = energy
    assert evenness(moment) == pytest.approx(0, abs=1e-6)
    assert evenness(np.full(length, energy)) == pytest.approx(1, abs=1e-6)


@given(st.integers(1, 3_000), seeds, st.sampled_from([0, 1e-30, 1e-6, 1]))
def test_the_shortest_and_the_silent_have_finite_features(length: int, seed: int, loudness: float) -> None:
    assert np.isfinite(np.asarray(RUN([noise(seed, length, loudness)]))).all()
    assert np.asarray(RUN([])).shape == (0, CARD.dim)


def test_ten_minutes_need_few_times_their_memory() -> None:
    samples = noise(0, 600 * 16_000)
    features(samples[:16_000])
    tracemalloc.start()
    features(samples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * samples.nbytes
