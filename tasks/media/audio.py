"""Audio files to mono samples at one rate, in memory that a hostile file can't stretch.

A file is read whole or refused: what its frames, pages or headers say it holds is compared with what came out of the
decoder. Ordinary WAV, FLAC, MP3 and Vorbis are read by libsndfile, which is two to three times as fast as FFmpeg at
them. FFmpeg reads all other formats, and those four where libsndfile is known to stop early or does (tables of what
each of the two reads whole: MP3 of changing bit rate without a Xing header, files of which several were joined, Ogg
with an early end of stream, FLAC of unknown length).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
import soxr

from otzyv.tasks.media.inputs import AudioInput
from otzyv.tasks.media.pieces import Piece, pieces
from otzyv.tasks.media.refused import Refused
from otzyv.tasks.media.sniff import find

SECONDS = 600
"""Longest audio."""
RATES = range(4_000, 192_001)
CHANNELS = range(1, 9)
LOST = 0.1
"""Share of a sound that may be missing or broken; the rest is read."""
INTEGERS = 8.0
"""Samples beyond this are no loud floats of full scale 1 (18 dB over it): they are integers written as floats."""
CANCELLED = 0.1
"""Power of the channels' mean, of what it were if they were unrelated, below which they cancel each other."""
_BLOCK = 65_536
"""Frames read at a time: what a file says of its length is never allocated."""

Samples = np.ndarray[Any, np.dtype[np.float32]]
Block = tuple[int, Samples]
"""A rate, and (frames, channels) at that rate."""


def decode_audio(data: bytes, spec: AudioInput) -> Samples:
    """float32 (n,) in [-1, 1] at ``spec.rate`` Hz: the mean of the channels, resampled by soxr at its quality HQ.

    Two kinds of files are changed before the mean is taken. Where channels cancel each other (one is the other upside
    down: the mean holds less than a tenth of the power that unrelated channels would leave), the loudest one stands
    for all. Floats that exceed 8 in a file whose floats should end at 1 are taken for integers of 16, 24 or 32 bits,
    whichever holds the largest; what is larger still is scaled to 1. Samples between 1 and 8 are clipped.

    Files joined one behind the other are read one after the other. Streams (MP3, AAC, AMR, Ogg, WebM, Matroska, WMA,
    and FLAC of unknown length) count for what is there, even if they were cut short. Elsewhere at most a tenth of what
    the header promises may be missing; of a WAV or an MP4 nothing.

    Raises Refused: unknown_format; no_sound and no_decoder for containers without a sound in a coding that is read;
    rate_or_channels outside of RATES and CHANNELS; too_long over ten minutes; empty, cut_short, damaged, not_numbers.
    """
    found = find(data)
    if found is None or found.kind != "audio":
        raise Refused("unknown_format" if data else "empty")
    parts: list[Samples] = []
    seconds = 0.0
    for piece in pieces(data[found.start :] if found.start else data, found.format):
        mono, more = _whole(piece, spec.rate, seconds)
        seconds += more
        parts += mono
    samples: Samples = np.concatenate(parts) if parts else np.empty(0, np.float32)
    if not len(samples):
        raise Refused("empty")
    return samples.clip(-1, 1, out=samples)


def _whole(piece: Piece, rate: int, before: float) -> tuple[list[Samples], float]:
    """The samples of one file at ``rate`` and its seconds; ``before``: how many seconds were read already."""
    if piece.seconds and before + piece.seconds > SECONDS:
        raise Refused("too_long")
    if piece.fast:
        try:
            mono = _mono(lambda: _plain(piece.data), rate, before)
        except soundfile.SoundFileError:
            pass
        else:
            if piece.seconds is None or abs(mono.seconds - piece.seconds) <= piece.slack:
                return mono.parts, mono.seconds
    from otzyv.tasks.media.container import Sound  # FFmpeg is loaded only where a file needs it

    sound = Sound(piece.data, piece.reader)
    mono = _mono(sound.blocks, rate, before)
    if not mono.seconds:
        raise Refused("damaged" if sound.lost else "empty")
    expected = piece.at_least or sound.promised
    if expected and mono.seconds < (1 - LOST) * expected:
        raise Refused("cut_short")
    if sound.lost > LOST:
        raise Refused("damaged")
    return mono.parts, mono.seconds


