"""Audio files become mono samples in [-1, 1] at the asked rate, or are refused; nothing else happens."""

from __future__ import annotations

import io
import struct
import tracemalloc
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from otzyv.tasks.media.audio import SECONDS, decode_audio
from otzyv.tasks.media.inputs import AudioInput
from otzyv.tasks.media.refused import Refused

SPEC = AudioInput()
AUDIO = Path(__file__).parents[4] / "shared" / "data" / "audio"
FORMATS = (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
           ("MP3", "MPEG_LAYER_III"))  # fmt: skip


def written(samples: np.ndarray[Any, Any], rate: int, container: str = "WAV", coding: str = "FLOAT") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=container, subtype=coding)
    return stream.getvalue()


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray[Any, Any]:
    return np.float32(0.5) * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def wav(
    *,
    channels: int = 1,
    rate: int = 16_000,
    bits: int = 16,
    data: bytes = b"\1\2" * 1_600,
    says: int | None = None,
    riff: int | None = None,
) -> bytes:
    """A WAV whose header may lie; ``says`` is the length it claims for its samples, ``riff`` for itself."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * frame % 2**32, frame % 2**16, bits)
    chunks = (
        b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data) if says is None else says)
    )
    return b"RIFF" + struct.pack("<I", 36 + len(data) if riff is None else riff) + chunks + data


def status(data: bytes) -> str:
    with pytest.raises(Refused) as refused:
        decode_audio(data, SPEC)
    return refused.value.status


@pytest.mark.parametrize(("container", "coding"), FORMATS)
def test_every_format_gives_the_tone_that_was_written(container: str, coding: str) -> None:
    samples = decode_audio(written(tone(440, 1, 48_000), 48_000, container, coding), SPEC)
    assert samples.dtype == np.float32
    assert samples.shape == (16_000,)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() == 440
    assert np.sqrt(np.mean(samples[1000:-1000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), abs=0.01)


def test_channels_are_averaged_and_what_is_louder_than_full_scale_is_clipped() -> None:
    left = np.array([0.5, 0.25, 4.0, -4.0], np.float32)
    stereo = np.stack([left, np.array([-0.5, 0.75, 4.0, -4.0], np.float32)], axis=1)
    np.testing.assert_allclose(decode_audio(written(stereo, 16_000), SPEC), [0, 0.5, 1, -1])


def test_however_loud_samples_stay_in_range() -> None:
    square = np.where(np.arange(8_000) // 50 % 2, 3e38, -3e38).astype(np.float32)
    samples = decode_audio(written(np.stack([square, square], axis=1), 8_000), SPEC)
    assert np.abs(samples).max() == 1
    assert np.median(np.abs(samples)) > 0.9


def test_a_cover_picture_does_not_count_as_music() -> None:
    picture = 8_000_000
    tag = b"ID3\x04\x00\x00" + bytes(picture >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(picture)
    music = written(tone(440, 1, 16_000), 16_000, "MP3", "MPEG_LAYER_III").replace(b"Xing", b"....")
    assert decode_audio(tag + music, SPEC).size == pytest.approx(16_000, abs=3_000)


@given(st.integers(1, 400_000), st.sampled_from([8_000, 11_025, 44_100, 48_000]), st.integers(0, 2**32 - 1))
def test_reading_in_blocks_changes_nothing(frames: int, rate: int, seed: int) -> None:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, frames).astype(np.float32)
    whole = soxr.resample(samples, rate, SPEC.rate, quality="HQ").clip(-1, 1)
    data = written(samples, rate)
    if whole.size:
        np.testing.assert_array_equal(decode_audio(data, SPEC), whole)
    else:  # so short that no sample is left at the lower rate
        assert status(data) == "undecodable"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "undecodable"),
        (b"RIFF", "unsupported"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "unsupported"),
        (b"\xff\xd8\xff\xe0" + bytes(64), "unsupported"),
        (b"ID3\x04" + bytes(64), "undecodable"),
        (b"\xff\xfb" + bytes(64), "unsupported"),  # a first frame without a bit rate
        (b"\xff\xfb\x90" + bytes(64), "undecodable"),
        (b"\xff\xf1" + bytes(64), "unsupported"),  # a frame of AAC of no bytes
        (b"OggS" + bytes(64), "unsupported"),
        (b"OggS" + bytes(24) + b"OpusHead" + bytes(64), "undecodable"),
        (written(tone(440, 1, 16_000), 16_000, "AU", "PCM_16"), "unsupported"),
        (b"fLaC" + bytes(range(256)) * 20, "undecodable"),
        (wav(channels=0), "undecodable"),
        (wav(channels=1000), "unsupported"),
        (wav(channels=65_535), "undecodable"),
        (wav(rate=0), "undecodable"),
        (wav(rate=1), "unsupported"),
        (wav(rate=2**32 - 1), "undecodable"),
        (wav(rate=2**31 - 1), "unsupported"),
        (wav(bits=0), "undecodable"),
        (wav(data=b""), "undecodable"),
        (wav()[:1000], "undecodable"),
        (written(tone(440, 1, 16_000), 16_000, "FLAC", "PCM_16")[:5000], "undecodable"),
        (written(np.array([0, np.nan, 0], np.float32), 16_000), "undecodable"),
        (written(np.array([0, np.inf, 0], np.float32), 16_000), "undecodable"),
    ],
)
def test_what_can_not_be_read_is_refused_for_a_reason(data: bytes, expected: str) -> None:
    assert status(data) == expected


@cache
def silence(container: str, coding: str) -> bytes:
    return written(np.zeros((SECONDS + 1) * 8_000, np.float32), 8_000, container, coding)


@pytest.mark.parametrize(("container", "coding"), [("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")])
def test_more_than_ten_minutes_are_too_large_whether_the_header_says_so_or_not(container: str, coding: str) -> None:
    assert status(silence(container, coding)) == "too_large"


def test_ten_minutes_are_not() -> None:
    assert decode_audio(written(np.zeros(SECONDS * 4_000, np.int16), 4_000, "FLAC", "PCM_16"), SPEC).size == 9_600_000


@pytest.mark.parametrize("says", [0, 2**31, 2**32 - 1])
@pytest.mark.parametrize("riff", [0, 2**32 - 1])
def test_a_lying_header_allocates_nothing(says: int, riff: int) -> None:
    data = wav(says=says, riff=riff)
    tracemalloc.start()
    try:
        samples = decode_audio(data, SPEC).size
    except Refused:
        samples = 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert samples in (0, 1_600)
    assert peak < 5_000_000


@cache
def originals() -> tuple[bytes, ...]:
    return tuple(written(tone(440, 0.3, 16_000), 16_000, *kind) for kind in FORMATS)


@given(st.integers(0, len(FORMATS) - 1), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=20),
       st.floats(0.2, 1))  # fmt: skip
def test_broken_bytes_give_samples_in_range_or_a_refusal(
    which: int, changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(originals()[which])
    for place, value in changes:
        data[int(place**3 * (len(data) - 1))] = value  # mostly in the header
    try:
        samples = decode_audio(bytes(data[: int(kept * len(data))]), SPEC)
    except Refused:
        return
    assert samples.ndim == 1
    assert samples.size > 0
    assert np.abs(samples).max() <= 1


@pytest.mark.skipif(not AUDIO.is_dir(), reason="needs ../shared/data/audio")
@pytest.mark.parametrize(
    ("file", "seconds"),
    [("silero/test.wav", 60), ("silero/test.mp3", 2.53), ("silero/test.opus", 8.06), ("russian/ru.wav", 5.67),
     ("fsdd/0_theo_0.wav", None)],
)  # fmt: skip
def test_real_recordings_are_read_in_full(file: str, seconds: float | None) -> None:
    samples = decode_audio((AUDIO / file).read_bytes(), SPEC)
    assert np.abs(samples).max() > 0.01
    if seconds:
        assert samples.size / SPEC.rate == pytest.approx(seconds, abs=0.02)
