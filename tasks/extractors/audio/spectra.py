"""What a recording sounds like, by hand-made features. The spectrum's functions here are for every such extractor.

Time runs along the first axis everywhere: a spectrogram is (frames, bins).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.media.inputs import AudioInput
from otzyv.tasks.models.weights import Weights

Floats = np.ndarray[Any, np.dtype[np.float32]]

_BLOCK = 64
"""Frames transformed at a time: ten minutes need no more memory than a second, a block stays in the processor's
cache, and the product with the filters is small enough for BLAS to stay in one thread (in two it waits for both: on
two busy cores blocks of 256 took ten times as long)."""
_LEAST_POWER = 1e-10


def power_spectrogram(samples: Floats, n_fft: int, hop: int) -> Iterator[Floats]:
    """|STFT|^2 in blocks of (<= 64, n_fft // 2 + 1), 1 + n // hop frames in all.

    Frame t is centred at sample t * hop under a periodic Hann window of n_fft samples; beyond its ends the
    recording is taken as silent.
    """
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, n_fft // 2), n_fft)[::hop]
    for start in range(0, len(frames), _BLOCK):
        spectrum = np.fft.rfft(frames[start : start + _BLOCK] * window)
        yield np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32)


@cache
def mel_filters(rate: int, n_fft: int, n_mels: int) -> Floats:
    """(n_fft // 2 + 1, n_mels): triangles evenly spaced in mel from 0 Hz to rate / 2, each of area 1 in Hz.

    Slaney's mel scale and areas (Auditory Toolbox, Interval technical report 1998-010): 3 mel are 200 Hz up to
    1 kHz, above it 27 mel multiply the frequency by 6.4.
    """
    knee, step = 15.0, np.log(6.4) / 27
    top = knee + np.log(rate / 2_000) / step
    mels = np.linspace(0, top, n_mels + 2)
    edges = np.where(mels < knee, mels * 200 / 3, 1_000 * np.exp((mels - knee) * step))
    bins = np.fft.rfftfreq(n_fft, 1 / rate)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clip(0)
    filters: Floats = (triangles * 2 / (high - low)).astype(np.float32)
    filters.flags.writeable = False  # it is shared
    return filters


def log_mel(samples: Floats, filters: Floats, hop: int, range_db: float = 80) -> Floats:
    """(1 + n // hop, n_mels) in dB: mel power, nothing lower than ``range_db`` below the recording's loudest."""
    n_fft = 2 * (len(filters) - 1)
    power = np.concatenate([block @ filters for block in power_spectrogram(samples, n_fft, hop)])
    decibels = 10 * np.log10(np.maximum(power, _LEAST_POWER))
    return np.asarray(np.maximum(decibels, decibels.max() - range_db), np.float32)


def mfcc(decibels: Floats, n_mfcc: int) -> Floats:
    """(frames, n_mels) dB -> (frames, n_mfcc): an orthonormal DCT-II's first values (Davis, Mermelstein 1980)."""
    from scipy.fft import dct

    return np.asarray(dct(decibels, type=2, norm="ortho", axis=1)[:, :n_mfcc], np.float32)


def deltas(coefficients: Floats, width: int, order: int) -> Floats:
    """(frames, n) -> (frames, n): derivatives in time from polynomials of degree ``order`` fitted to ``width`` frames.

    (Savitzky, Golay 1964; at the ends and in all else as librosa.) A recording shorter than ``width`` frames, which
    librosa refuses, is taken to stand still before and after.
    """
    from scipy.signal import savgol_filter

    ends = "interp" if len(coefficients) >= width else "nearest"
    return np.asarray(savgol_filter(coefficients, width, order, deriv=order, axis=0, mode=ends), np.float32)


_RATE, _N_FFT, _HOP, _N_MELS, _N_MFCC, _WIDTH, _PARTS = 16_000, 400, 160, 40, 20, 9, 4
_MFCC_DIM = 2 * 3 * _N_MFCC
_SPECTRUM_DIM = 1 + _N_MELS + _PARTS * _N_MELS
_SPECTRUM = (
    ("n_fft", _N_FFT), ("hop", _HOP), ("window", "hann"), ("n_mels", _N_MELS), ("mel", "slaney"), ("range_db", 80),
)  # fmt: skip

MFCC = Card(
    name="audio_mfcc",
    version=1,
    modality="audio",
    doc="mean and deviation over time of 20 MFCC and of their first and second derivatives",
    licence="Apache-2.0",
    source="this project; Davis, Mermelstein 1980",
    dim=_MFCC_DIM,
    input=AudioInput(_RATE),
    tolerance=1e-3,
    profiles=frozenset({"embedded", "standard"}),
    settings=(*_SPECTRUM, ("n_mfcc", _N_MFCC), ("delta_width", _WIDTH)),
    batch_rows=8,
    notes="Value [statistic * 60 + derivative * 20 + coefficient]: statistic 0 mean, 1 standard deviation; "
    "derivative 0 none, 1 first, 2 second; coefficient 0 the loudness in dB, 1 to 19 the spectrum's shape.",
)

SPECTRUM = Card(
    name="audio_spectrum",
    version=1,
    modality="audio",
    doc="log-mel spectrum in dB: its level, how much each of 40 bands varies, and the bands' levels in four quarters",
    licence="Apache-2.0",
    source="this project",
    dim=_SPECTRUM_DIM,
    input=AudioInput(_RATE),
    tolerance=1e-3,
    profiles=frozenset({"embedded", "standard"}),
    settings=(*_SPECTRUM, ("parts", _PARTS)),
    batch_rows=8,
    notes="Value 0: mean of all bands in dB; 1 to 40: standard deviation of each band over time; "
    "41 + quarter * 40 + band: the band's mean in that quarter of the recording, less value 0. The bands' means over "
    "the whole recording are the means of their quarters. Loudness moves only value 0.",
)


@register(MFCC)
def audio_mfcc(card: Card, weights: Weights | None) -> Run:
    return _of_spectrum(mfcc_statistics, _MFCC_DIM)


@register(SPECTRUM)
def audio_spectrum(card: Card, weights: Weights | None) -> Run:
    return _of_spectrum(spectrum_statistics, _SPECTRUM_DIM)


def _of_spectrum(statistics: Callable[[Floats], Floats], dim: int) -> Run:
    def run(recordings: Sequence[Floats]) -> Floats:
        return np.array([statistics(spectrum(r)) for r in recordings], np.float32).reshape(len(recordings), dim)

    return run


def spectrum(samples: Floats) -> Floats:
    """(frames, 40) dB: the log-mel spectrum that both extractors read, 100 frames a second."""
    return log_mel(samples, mel_filters(_RATE, _N_FFT, _N_MELS), _HOP)


def mfcc_statistics(decibels: Floats) -> Floats:
    """(frames, 40) -> (120,), in the order that the card of audio_mfcc tells."""
    coefficients = mfcc(decibels, _N_MFCC)
    return _moments(np.concatenate([coefficients, *(deltas(coefficients, _WIDTH, order) for order in (1, 2))], axis=1))


def spectrum_statistics(decibels: Floats) -> Floats:
    """(frames, 40) -> (201,), in the order that the card of audio_spectrum tells."""
    frames = len(decibels)
    # Neighbours share a frame where the quarters don't come out even, so that even one frame has four.
    edges = [(part * frames // _PARTS, -(-(part + 1) * frames // _PARTS)) for part in range(_PARTS)]
    quarters = np.array([decibels[start:end].mean(axis=0, dtype=np.float64) for start, end in edges])
    level = decibels.mean(dtype=np.float64)
    return np.concatenate([[level], decibels.std(axis=0, dtype=np.float64), (quarters - level).ravel()])


def _moments(series: Floats) -> Floats:
    """(frames, n) -> (2n,): means, then standard deviations; in float64, as ten minutes are 60,000 frames."""
    return np.concatenate([series.mean(axis=0, dtype=np.float64), series.std(axis=0, dtype=np.float64)])
