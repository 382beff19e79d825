"""What a file is: told by its content, for the ingest and the decoders alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.tasks.extractors.contract.contents import contained
from otzyv.tasks.media.sniff import HEAD, find, sniff


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"GIF89a\x01\x00", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x89PNG\r\n\x1a\n\0", "image/png"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "audio/wav"),
        (b"BW64\xff\xff\xff\xffWAVEds64", "audio/wav"),
        (b"fLaC\x00\x00\x00\x22", "audio/flac"),
        (b"OggS" + bytes(24) + b"OpusHead", "audio/ogg"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf3\x44\xc4", "audio/mpeg"),
        (b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00", "audio/mp4"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00", "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", "audio/webm"),
        (b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska", "audio/x-matroska"),
        (b"OggS" + bytes(24) + b"Speex   1", "audio/ogg"),
        (b"#!AMR\n\x3c", "audio/amr"),
        (b"#!AMR-WB\n\x24", "audio/amr-wb"),
        (b"caff\x00\x01\x00\x00", "audio/x-caf"),
        (b"FORM\x00\x00\x00\x10AIFFCOMM", "audio/aiff"),
        (b"FORM\x00\x00\x00\x10AIFCFVER", "audio/aiff"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "audio/x-ms-wma"),
        (b"II*\x00\x08\x00\x00\x00", "image/tiff"),
        (b"MM\x00*\x00\x00\x00\x08", "image/tiff"),
        (b"BM" + bytes(12) + b"\x28\x00\x00\x00", "image/bmp"),
        (b"BM" + bytes(12) + b"\x0c\x00\x00\x00", "image/bmp"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "image/heic"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1heicmiaf", "image/heic"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", "image/avif"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1avifmiaf", "image/avif"),
        (b"\x00\x00\x00\x20ftyp3ge6\x00\x00\x00\x00", "audio/mp4"),
        # behind something
        (bytes(70_000) + b"\xff\xfb\x90\x64" + bytes(413) + b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x05abcdefLaC", "audio/flac"),
        (b"\xef\xbb\xbf\r\nOggS" + bytes(24) + b"OpusHead", "audio/ogg"),
        (b"\r\n\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00", "audio/mp4"),
        (b"\n\n\x89PNG\r\n\x1a\n", "image/png"),
        (b"Notice: a line\xff\xd8\xff\xe0\x00\x04ab\xff\xdb\x00\x04ab\xff\xc0", "image/jpeg"),
        # not what we read
        (b"Notice: a line\xff\xd8\xff\xe0\x00\x04ab\x00", None),
        (b"%PDF-1.7\xff\xd8\xff\xe0\x00\x04ab\xff\xdb\x00\x04ab\xff", None),
        (bytes(70_000), None),
        (bytes(70_000) + b"\xff\xfb\x90\x64" + bytes(500), None),
        (b"\xff\xff\xff" * 9_000, None),
        (b"\xff\xfe" * 9_000, None),
        (b"RIFF\0\0\0\0AVI " + b"\xff\xfb\x90\x64" * 400, None),
        (b"", None),
        (b"\xff", None),
        (b"RIFF\x00\x00\x00\x00AVI LIST", None),
        (b"BM\x00\x00", None),
        (b"BMW is a car, not a picture", None),
        (b"<svg", None),
        (b"II*\x00", None),
        (b"\xff\xfe{\x00", None),
        (b"\xff\xf1\x50\x80", None),
        (b"\xff\xfb\xf0\x64", None),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom", None),
        (b"\x1a\x45\xdf\xa3\x93\x42\x82\x84mine", None),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", None),
        (b"FORM\x00\x00\x00\x10ILBM", None),
        (b"#!AMR-NB", None),
        (b"OggS" + bytes(24) + b"\x80theora", None),
        (b"%PDF-1.7", None),
        (b"PK\x03\x04", None),
    ],
)
def test_the_type_is_found_in_the_first_bytes(head: bytes, media_type: str | None) -> None:
    found = sniff(head)
    assert (found and found[1]) == media_type
    assert found is None or found[0] == found[1].split("/")[0]


@pytest.mark.parametrize(
    ("container", "media_type"),
    [("ipod", "audio/mp4"), ("mp4", "audio/mp4"), ("mov", "audio/mp4"), ("3gp", "audio/mp4"), ("webm", "audio/webm")],
)
def test_sound_is_told_as_ffmpeg_writes_it(container: str, media_type: str) -> None:
    coding = "libopus" if container == "webm" else "aac"
    assert sniff(contained(np.zeros(8_000, np.float32), 16_000, container, coding)[:HEAD]) == ("audio", media_type)


BEGINNINGS = (
    b"",
    b"\xff\xd8\xff",
    b"RIFF\0\0\0\0WAVE",
    b"OggS",
    b"\xff\xfb",
    b"\x1a\x45\xdf\xa3",
    b"\0\0\0 ftypM4A ",
    b"ID3\4",
    b"ID3\4\0\0\0\0\0\3abc",
    b"APETAGEX" + bytes(24),
    b"BM",
    b"II*\0",
    b"\xff\xf1",
    b"\0\0 \n",
)


@settings(max_examples=300)
@given(
    st.sampled_from(BEGINNINGS), st.sampled_from(BEGINNINGS), st.binary(max_size=40), st.sampled_from([0, 64, 2**18])
)
def test_any_bytes_are_told_by_the_first_of_them_as_a_media_type_of_their_kind(
    beginning: bytes, second: bytes, middle: bytes, zeros: int
) -> None:
    data = beginning + second + middle + bytes(zeros)
    found = sniff(data)
    assert found == sniff(data[:HEAD])
    assert found is None or found[1].startswith(f"{found[0]}/")
    place = find(data)
    assert (place is None) == (found is None)
    assert place is None or 0 <= place.start <= len(data)


SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared material beside the project")
def test_real_files_are_told_by_their_content() -> None:
    for folder, kind in (("images/skimage", "image"), ("audio/fsdd", "audio"), ("audio/silero", "audio")):
        for path in sorted((SHARED / folder).iterdir()):
            if path.suffix in (".png", ".jpg", ".jpeg", ".gif", ".wav", ".mp3", ".opus"):
                with path.open("rb") as stream:
                    found = sniff(stream.read(HEAD))
                assert found is not None, path.name
                assert found[0] == kind
