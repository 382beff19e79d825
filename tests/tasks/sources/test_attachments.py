"""Attached files: nothing outside the source is ever read, and content decides what a file is."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.tasks.extractors.contract.contents import audio, image
from otzyv.tasks.sources import Attachment, AttachmentRef, SourceFile, fetch, files
from otzyv.tasks.sources.attachments import take

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


@pytest.mark.parametrize(("head", "megabytes"), [(PNG, 30), (WAV, 50)])
def test_files_beyond_the_limit_are_too_large(source: SourceFile, head: bytes, megabytes: int) -> None:
    path = source.root / "day" / "big"
    for size, status in ((megabytes * 10**6, "ok"), (megabytes * 10**6 + 1, "too_large")):
        path.write_bytes(head)
        os.truncate(path, size)
        found = fetch(source, AttachmentRef("other", "big"))
        assert (found.status, found.bytes_len) == (status, size)
        assert (found.sha256 is None) == (status == "too_large")


def test_what_a_file_is_does_not_depend_on_how_few_bytes_come_at_a_time() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(7, size or 7))

    for data in (audio("WAV"), b"\0" * 5_000 + audio("MP3"), image("PNG"), b"neither"):
        whole, slow = io.BytesIO(), io.BytesIO()
        ref = AttachmentRef("other", "a")
        assert take(ref, Slow(data), slow) == take(ref, io.BytesIO(data), whole)
        assert slow.getvalue() == whole.getvalue()
