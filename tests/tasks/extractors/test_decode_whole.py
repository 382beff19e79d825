"""A file of sound is read to its end: every second of it is heard, in every format, however the file was put together.

Sounds are made of one tone a second, each higher than the one before, so that what is lost, doubled or out of place
shows; lossless formats must give the very samples.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from otzyv.tasks.extractors.contract.contents import contained
from otzyv.tasks.media.audio import decode_audio
from otzyv.tasks.media.refused import Refused
from otzyv.tasks.media.sniff import HEAD, sniff
from tests.tasks.extractors.test_decode_audio import SPEC, status, wav, written

Array = np.ndarray[Any, Any]
STEP = 60  # Hz from one second to the next


def melody(seconds: int, rate: int, channels: int = 1, first: int = 0) -> Array:
    """Second n is a tone of 300 + 60 n Hz; later channels are quieter."""
    time = np.arange(rate) / rate
    tones = [0.4 * np.sin(2 * np.pi * (300 + STEP * (first + second)) * time) for second in range(seconds)]
    sound = np.concatenate(tones).astype(np.float32)
    return sound if channels == 1 else np.stack([sound * 0.9**channel for channel in range(channels)], axis=1)


def heard(samples: Array, before: float = 0.0) -> list[int]:
    """Which tone each whole second holds, -1 where it holds none. ``before``: seconds of delay that are passed over."""
    found = []
    start = int(before * 16_000)
    for second in range(round((len(samples) - start) / 16_000)):
        middle = samples[start + second * 16_000 + 4_000 :][:8_000]
        spectrum = np.abs(np.fft.rfft(middle))
        at = int(spectrum.argmax()) * 16_000 / len(middle)
        found.append(round((at - 300) / STEP) if spectrum.max() > 100 else -1)
    return found


def whole(data: bytes, seconds: int, longer: float = 0.15) -> Array:
    """The samples, if every second is heard and nothing is added but an encoder's delay and padding."""
    samples = decode_audio(data, SPEC)
    assert heard(samples) == list(range(seconds))
    assert -0.05 <= len(samples) / 16_000 - seconds <= longer
    return samples


def made(samples: Array, rate: int, container: str, coding: str) -> bytes:
    """A file of Ogg Vorbis by libsndfile, since FFmpeg's own encoder knows stereo only; every other by FFmpeg."""
    if (container, coding) == ("ogg", "vorbis"):
        return written(samples, rate, "OGG", "VORBIS")
    return contained(samples, rate, container, coding)


LOSSY = [
    ("mp3", "libmp3lame", 44_100, 2), ("mp3", "libmp3lame", 16_000, 1), ("mp3", "libmp3lame", 8_000, 1),
    ("adts", "aac", 44_100, 2), ("adts", "aac", 16_000, 1), ("ipod", "aac", 48_000, 6), ("3gp", "aac", 22_050, 1),
    ("amr", "libopencore_amrnb", 8_000, 1), ("3gp", "libopencore_amrnb", 8_000, 1),
    ("ogg", "libopus", 48_000, 2), ("ogg", "libopus", 24_000, 1), ("ogg", "libopus", 8_000, 1),
    ("ogg", "vorbis", 32_000, 2), ("ogg", "vorbis", 96_000, 1), ("webm", "libopus", 48_000, 2),
    ("matroska", "libopus", 48_000, 1), ("matroska", "aac", 44_100, 2), ("matroska", "libmp3lame", 44_100, 1),
    ("asf", "wmav2", 44_100, 2), ("asf", "wmav1", 22_050, 1),
    ("wav", "adpcm_ms", 16_000, 1), ("wav", "adpcm_ima_wav", 22_050, 2), ("wav", "pcm_mulaw", 8_000, 1),
    ("wav", "pcm_alaw", 8_000, 2), ("wav", "libmp3lame", 44_100, 1), ("mov", "adpcm_ima_qt", 22_050, 1),
    ("caf", "adpcm_ima_qt", 44_100, 2),
]  # fmt: skip


