"""Audio files to mono samples at one rate, in memory that a hostile file can't stretch.

WAV, FLAC, Ogg (Vorbis, Opus) and MP3 by libsndfile; MPEG-4 and WebM by FFmpeg.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
import soxr

from tasks.extractors.card import AudioInput
from tasks.extractors.decode import Refused

SECONDS = 600
"""Longest audio."""
RATES = range(4_000, 192_001)
CHANNELS = range(1, 9)
_BLOCK = 65_536
"""Frames read at a time: what a file says of its length is never allocated."""

Samples = np.ndarray[Any, np.dtype[np.float32]]


def decode_audio(data: bytes, spec: AudioInput) -> Samples:
    """float32 (n,) in [-1, 1] at ``spec.rate`` Hz: the mean of the channels, resampled by soxr at its quality HQ.

    Raises Refused: ``unsupported`` for other formats, rates or numbers of channels, ``too_large`` over ten minutes,
    ``undecodable`` for what is broken, empty, or holds samples that are no numbers. A WAV cut short is broken. MP3
    and Ogg are streams: one cut short counts for what its decoder still gives. An MP3 of changing bit rate without
    a Xing header ends where its first frame's bit rate says it should: libsndfile reads no further. MPEG-4 and WebM:
    see ``decode_container``.
    """
    kind = _format(data)
    samples = _contained(data, kind, spec.rate) if kind in ("MP4", "WEBM") else _plain(data, kind, spec.rate)
    if not len(samples):
        raise Refused("undecodable")
    return samples


def _plain(data: bytes, kind: str, rate: int) -> Samples:
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.format not in (kind, kind + "EX") or file.samplerate not in RATES or file.channels not in CHANNELS:
                raise Refused("unsupported")
            # Without a Xing header libsndfile guesses an MP3's length from its bytes, cover picture included.
            if kind != "MP3" and file.frames > SECONDS * file.samplerate:
                raise Refused("too_large")
            return _resampled(_blocks(file), file.samplerate, rate)
    except soundfile.SoundFileError as error:
        raise Refused("undecodable") from error


def _contained(data: bytes, kind: str, rate: int) -> Samples:
    from tasks.extractors.decode_container import Sound  # FFmpeg is loaded only where a file needs it

    sound = Sound(data, kind)
    if sound.rate not in RATES or sound.channels not in CHANNELS:
        raise Refused("unsupported")
    if sound.seconds is not None and sound.seconds > SECONDS:
        raise Refused("too_large")
    return _resampled(sound.blocks(), sound.rate, rate)


def _blocks(file: Any) -> Iterator[Samples]:
    while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
        yield block


def _format(data: bytes) -> str:
    """The format by the first bytes, as libsndfile names it: parsers of rarer formats never see the file."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        size = int.from_bytes(data[4:8], "little")
        if len(data) - 8 < size < 0x7FFF_F000:  # above: the marks of those who write to a pipe
            raise Refused("undecodable")
        return "WAV"
    if data[:4] == b"fLaC":
        return "FLAC"
    if data[:4] == b"OggS":
        return "OGG"
    # A tag, or the first frame: eleven bits of synchronisation, any MPEG version, layer III.
    if data[:3] == b"ID3" or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2):
        return "MP3"
    if data[4:8] == b"ftyp":
        return "MP4"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return "WEBM"
    raise Refused("unsupported" if data else "undecodable")


def _resampled(blocks: Iterator[Samples], source: int, rate: int) -> Samples:
    """Blocks of (frames, channels) at the rate ``source``, mixed to mono."""
    resampler = soxr.ResampleStream(source, rate, 1, dtype="float32", quality="HQ") if source != rate else None
    read, parts = 0, []
    for block in blocks:
        read += len(block)
        if read > SECONDS * source:
            raise Refused("too_large")
        if not np.isfinite(block).all():
            raise Refused("undecodable")
        mono = block.clip(-1, 1).mean(axis=1)
        parts.append(resampler.resample_chunk(mono) if resampler else mono)
    if resampler:
        parts.append(resampler.resample_chunk(np.empty(0, np.float32), last=True))
    samples: Samples = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return samples.clip(-1, 1, out=samples)
