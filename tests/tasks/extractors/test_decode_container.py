"""MPEG-4 and WebM give the samples that WAV gives of the same sound, or are refused for a reason."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.tasks.extractors.contract.contents import contained
from otzyv.tasks.media.audio import decode_audio
from otzyv.tasks.media.refused import Refused
from tests.tasks.extractors.test_decode_audio import AUDIO, SPEC, status, written

LOSSLESS = [("ipod", "alac"), ("mp4", "flac")]
FORMATS = [("ipod", "aac"), ("mp4", "aac"), ("mov", "aac"), ("3gp", "aac"), ("mp4", "libmp3lame"), ("mp4", "libopus"),
           ("webm", "libopus"), *LOSSLESS]  # fmt: skip


def chirp(seconds: float, rate: int) -> np.ndarray[Any, Any]:
    """A tone that rises from 200 to 2,000 Hz, and swells: a shift in time would show."""
    time = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (200 * time + 900 / seconds * time**2)) * time / seconds
    return np.asarray(0.5 * tone, np.float32)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("container", "coding"), FORMATS)
def test_the_samples_are_those_of_the_same_sound_in_wav(container: str, coding: str, channels: int) -> None:
    sound = chirp(1, 48_000)
    both = np.stack([sound, sound / 2], axis=1) if channels == 2 else sound
    expected = decode_audio(written(both, 48_000), SPEC)
    samples = decode_audio(contained(both, 48_000, container, coding), SPEC)
    assert samples.dtype == np.float32
    assert len(expected) <= len(samples) < len(expected) + 1_600
    difference = samples[: len(expected)] - expected
    assert np.sqrt(np.mean(difference**2)) < (1e-3 if (container, coding) in LOSSLESS else 0.02)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60_000), st.sampled_from([8_000, 11_025, 44_100, 48_000]), st.integers(0, 2**32 - 1))
def test_whatever_length_and_rate_nothing_is_lost(frames: int, rate: int, seed: int) -> None:
    samples = (np.random.default_rng(seed).integers(-(2**14), 2**14, frames) / 2**15).astype(np.float32)
    data = contained(samples, rate, "mp4", "flac")
    if frames * 2 > rate / 16_000:
        np.testing.assert_allclose(decode_audio(data, SPEC), decode_audio(written(samples, rate), SPEC), atol=1e-4)


def with_pictures(*, sound: bool) -> bytes:
    """An MP4 of two seconds with pictures, in a coding that no file may reach here."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        pictures = output.add_stream("mpeg4", rate=10, width=64, height=48, pix_fmt="yuv420p")
        track = output.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for shade in [*range(20), None]:
            picture = np.full((48, 64, 3), shade, np.uint8) if shade is not None else None
            output.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, "rgb24") if picture is not None else None))
        if track:
            frame = av.AudioFrame.from_ndarray(chirp(2, 16_000)[None], "fltp", "mono")
            frame.sample_rate, frame.pts = 16_000, 0
            output.mux([*track.encode(frame), *track.encode(None)])
    return file.getvalue()


def test_the_sound_of_a_video_is_read_and_its_pictures_are_not() -> None:
    samples = decode_audio(with_pictures(sound=True), SPEC)
    expected = decode_audio(written(chirp(2, 16_000), 16_000), SPEC)
    assert np.sqrt(np.mean((samples[: len(expected)] - expected) ** 2)) < 0.02
    assert status(with_pictures(sound=False)) == "unsupported"


M4A = contained(chirp(1, 16_000), 16_000, "ipod", "aac")
WEBM = contained(chirp(1, 16_000), 16_000, "webm", "libopus")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (M4A[:12], "undecodable"),
        (M4A[:1_000], "undecodable"),
        (M4A[:-1], "undecodable"),
        (WEBM[:100], "undecodable"),
        (b"\0\0\0\x18ftypM4A " + bytes(64), "undecodable"),
        (b"\x1a\x45\xdf\xa3" + bytes(64), "unsupported"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm" + bytes(64), "undecodable"),
        (contained(chirp(1, 16_000), 48_000, "matroska", "ac3"), "unsupported"),
        (contained(np.zeros(601 * 8_000, np.float32), 8_000, "ipod", "alac"), "too_large"),
    ],
    ids=range(9),
)
def test_what_can_not_be_read_is_refused_for_a_reason(data: bytes, expected: str) -> None:
    assert status(data) == expected


def test_a_webm_cut_short_counts_for_what_is_there() -> None:
    samples = decode_audio(WEBM[: len(WEBM) // 2], SPEC)
    whole = decode_audio(WEBM, SPEC)
    assert 0.3 * len(whole) < len(samples) < 0.7 * len(whole)
    np.testing.assert_array_equal(samples[:4_000], whole[:4_000])


def test_more_than_ten_minutes_are_too_large_even_where_the_track_does_not_say_so() -> None:
    assert status(contained(np.zeros(601 * 8_000, np.float32), 8_000, "matroska", "aac")) == "too_large"


def test_no_length_of_a_header_is_believed() -> None:
    """Every 32 bits of the index in turn claim 2 billion of whatever they count."""
    start = M4A.index(b"moov")
    for place in range(start, len(M4A) - 4, 4):
        data = M4A[:place] + b"\x7f\xff\xff\xff" + M4A[place + 4 :]
        try:
            samples = decode_audio(data, SPEC)
        except Refused:
            continue
        assert len(samples) <= 18_000


@pytest.mark.skipif(not AUDIO.is_dir(), reason="needs ../shared/data/audio")
def test_real_speech_is_the_same_in_m4a() -> None:
    speech = decode_audio((AUDIO / "russian" / "ru.wav").read_bytes(), SPEC)
    samples = decode_audio(contained(speech, 16_000, "ipod", "aac"), SPEC)[: len(speech)]
    assert np.corrcoef(samples, speech)[0, 1] > 0.99