@pytest.mark.parametrize(("container", "coding", "rate", "channels"), LOSSY)
def test_every_second_of_every_format_is_heard(container: str, coding: str, rate: int, channels: int) -> None:
    data = made(melody(5, rate, channels), rate, container, coding)
    whole(data, 5)
    assert sniff(data[:HEAD]) is not None


EXACT = [
    ("caf", "pcm_s16be", 16), ("caf", "alac", 16), ("caf", "pcm_f32be", 24), ("aiff", "pcm_s16be", 16),
    ("aiff", "pcm_s16le", 16), ("mov", "pcm_s16le", 16), ("mov", "pcm_s24le", 24), ("matroska", "pcm_s16le", 16),
    ("matroska", "flac", 16), ("ogg", "flac", 16), ("flac", "flac", 16), ("ipod", "alac", 16), ("wav", "pcm_u8", 8),
    ("wav", "pcm_s16le", 16), ("wav", "pcm_s24le", 24), ("wav", "pcm_f32le", 24), ("wav", "pcm_f64le", 24),
    ("w64 as rf64", "pcm_s16le", 16),
]  # fmt: skip


def mixed(samples: Array, rate: int) -> Array:
    """What must come out, computed apart: the mean in float64, resampled at once."""
    mean = samples.mean(axis=1, dtype=np.float64) if samples.ndim > 1 else samples
    return np.asarray(soxr.resample(mean.astype(np.float32), rate, 16_000, quality="HQ") if rate != 16_000 else mean)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(EXACT),
    st.integers(200, 30_000),
    st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