def _plain(data: bytes) -> Iterator[Block]:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
            yield file.samplerate, block


@dataclass(frozen=True, slots=True)
class _Mix:
    """How the channels of a run become one: divided by ``scale``, then ``channel``, or their mean if that is None."""

    scale: float = 1.0
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class _Mono:
    parts: list[Samples]
    seconds: float


def _mono(read: Callable[[], Iterable[Block]], rate: int, before: float) -> _Mono:
    """Mixed and resampled; read again where the samples show that the plain mean is not right."""
    mixes: list[_Mix] = []
    while True:
        mono, better = _mixed(read(), rate, before, mixes)
        if better == (mixes or [_Mix()] * len(better)):
            return mono
        mixes = better


def _mixed(blocks: Iterable[Block], rate: int, before: float, mixes: Sequence[_Mix]) -> tuple[_Mono, list[_Mix]]:
    """A run is what has one rate and one number of channels: most files are one. ``mixes``: of each, if not the mean.

    What comes back beside the samples is how each run should be mixed.
    """
    runs: list[_Run] = []
    for source, block in blocks:
        if not runs or (runs[-1].source, runs[-1].channels) != (source, block.shape[1]):
            if source not in RATES or block.shape[1] not in CHANNELS:
                raise Refused("rate_or_channels")
            before += runs[-1].seconds if runs else 0
            mix = mixes[len(runs)] if mixes else _Mix()
            runs.append(_Run(source, block.shape[1], rate, mix))
        runs[-1].add(block)
        if before + runs[-1].seconds > SECONDS:
            raise Refused("too_long")
    mono = _Mono([part for run in runs for part in run.end()], sum(run.seconds for run in runs))
    return mono, [run.better for run in runs]


class _Run:
    """Blocks of one rate and number of channels on their way to mono."""

    def __init__(self, source: int, channels: int, rate: int, mix: _Mix) -> None:
        self.source, self.channels, self._mix = source, channels, mix
        self._resampler = (
            soxr.ResampleStream(source, rate, 1, dtype="float32", quality="HQ") if source != rate else None
        )
        self._parts: list[Samples] = []
        self._frames = 0
        self._peak = 0.0
        self._power, self._power_of_mean = np.zeros(channels), 0.0

    @property
    def seconds(self) -> float:
        return self._frames / self.source

    def add(self, block: Samples) -> None:
        self._frames += len(block)
        peak = max(float(block.max()), -float(block.min()))
        if not math.isfinite(peak):
            raise Refused("not_numbers")
        self._peak = max(self._peak, peak)
        if self._mix.scale != 1:
            block = block / np.float32(self._mix.scale)
        if peak > self._mix.scale:
            block = block.clip(-1, 1)
        mono: Samples = block[:, 0]
        if self.channels > 1:  # the product is thirty times as fast as mean(axis=1)
            mono = block @ np.full(self.channels, 1 / self.channels, np.float32)
            self._power += [float(np.dot(channel, channel)) for channel in block.T]
            self._power_of_mean += float(np.dot(mono, mono))
        if self._mix.channel is not None:
            mono = block[:, self._mix.channel]
        self._parts.append(self._resampler.resample_chunk(np.ascontiguousarray(mono)) if self._resampler else mono)

    @property
    def better(self) -> _Mix:
        """How it should be mixed, as far as one can tell: the powers tell nothing before the scale is right."""
        scale = 1.0
        if self._peak > INTEGERS:
            scale = next((2.0**bits for bits in (15, 23, 31) if self._peak <= 2.0**bits), self._peak)
        if scale != self._mix.scale:
            return _Mix(scale)
        unrelated = self._power.sum() / self.channels**2
        cancelled = self.channels > 1 and self._power_of_mean < CANCELLED * unrelated
        return _Mix(scale, int(self._power.argmax()) if cancelled else None)

    def end(self) -> list[Samples]:
        if self._resampler:
            self._parts.append(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
        return self._parts
