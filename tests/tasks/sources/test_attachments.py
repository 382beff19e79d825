"""Attached files: nothing outside the source is ever read, and content decides what a file is."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sources import Attachment, AttachmentRef, SourceFile, fetch, files, sniff
from tests.tasks.extractors.contents import contained

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 10
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + b"sound" * 10
SECRET = b"\x89PNG\r\n\x1a\n" + b"secret" * 10


def put(tmp_path: Path) -> SourceFile:
    """root/day/reviews.jsonl, with pictures beside it, above it, and outside of the root."""
    for name, data in {
        "root/day/reviews.jsonl": b"", "root/day/photos/1.png": PNG, "root/day/2 фото.txt": PNG, "root/top.wav": WAV,
        "root/day/%2e%2e/3.png": PNG, "root/day/text.png": b"no picture", "secret.png": SECRET,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "root" / "day" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "root" / "day" / "inside.png").symlink_to("photos/1.png")
    (tmp_path / "root" / "day" / "up").symlink_to(tmp_path)
    (tmp_path / "root" / "day" / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "root" / "day" / "pipe.png")
    (file,) = files(tmp_path / "root")
    return file


@pytest.fixture
def source(tmp_path: Path) -> SourceFile:
    return put(tmp_path)


@pytest.mark.parametrize(
    ("uri", "lies_at"),
    [("photos/1.png", "day/photos/1.png"), ("./photos//1.png", "day/photos/1.png"), ("2 фото.txt", "day/2 фото.txt"),
     ("../top.wav", "top.wav"), ("photos/../../top.wav", "top.wav"), ("%2e%2e/3.png", "day/%2e%2e/3.png")],
)  # fmt: skip
def test_plain_paths_are_followed_from_the_source_file(source: SourceFile, uri: str, lies_at: str) -> None:
    found = fetch(source, AttachmentRef("other", uri))
    data = (source.root / lies_at).read_bytes()
    kind, media_type = ("image", "image/png") if data == PNG else ("audio", "audio/wav")
    assert found == Attachment(
        kind, "ok", None, media_type, len(data), hashlib.sha256(data).hexdigest(), source.root / lies_at
    )


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("../../secret.png", "outside the folder"), ("photos/../../../secret.png", "outside the folder"),
        ("..", "not a file"), ("../..", "outside the folder"), ("/etc/passwd", "an absolute path"),
        ("//etc/passwd", "an absolute path"), ("link.png", "a link"),
        ("inside.png", "a link"), ("up/secret.png", "a link"), ("up/root/top.wav", "a link"),
        ("dangling.png", "a link"), ("pipe.png", "not a file"), ("photos", "not a file"),
        ("photos/", "not a file"), (".", "not a file"), ("", "not a file"), ("a\0.png", "not a file"),
        ("\udcff.png", "not a file"), ("http://example.org/1.png", "a URL"),
        ("HTTPS://example.org/1.png", "a URL"), ("file:photos/1.png", "a URL"),
        ("file:///etc/passwd", "a URL"), ("data:image/png;base64,aaaa", "a URL"), ("  http://example.org/ ", "a URL"),
        ("C:\\photos\\1.png", "an absolute path"), ("c:photos/1.png", "an absolute path"),
        ("none.png", "not found"), ("none/1.png", "not found"), ("photos/1.png/x", "not found"),
        ("x" * 300, "not found"), ("../root/top.wav", "not found"),
    ],
)  # fmt: skip
def test_what_is_not_there_or_leads_elsewhere_has_a_reason(source: SourceFile, uri: str, reason: str) -> None:
    found = fetch(source, AttachmentRef("image", uri))
    status = "missing" if reason == "not found" else "unsupported"
    assert (found.status, found.reason, found.bytes_len, found.path) == (status, reason, None, None)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("..%2f..%2fsecret.png", "outside the folder"), ("%2e%2e/%2e%2e/secret.png", "outside the folder"),
        ("..\\..\\secret.png", "outside the folder"), ("..%5c..%5Csecret.png", "outside the folder"),
        ("%2e%2e%5c%2e%2e%2fsecret.png", "outside the folder"),
        ("photos\\..\\..\\..\\secret.png", "outside the folder"),
        ("%2Fetc%2Fpasswd", "an absolute path"), ("\\etc\\passwd", "an absolute path"),
        ("\\\\server\\share\\1.png", "an absolute path"), ("\\\\?\\C:\\1.png", "an absolute path"),
        ("C%3A%5Cphotos%5C1.png", "an absolute path"), ("file%3A%2F%2F%2Fetc%2Fpasswd", "a URL"),
        (" /etc/passwd", "an absolute path"), ("\N{NO-BREAK SPACE}/etc/passwd", "an absolute path"),
        ("photos/1.png%00.txt", "not a file"), ("%252e%252e/%252e%252e/secret.png", "not found"),
        ("%c0%ae%c0%ae/%c0%ae%c0%ae/secret.png", "not found"), ("%u002e%u002e/secret.png", "not found"),
        ("\uff0e\uff0e/\uff0e\uff0e/secret.png", "not found"), ("\u2025/\u2025/secret.png", "not found"),
        ("..\u2044..\u2044secret.png", "not found"), ("..\u2215..\u2215secret.png", "not found"),
        ("..\uff0f..\uff0fsecret.png", "not found"), ("..;/..;/secret.png", "not found"),
        ("LINK.PNG", "a link"), ("Up/secret.png", "not found"), ("PIPE.png", "not a file"),
        ("~/secret.png", "not found"),
    ],
)  # fmt: skip
def test_no_way_to_write_a_path_leads_out(source: SourceFile, uri: str, reason: str) -> None:
    into = io.BytesIO()
    found = fetch(source, AttachmentRef("image", uri), into)
    assert (found.status, found.reason) == ("missing" if reason == "not found" else "unsupported", reason)
    assert into.getvalue() == b""


parts = st.sampled_from(
    ["..", ".", "", "up", "UP", "day", "root", "photos", "link.png", "secret.png", "1.PNG", "%2e%2e", "%2f", "\\", "~"]
)


@settings(max_examples=200, deadline=None)
@given(
    uri=st.lists(parts | st.text(max_size=3), max_size=8).flatmap(
        lambda parts: st.sampled_from(["/", "\\", "%2F", "%5c", ""]).map(lambda between: between.join(parts))
    )
)
def test_no_path_leads_to_what_lies_outside(tmp_path_factory: pytest.TempPathFactory, uri: str) -> None:
    base = tmp_path_factory.getbasetemp() / "outside"
    (file,) = files(base / "root") if base.exists() else (put(base),)
    into = io.BytesIO()
    found = fetch(file, AttachmentRef("other", uri), into)
    assert SECRET not in into.getvalue()
    if found.path is not None:
        assert found.path.resolve() == found.path
        assert found.path.is_relative_to(base / "root")


FLIP = """
import os, sys
photos, real, link = sys.argv[1:]
while True:  # photos is a folder, then a link that leads outside, then the folder again, ...
    os.rename(photos, real); os.rename(link, photos)
    os.rename(photos, link); os.rename(real, photos)