@example(("caf", "alac", 16), 2_049, 16_000, 1, 0)  # less is left for the last packet than is padded
def test_lossless_formats_give_the_very_samples(
    kind: tuple[str, str, int], frames: int, rate: int, channels: int, seed: int
) -> None:
    container, coding, bits = kind
    channels = min(channels, 2) if coding == "alac" else channels  # its encoder knows few layouts
    steps = 2 ** (bits - 1)
    shape = (frames, channels) if channels > 1 else (frames,)
    samples = (np.random.default_rng(seed).integers(-steps // 2, steps // 2, shape) / steps).astype(np.float32)
    if container == "w64 as rf64":
        data = contained(samples, rate, "wav", coding, {"rf64": "always"})
        assert data[:4] == b"RF64"
    else:
        data = contained(samples, rate, container, coding)
    np.testing.assert_allclose(decode_audio(data, SPEC), mixed(samples, rate), atol=2e-6 if bits > 8 else 1e-2)


def joined(container: str, coding: str, *rates: int) -> bytes:
    """Files of three seconds each, one behind the other."""
    return b"".join(
        made(melody(3, rate, 1 + number % 2, first=3 * number), rate, container, coding)
        for number, rate in enumerate(rates)
    )


@pytest.mark.parametrize(
    ("container", "coding"),
    [("mp3", "libmp3lame"), ("adts", "aac"), ("ogg", "vorbis"), ("ogg", "libopus"), ("ogg", "flac"),
     ("flac", "flac"), ("wav", "pcm_s16le"), ("webm", "libopus"), ("matroska", "aac"), ("ipod", "aac")],
)  # fmt: skip
@pytest.mark.parametrize("rates", [(24_000, 24_000), (16_000, 48_000), (48_000, 16_000, 24_000)])
def test_files_joined_one_behind_the_other_are_all_read(container: str, coding: str, rates: tuple[int, ...]) -> None:
    samples = decode_audio(joined(container, coding, *rates), SPEC)
    assert heard(samples) == list(range(3 * len(rates)))
    assert len(samples) / 16_000 == pytest.approx(3 * len(rates), abs=0.3)


def test_amr_files_joined_are_all_read() -> None:
    data = b"".join(contained(melody(3, 8_000, first=first), 8_000, "amr", "libopencore_amrnb") for first in (0, 3))
    whole(data, 6)


# Ogg


def pages(data: bytes) -> list[bytearray]:
    found, at = [], 0
    while at < len(data):
        end = at + 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
        found.append(bytearray(data[at:end]))
        at = end
    return found


def sealed(parts: list[bytearray]) -> bytes:
    """The pages with right checksums (RFC 3533: CRC-32 of 0x04c11db7, nothing reflected or inverted)."""
    for page in parts:
        page[22:26] = bytes(4)
        reflected = bytes(int(f"{byte:08b}"[::-1], 2) for byte in page)
        value = zlib.crc32(reflected, 0xFFFFFFFF) ^ 0xFFFFFFFF
        page[22:26] = int(f"{value:032b}"[::-1], 2).to_bytes(4, "little")
    return b"".join(parts)


@cache
def ogg(coding: str) -> bytes:
    return made(melody(30, 48_000), 48_000, "ogg", coding)


@pytest.mark.parametrize("coding", ["libopus", "vorbis"])
class TestOgg:
    def test_the_pages_can_be_taken_apart_and_put_together(self, coding: str) -> None:
        assert sealed(pages(ogg(coding))) == ogg(coding)

    def test_an_early_end_of_stream_is_not_the_end(self, coding: str) -> None:
        parts = pages(ogg(coding))
        parts[len(parts) // 2][5] |= 4
        whole(sealed(parts), 30)

    def test_none_at_all_is_no_fault(self, coding: str) -> None:
        parts = pages(ogg(coding))
        parts[-1][5] &= ~4
        whole(sealed(parts), 30)

    def test_a_stream_that_was_joined_late_is_read_from_there(self, coding: str) -> None:
        parts = pages(ogg(coding))
        for page in parts[2:]:
            page[6:14] = struct.pack("<q", struct.unpack("<q", page[6:14])[0] + 10 * 48_000)
        whole(sealed(parts), 30)

    def test_blank_lines_before_and_zeros_behind_are_passed_over(self, coding: str) -> None:
        whole(b"\r\n" + ogg(coding) + bytes(5_000), 30)

    def test_a_stream_cut_short_counts_for_what_is_there(self, coding: str) -> None:
        samples = decode_audio(ogg(coding)[: len(ogg(coding)) * 2 // 3], SPEC)
        assert heard(samples)[:15] == list(range(15))

    def test_pages_that_are_missing_within_are_damage_if_they_are_many(self, coding: str) -> None:
        parts = pages(ogg(coding))
        assert len(parts) > 15
        assert len(decode_audio(b"".join(parts[:6] + parts[7:]), SPEC)) > 27 * 16_000
        with pytest.raises(Refused) as refused:
            decode_audio(b"".join(parts[:4] + parts[4 + len(parts) // 5 :]), SPEC)
        assert refused.value.reason == "cut_short"


def test_vorbis_and_opus_in_one_chain_are_both_read() -> None:
    second = contained(melody(3, 48_000, 2, first=3), 48_000, "ogg", "libopus")
    whole(made(melody(3, 44_100), 44_100, "ogg", "vorbis") + second, 6)


# WAV


SOUND = np.random.default_rng(1).integers(-(2**15), 2**15, 16_000).astype("<i2")


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


LIST = chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 6) + b"otzyv\0")
FORM = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)


@pytest.mark.parametrize(
    "data",
    [
        wav(data=SOUND.tobytes(), says=0),
        wav(data=SOUND.tobytes(), says=0, riff=0),
        wav(data=SOUND.tobytes(), says=2**32 - 1, riff=2**32 - 1),
        wav(data=SOUND.tobytes(), says=2**31 - 1),
        wav(data=SOUND.tobytes(), riff=0),
        wav(data=SOUND.tobytes(), riff=32_044),
        wav(data=SOUND.tobytes(), riff=32_072),
        wav(data=SOUND.tobytes(), riff=17),
        wav(data=SOUND.tobytes(), says=32_036),
        wav(data=SOUND.tobytes(), says=32_044, riff=32_044),
        wav(data=SOUND.tobytes(), says=16_000),
        wav(data=SOUND.tobytes()) + LIST,
        wav(data=SOUND.tobytes()) + b"TAG" + bytes(125),
        wav(data=SOUND.tobytes()) + b"\n",
        wav(data=SOUND.tobytes()) + bytes(1_000),
        b"RIFF\0\0\0\0WAVE" + LIST + chunk(b"fmt ", FORM) + chunk(b"data", SOUND.tobytes()) + LIST,
        b"RIFF\0\0\0\0WAVEodd \3\0\0\0abc" + chunk(b"fmt ", FORM) + chunk(b"data", SOUND.tobytes()),
        b"BW64\xff\xff\xff\xffWAVE" + chunk(b"ds64", struct.pack("<QQQI", 32_072, 32_000, 0, 0)) + chunk(b"fmt ", FORM)
        + b"data\xff\xff\xff\xff" + SOUND.tobytes() + LIST,
        b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16_000, 32_000, 2, 16, 22, 16, 4)
        + b"\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71") + chunk(b"data", SOUND.tobytes()),
        b"\0\0\r\n" + wav(data=SOUND.tobytes()),
    ],
    ids=[
        "data 0", "both 0", "both open", "open at 31 bits", "riff 0", "riff 8 more", "riff 36 more", "riff 17",
        "data 36 more", "both 44 more", "half counted", "list behind", "tag", "line", "zeros", "list before",
        "pad forgotten", "bw64", "extensible", "blank before",
    ],
)  # fmt: skip
def test_a_wav_whose_header_is_off_gives_its_very_samples(data: bytes) -> None:
    np.testing.assert_array_equal(decode_audio(data, SPEC), (SOUND / 2**15).astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9_000), st.sampled_from([8, 16, 24, 32]), st.integers(1, 4), st.sampled_from([0, 1, 36, 44, 999]),
    st.sampled_from(["right", "0", "open"]), st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_no_header_changes_a_sample(
    frames: int, bits: int, channels: int, off: int, says: str, pad: bool, seed: int
) -> None:
    raw = np.random.default_rng(seed).integers(0, 256, (frames, channels, bits // 8), dtype=np.uint8)
    whole_numbers = (raw.astype(np.int64) << (8 * np.arange(bits // 8))).sum(axis=2)
    middle = 2 ** (bits - 1)
    values = (whole_numbers - middle) if bits == 8 else (whole_numbers + middle) % (2 * middle) - middle
    body = raw.tobytes()
    assume(says != "0" or body.strip(b"\0\t\n\r "))  # blanks behind a size of 0 are filling, for all that is known
    size = {"right": len(body), "0": 0, "open": 2**32 - 1}[says]
    data = wav(channels=channels, bits=bits, data=body, says=size, riff=36 + len(body) + off)
    data += bytes(pad and says == "right" and len(body) % 2)
    got = decode_audio(data, SPEC)
    if says != "right" and got.size > frames:  # nothing tells that the pad byte is none
        got = got[:frames]
    channel_values = values / middle
    mean = channel_values.mean(axis=1)
    loudest = channel_values[:, np.square(channel_values).sum(axis=0).argmax()]
    unrelated = np.square(channel_values).sum() / channels**2
    cancelled = channels > 1 and np.square(mean).sum() < 0.1 * unrelated
    np.testing.assert_allclose(got, loudest if cancelled else mean, atol=1e-6)


@pytest.mark.parametrize("missing", [65, 1_000, 20_000])
def test_a_wav_whose_end_is_missing_is_cut_short(missing: int) -> None:
    with pytest.raises(Refused) as refused:
        decode_audio(wav(data=SOUND.tobytes())[:-missing], SPEC)
    assert refused.value.reason == "cut_short"


@pytest.mark.parametrize("size", [0, 32_000])
def test_a_wav_without_samples_is_empty_even_if_a_chunk_follows(size: int) -> None:
    with pytest.raises(Refused) as refused:
        decode_audio(wav(data=b"", riff=size) + LIST, SPEC)
    assert refused.value.reason == "empty"


# FLAC, MP3, MPEG-4


def id3(size: int) -> bytes:
    return b"ID3\3\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + b"\xff\xd8\xff\xfb" * (size // 4)


@pytest.mark.parametrize("before", [0, 4_000, 2_000_000])
@pytest.mark.parametrize("known", [True, False])
def test_flac_is_read_behind_a_tag_and_without_its_length(before: int, known: bool) -> None:
    data = bytearray(written(melody(4, 48_000, 2), 48_000, "FLAC", "PCM_16"))
    if not known:
        data[21] &= 0xF0
        data[22:26] = bytes(4)
    tag = id3(before) if before else b""
    samples = whole(tag + data, 4, longer=0)
    np.testing.assert_allclose(samples, mixed(melody(4, 48_000, 2), 48_000), atol=1e-4)


@cache
def mp3(rate: int = 44_100) -> bytes:
    return contained(melody(5, rate), rate, "mp3", "libmp3lame", {"id3v2_version": "0"})


@cache
def variable() -> bytes:
    """MP3 of changing bit rate without a Xing header, the loudest and widest first: joined from two constant ones."""
    options = {"write_xing": "0", "id3v2_version": "0"}
    parts = []
    for first, kilobits in ((0, 192), (3, 32)):
        sound = melody(3, 44_100, first=first)
        parts.append(contained(sound, 44_100, "mp3", "libmp3lame", options | {"b": f"{kilobits}k"}))
    return b"".join(parts)


APE = b"APETAGEX" + struct.pack("<III", 2_000, 232, 1)


@pytest.mark.parametrize("before", [
    b"", bytes(4_096), bytes(100_001), b"\r\n\r\n", id3(2_000), id3(400_000), id3(2_000) + bytes(777) + id3(3_000),
    APE + struct.pack("<I", 0xA0000000) + bytes(8 + 232), b"<br />\nWarning: a line of PHP\n" * 20,
    np.random.default_rng(5).bytes(3_000),
], ids=["none", "zeros", "many zeros", "lines", "tag", "cover", "two tags", "ape", "text", "junk"])  # fmt: skip
@pytest.mark.parametrize("behind", [b"", b"TAG" + bytes(125), APE + struct.pack("<I", 0x80000000) + bytes(240),
                                    bytes(3_000), b"junk"], ids=["none", "tag", "ape", "zeros", "junk"])  # fmt: skip
def test_mp3_is_found_wherever_it_begins_and_heard_to_its_end(before: bytes, behind: bytes) -> None:
    whole(before + mp3() + behind, 5)


def test_mp3_of_changing_bit_rate_needs_no_header_that_tells_its_length() -> None:
    whole(variable(), 6, longer=0.25)


def test_junk_within_an_mp3_costs_what_it_hit() -> None:
    data = mp3()
    junk = np.random.default_rng(3).bytes(700)
    samples = decode_audio(data[:20_000] + junk + data[20_000:], SPEC)
    assert [tone for tone in heard(samples) if tone in range(5)] == list(range(5))


@pytest.mark.parametrize("brand", [b"M4A ", b"M4B ", b"isom", b"3ge6", b"dby1", b"F4V ", b"XAVC", b"kddi", b"????"])
def test_mpeg_4_is_read_whatever_its_brand(brand: bytes) -> None:
    data = contained(melody(3, 16_000), 16_000, "ipod", "aac")
    whole(data[:8] + brand + data[12:], 3)


def movie(order: str) -> bytes:
    """MPEG-4 with its index behind the sound, before it, or in fragments."""
    sound = melody(4, 16_000)
    if order == "fragments":
        return contained(
            sound, 16_000, "mp4", "aac", {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}
        )
    data = contained(sound, 16_000, "mp4", "aac")
    if order == "behind":
        return data
    start, body = data.index(b"moov") - 4, data.index(b"free") - 4
    moov = bytearray(data[start:])
    table = moov.index(b"stco") + 8
    for entry in range(struct.unpack_from(">I", moov, table)[0]):
        place = table + 4 + 4 * entry
        struct.pack_into(">I", moov, place, struct.unpack_from(">I", moov, place)[0] + len(moov))
    return data[:body] + moov + data[body:start]


@pytest.mark.parametrize("order", ["behind", "before", "fragments"])
@pytest.mark.parametrize("tail", [b"", b"TAG" + bytes(125), b"\n", b"\0\0\1\0free", b"\0\0\0\x10free" + bytes(8),
                                  bytes(1_000), b"\xff" * 777])  # fmt: skip
def test_mpeg_4_is_read_in_any_order_and_with_any_tail(order: str, tail: bytes) -> None:
    whole(movie(order) + tail, 4)


@pytest.mark.parametrize("order", ["behind", "before"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_mpeg_4_cut_short_is_refused(order: str, kept: float) -> None:
    with pytest.raises(Refused) as refused:
        decode_audio(movie(order)[: int(kept * len(movie(order)))], SPEC)
    assert refused.value.reason == "cut_short"


@pytest.mark.parametrize(("container", "coding"), [("aiff", "pcm_s16be"), ("caf", "pcm_s16le"), ("flac", "flac")])
def test_what_tells_its_length_is_refused_where_a_tenth_is_missing(container: str, coding: str) -> None:
    data = contained(melody(4, 16_000), 16_000, container, coding)
    assert status(data[: len(data) * 8 // 10]) == "undecodable"


# Channels and scales


@pytest.mark.parametrize("factors", [(1, -1), (1, -0.8), (0.5, -0.5, 0.5, -0.5), (0.2, 0.3, -1, 0.5)])
def test_channels_that_cancel_each_other_are_not_silence(factors: tuple[float, ...]) -> None:
    sound = melody(3, 48_000)
    data = written(np.stack([sound * factor for factor in factors], axis=1), 48_000)
    loudest = max(factors, key=abs)
    np.testing.assert_allclose(decode_audio(data, SPEC), mixed(sound * np.float32(loudest), 48_000), atol=1e-5)


@pytest.mark.parametrize("factors", [(1, 1), (1, 0), (0, 1), (1, -0.4), (1, 0, 0, 0, 0, 0), (0.5, 0.2, 0.1)])
def test_channels_that_do_not_cancel_each_other_are_averaged(factors: tuple[float, ...]) -> None:
    sound = np.stack([melody(3, 48_000) * np.float32(factor) for factor in factors], axis=1)
    np.testing.assert_allclose(decode_audio(written(sound, 48_000), SPEC), mixed(sound, 48_000), atol=1e-5)


def test_unrelated_channels_are_averaged() -> None:
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, (48_000, 6)).astype(np.float32)
    np.testing.assert_allclose(decode_audio(written(noise, 16_000), SPEC), mixed(noise, 16_000), atol=1e-6)


@pytest.mark.parametrize("bits", [15, 23, 31])
@pytest.mark.parametrize("channels", [1, 2])
def test_floats_in_the_range_of_integers_are_scaled(bits: int, channels: int) -> None:
    sound = melody(3, 16_000, channels)
    samples = decode_audio(written(sound * np.float32(2**bits), 16_000), SPEC)
    np.testing.assert_allclose(samples, mixed(sound, 16_000), atol=1e-6)


def test_integers_as_floats_that_cancel_each_other_are_scaled_and_heard() -> None:
    sound = melody(3, 16_000)
    data = written(np.stack([sound, -sound], axis=1) * np.float32(2**15), 16_000)
    np.testing.assert_allclose(decode_audio(data, SPEC), sound, atol=1e-6)
