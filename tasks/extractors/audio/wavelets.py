"""What a recording sounds like by its wavelets: how much of it lies in each octave, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.media.inputs import AudioInput
from otzyv.tasks.models.weights import Weights

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

_RATE, _WAVELET, _LEVELS, _PARTS = 16_000, "db4", 7, 4
_BANDS = _LEVELS + 1
_DIM = 1 + 2 * _BANDS + _PARTS * _BANDS
_RANGE_DB, _PART_RANGE_DB = 60, 20
_LEAST_POWER = 1e-10

CARD = Card(
    name="audio_wavelet",
    version=1,
    modality="audio",
    doc="energy in each octave of a wavelet transform, how evenly it is spread over time, and over the four quarters",
    licence="Apache-2.0",
    source="this project, with PyWavelets; Mallat 1989; Coifman, Wickerhauser 1992",
    dim=_DIM,
    input=AudioInput(_RATE),
    tolerance=1e-3,
    profiles=frozenset({"embedded", "standard"}),
    settings=(
        ("wavelet", _WAVELET), ("mode", "zero"), ("levels", _LEVELS), ("parts", _PARTS), ("range_db", _RANGE_DB),
        ("part_range_db", _PART_RANGE_DB),
    ),
    batch_rows=8,
    notes=f"Bands: 0 to {_LEVELS - 1} the octaves from 4-8 kHz down to 62-125 Hz, {_LEVELS} what lies below. "
    f"Value 0: the recording's power in dB of full scale; 1 to {_BANDS}: each band's share of the energy in dB, at "
    f"least -{_RANGE_DB}; {1 + _BANDS} to {2 * _BANDS}: entropy of each band's energy over time, 0 one moment, 1 "
    f"spread evenly; {1 + 2 * _BANDS} + band * {_PARTS} + quarter: the quarter's energy over the band's mean one, in "
    f"dB, at least -{_PART_RANGE_DB}.",
)  # fmt: skip


@register(CARD)
def audio_wavelet(card: Card, weights: Weights | None) -> Run:
    def run(recordings: Sequence[Floats]) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.array([describe(samples) for samples in recordings], np.float32).reshape(len(recordings), _DIM)

    return run


def describe(samples: Floats) -> Floats:
    """(n,) samples at 16 kHz -> (49,), in the order that the card tells."""
    energies = np.empty(_BANDS)
    entropies = np.empty(_BANDS)
    quarters = np.empty((_BANDS, _PARTS))
    for band, coefficients in enumerate(octaves(samples)):
        energy = np.square(coefficients, dtype=np.float64)
        energies[band] = energy.sum()
        entropies[band] = evenness(energy)
        quarters[band] = [part.sum() for part in np.array_split(energy, _PARTS)]
    whole = energies.sum()
    # Of a silent recording or band nothing is loud and nothing stands out.
    shares = energies / whole if whole > 0 else np.zeros(_BANDS)
    spread = np.divide(quarters * _PARTS, energies[:, None], out=np.ones_like(quarters), where=energies[:, None] > 0)
    return np.concatenate(
        [
            [10 * np.log10(max(whole / len(samples), _LEAST_POWER))],
            _decibels(shares, _RANGE_DB),
            entropies,
            _decibels(spread, _PART_RANGE_DB).ravel(),
        ]
    )


def octaves(samples: Floats) -> Iterator[Floats]:
    """Wavelet coefficients of each octave, the highest first, and of what lies below them all.

    Beyond its ends the recording is taken as silent: the transform is then orthogonal, and the coefficients' energies
    sum to the samples'.
    """
    import pywt

    rest = samples
    for _ in range(_LEVELS):
        rest, details = pywt.dwt(rest, _WAVELET, "zero")
        yield details
    yield rest


def evenness(energy: Floats) -> float:
    """Shannon's entropy of energies as shares of their sum, over the most it can be: 0 one of n, 1 all alike."""
    from scipy.special import xlogy

    whole = energy.sum()
    if whole <= 0:
        return 1.0
    return float((np.log(whole) - xlogy(energy, energy).sum() / whole) / np.log(len(energy)))


def _decibels(ratios: Floats, range_db: float) -> Floats:
    decibels: Floats = 10 * np.log10(np.maximum(ratios, 10 ** (-range_db / 10)))
    return decibels
