"""MFCC features are librosa's numbers; the spectrum's follow from what they mean; both need bounded memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.tasks.extractors.audio.spectra import (
    MFCC,
    SPECTRUM,
    audio_mfcc,
    audio_spectrum,
    deltas,
    log_mel,
    mel_filters,
    mfcc,
    power_spectrogram,
    spectrum,
)

Floats = np.ndarray[Any, np.dtype[np.float32]]
RUN = audio_mfcc(MFCC, None)
STATISTICS = audio_spectrum(SPECTRUM, None)
FILTERS = mel_filters(16_000, 400, 40)
seeds = st.integers(0, 2**32 - 1)


def features(*recordings: Floats) -> Floats:
    embedded = RUN(recordings)
    assert isinstance(embedded, np.ndarray)
    return embedded


def statistics(*recordings: Floats) -> tuple[Floats, Floats, Floats]:
    """Levels (n,), deviations (n, 40) and quarters (n, 4, 40) of audio_spectrum."""
    embedded = STATISTICS(recordings)
    assert isinstance(embedded, np.ndarray)
    return embedded[:, 0], embedded[:, 1:41], embedded[:, 41:].reshape(-1, 4, 40)


def noise(seed: int, samples: int, loudness: float = 0.1) -> Floats:
    return (loudness * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


# What librosa 0.11.0 gives for this signal: feature.mfcc(y=…, sr=16000, n_mfcc=20, n_fft=400, hop_length=160,
# n_mels=40) and feature.delta(…, order=1 and 2), means, then standard deviations over time. librosa itself takes up to
# a minute to start the first time; make bench compares with it directly.
SECONDS = np.arange(19_200) / 16_000
SIGNAL = 0.3 * np.sin(2 * np.pi * (200 * SECONDS + 900 * SECONDS**2)) + 0.1 * np.sin(2 * np.pi * 2_900 * SECONDS) * (
    SECONDS > 0.5
)
GOLDEN = np.array(
    [
        -355.9690, 21.3050, -34.2361, 8.1966, -5.4561, -14.0151, 7.6356, -10.9148, -4.2506, 10.7747,
        -12.7533, -0.7304, 10.9095, -13.1393, 0.3615, 9.8983, -11.1517, 1.4973, 8.1085, -9.1956,
        0.4989, -0.9051, -0.8036, 0.0890, -0.3353, -0.4768, 0.1335, -0.0227, -0.2203, 0.1591,
        0.1427, -0.0253, 0.1166, 0.1664, 0.1044, 0.0648, 0.0880, 0.1445, 0.0233, -0.0172,
        1.1086, 0.2256, -0.0953, -0.2352, -0.0570, 0.1079, -0.0922, 0.0181, 0.1455, 0.0197,
        0.0300, 0.0783, 0.0519, 0.0545, 0.0139, 0.0359, 0.0588, -0.0370, -0.0099, 0.0464,
        30.7609, 46.1881, 52.3422, 47.5440, 35.8216, 36.5842, 32.4201, 32.9864, 25.2722, 27.3574,
        21.3258, 16.9027, 18.8096, 16.7400, 12.0172, 14.8360, 12.4833, 8.2814, 9.3916, 9.6035,
        5.5677, 1.5030, 1.9827, 3.1430, 2.5414, 3.0294, 3.1032, 3.3940, 2.9832, 3.0777,
        2.4120, 2.3884, 2.0960, 2.3418, 1.9291, 2.0557, 1.6608, 1.4233, 1.2339, 1.3478,
        4.2942, 0.8501, 0.7201, 1.3825, 0.5996, 0.7495, 0.8062, 0.4794, 0.6352, 0.6762,
        0.5535, 0.5483, 0.5448, 0.5897, 0.5027, 0.5753, 0.4577, 0.4181, 0.3490, 0.4348,
    ]
)  # fmt: skip


def test_the_features_are_librosas() -> None:
    embedded = features(SIGNAL.astype(np.float32))
    assert embedded.shape == (1, MFCC.dim)
    assert embedded.dtype == np.float32
    np.testing.assert_allclose(embedded[0], GOLDEN, atol=MFCC.tolerance, rtol=0)


def test_the_spectrums_golden_values() -> None:
    embedded = np.asarray(STATISTICS([SIGNAL.astype(np.float32)]))
    assert embedded.shape == (1, SPECTRUM.dim)
    assert embedded[0, 0] == pytest.approx(GOLDEN[0] / np.sqrt(40), abs=1e-3)  # as librosa has it
    np.testing.assert_allclose(
        embedded[0, :5], [-56.2836, 11.3250, 15.8609, 20.4863, 23.5309], atol=SPECTRUM.tolerance, rtol=0
    )
    assert np.linalg.norm(embedded) == pytest.approx(269.374, abs=0.01)


@pytest.mark.parametrize(("rate", "n_fft", "n_mels"), [(16_000, 400, 40), (16_000, 1024, 128), (44_100, 2048, 64)])
def test_the_filters_are_librosas(rate: int, n_fft: int, n_mels: int) -> None:
    from librosa.filters import mel  # this part of librosa starts fast

    np.testing.assert_allclose(mel_filters(rate, n_fft, n_mels).T, mel(sr=rate, n_fft=n_fft, n_mels=n_mels), atol=1e-7)


@given(st.integers(1, 40_000), st.sampled_from([(400, 160), (512, 512), (1024, 256)]), seeds)
def test_blocks_join_without_a_seam(length: int, shape: tuple[int, int], seed: int) -> None:
    n_fft, hop = shape
    samples = noise(seed, length)
    power = np.concatenate(list(power_spectrogram(samples, n_fft, hop)))
    assert power.shape == (1 + length // hop, n_fft // 2 + 1)
    frame = int(np.random.default_rng(seed).integers(len(power)))
    around = np.pad(samples, n_fft)[frame * hop + n_fft // 2 :][:n_fft].astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    np.testing.assert_allclose(power[frame], np.abs(np.fft.rfft(around * window)) ** 2, rtol=1e-3, atol=1e-5)


@given(st.floats(60, 7_800))
def test_a_tone_is_loudest_in_the_band_at_its_pitch(hertz: float) -> None:
    tone = np.sin(2 * np.pi * hertz * np.arange(8_000) / 16_000).astype(np.float32)
    loudest = FILTERS[:, log_mel(tone, FILTERS, 160).mean(axis=0).argmax()]
    centre = np.average(np.arange(201) * 40.0, weights=loudest)
    assert centre == pytest.approx(hertz, abs=80, rel=0.1)


@given(seeds, st.floats(0.05, 20))
def test_loudness_moves_only_the_first_mean(seed: int, gain: float) -> None:
    samples = noise(seed, 8_000, 0.01)
    quiet, loud = features(samples, samples * np.float32(gain))
    expected = np.zeros(120)
    expected[0] = 20 * np.log10(gain) * np.sqrt(40)
    np.testing.assert_allclose(loud - quiet, expected, atol=2e-3)


@given(seeds, st.floats(0.05, 20))
def test_loudness_moves_only_the_spectrums_level(seed: int, gain: float) -> None:
    samples = noise(seed, 8_000, 0.01)
    levels, deviations, quarters = statistics(samples, samples * np.float32(gain))
    assert levels[1] - levels[0] == pytest.approx(20 * np.log10(gain), abs=2e-3)
    np.testing.assert_allclose(deviations[0], deviations[1], atol=2e-3)
    np.testing.assert_allclose(quarters[0], quarters[1], atol=2e-3)


@given(seeds, st.integers(1, 100).map(lambda frames: 4 * frames))
def test_the_quarters_are_in_their_order_and_their_means_are_the_bands_means(seed: int, frames: int) -> None:
    samples = noise(seed, 160 * frames - 1) * np.linspace(1, 30, 160 * frames - 1, dtype=np.float32)
    levels, _, (quarters, backwards) = statistics(samples, samples[::-1])
    bands = spectrum(samples)
    assert len(bands) == frames
    np.testing.assert_allclose(levels[0] + quarters.mean(axis=0), bands.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(levels[0] + quarters[3], bands[-frames // 4 :].mean(axis=0), atol=1e-3)
    assert quarters[0].mean() < quarters[3].mean()
    assert backwards[0].mean() > backwards[3].mean()


@given(seeds, st.integers(8, 100))
def test_backwards_in_time_only_the_mean_first_derivative_turns(seed: int, frames: int) -> None:
    samples = noise(seed, 160 * frames + 1) * np.linspace(1, 3, 160 * frames + 1, dtype=np.float32)
    forth, back = features(samples, samples[::-1])
    back[20:40] *= -1
    np.testing.assert_allclose(back, forth, atol=1e-3)


@given(st.integers(1, 3_000), seeds, st.sampled_from([0, 1e-30, 1e-6, 1]))
def test_the_shortest_and_the_silent_have_finite_features(length: int, seed: int, loudness: float) -> None:
    recording = noise(seed, length, loudness)
    assert np.isfinite(features(recording)).all()
    assert np.isfinite(np.asarray(STATISTICS([recording]))).all()


@settings(max_examples=20)
@given(st.permutations(range(6)))
def test_a_recordings_features_do_not_depend_on_its_batch(order: list[int]) -> None:
    recordings = [noise(seed, 700 * (seed + 1)) for seed in range(6)]
    np.testing.assert_array_equal(features(*(recordings[i] for i in order)), features(*recordings)[order])
    assert features().shape == (0, MFCC.dim)


def test_a_straight_line_has_its_slope_and_no_curvature() -> None:
    line = np.outer(np.arange(20), [1, -3]).astype(np.float32)
    np.testing.assert_allclose(deltas(line, 9, 1), np.broadcast_to([1, -3], (20, 2)), atol=1e-5)
    np.testing.assert_allclose(deltas(line, 9, 2), 0, atol=1e-5)


def test_a_flat_spectrum_has_only_the_first_coefficient() -> None:
    np.testing.assert_allclose(mfcc(np.full((1, 40), -30, np.float32), 3), [[-30 * np.sqrt(40), 0, 0]], atol=1e-4)


def test_ten_minutes_need_little_more_memory_than_themselves() -> None:
    samples = noise(0, 600 * 16_000)
    features(samples[:16_000])
    tracemalloc.start()
    features(samples)
    STATISTICS([samples])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * samples.nbytes