"""


def test_a_folder_swapped_for_a_link_meanwhile_is_never_followed(source: SourceFile, tmp_path: Path) -> None:
    photos, outside = source.root / "day" / "photos", tmp_path / "outside"
    outside.mkdir()
    (outside / "1.png").write_bytes(SECRET)
    (tmp_path / "link").symlink_to(outside)
    seen = set()
    with subprocess.Popen([sys.executable, "-c", FLIP, photos, tmp_path / "real", tmp_path / "link"]) as flipping:
        try:
            for _ in range(20_000):
                found = fetch(source, AttachmentRef("image", "photos/1.png"))
                seen.add((found.status, found.sha256))
                if len(seen) == 3:
                    break
        finally:
            flipping.kill()
    assert seen <= {("ok", hashlib.sha256(PNG).hexdigest()), ("missing", None), ("unsupported", None)}
    assert len(seen) > 1, "the folder was not seen to change"


def test_the_bytes_hashed_are_the_bytes_handed_on(source: SourceFile) -> None:
    into = io.BytesIO()
    found = fetch(source, AttachmentRef("image", "photos/1.png"), into)
    assert into.getvalue() == PNG
    assert found.sha256 == hashlib.sha256(PNG).hexdigest()


def test_content_decides_and_must_be_of_the_kind_the_record_says(source: SourceFile) -> None:
    assert fetch(source, AttachmentRef("image", "2 фото.txt")).status == "ok"
    assert fetch(source, AttachmentRef("image", "text.png")) == Attachment(
        "image", "unsupported", "no known type", bytes_len=10
    )
    assert fetch(source, AttachmentRef("image", "../top.wav")) == Attachment(
        "image", "unsupported", "another kind", "audio/wav", len(WAV)
    )


@pytest.mark.parametrize(("head", "megabytes"), [(PNG, 20), (WAV, 50)])
def test_files_beyond_the_limit_are_too_large(source: SourceFile, head: bytes, megabytes: int) -> None:
    path = source.root / "day" / "big"
    for size, status in ((megabytes * 10**6, "ok"), (megabytes * 10**6 + 1, "too_large")):
        path.write_bytes(head)
        os.truncate(path, size)
        found = fetch(source, AttachmentRef("other", "big"))
        assert (found.status, found.bytes_len) == (status, size)
        assert (found.sha256 is None) == (status == "too_large")


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"), (b"GIF89a\x01\x00", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"), (PNG, "image/png"), (WAV, "audio/wav"),
        (b"fLaC\x00\x00\x00\x22", "audio/flac"), (b"OggS" + bytes(24) + b"OpusHead", "audio/ogg"),
        (b"ID3\x04\x00", "audio/mpeg"), (b"\xff\xfb\x90\x64", "audio/mpeg"), (b"\xff\xf3\x44\xc4", "audio/mpeg"),
        (b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00", "audio/mp4"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00", "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", "audio/webm"),
        # not what we read
        (b"", None), (b"\xff", None), (b"RIFF\x00\x00\x00\x00AVI LIST", None), (b"BM\x00\x00", None), (b"<svg", None),
        (b"II*\x00", None), (b"\xff\xfe{\x00", None), (b"\xff\xf1\x50\x80", None), (b"\xff\xfb\xf0\x64", None),
        (b"\x00\x00\x00\x20ftypheic\x00\x00\x00\x00", None), (b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska", None),
        (b"OggS" + bytes(24) + b"\x80theora", None), (b"%PDF-1.7", None), (b"PK\x03\x04", None),
    ],
)  # fmt: skip
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
    assert sniff(contained(np.zeros(8_000, np.float32), 16_000, container, coding)[:64]) == ("audio", media_type)


BEGINNINGS = (b"", b"\xff\xd8\xff", b"RIFF\0\0\0\0WAVE", b"OggS", b"\xff\xfb", b"\x1a\x45\xdf\xa3", b"\0\0\0 ftypM4A ")


@settings(max_examples=200)
@given(st.sampled_from(BEGINNINGS), st.binary(max_size=20), st.sampled_from([0, 64]), st.sampled_from([b"", b"webm"]))
def test_any_bytes_are_told_by_their_first_64_as_a_media_type_of_their_kind(
    beginning: bytes, middle: bytes, zeros: int, end: bytes
) -> None:
    head = beginning + middle + bytes(zeros) + end
    found = sniff(head)
    assert found == sniff(head[:64])
    assert found is None or found[1].startswith(f"{found[0]}/")


SHARED = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared material beside the project")
def test_real_files_are_told_by_their_content() -> None:
    for folder, kind in (("images/skimage", "image"), ("audio/fsdd", "audio"), ("audio/silero", "audio")):
        for path in sorted((SHARED / folder).iterdir()):
            if path.suffix in (".png", ".jpg", ".jpeg", ".gif", ".wav", ".mp3", ".opus"):
                with path.open("rb") as stream:
                    found = sniff(stream.read(64))
                assert found is not None, path.name
                assert found[0] == kind
