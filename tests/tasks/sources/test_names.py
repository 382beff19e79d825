"""An attached file is found however its path was written, and never another one for it."""

from __future__ import annotations

import errno
import os
import random
import string
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest

from otzyv.tasks.sources import AttachmentRef, Names, SourceFile, fetch
from otzyv.tasks.sources.attachments import as_told

NFC, NFD = (unicodedata.normalize(form, "йод/ёлка и Ю.png") for form in ("NFC", "NFD"))


def source(root: Path, *names: str) -> SourceFile:
    """A source file beside these pictures, each with its own name in it."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(name))
    return SourceFile(root, "reviews.jsonl", ".jsonl")


def picture(name: str) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + name.encode(errors="surrogateescape")


def found(file: SourceFile, uri: str) -> str | None:
    """The name of the file that is taken, or why none is."""
    attachment = fetch(file, AttachmentRef("image", uri))
    if attachment.path is None:
        return attachment.reason
    name = attachment.path.relative_to(file.root).as_posix()
    assert attachment.bytes_len == len(picture(name))
    return name


@pytest.mark.parametrize(
    ("there", "uri"),
    [
        (NFD, NFC), (NFC, NFD), (NFC, NFC), (NFD, NFD), (NFD, f"./{NFC}"), (NFC, quote(NFC)), (NFC, quote(NFD)),
        (NFD, quote(NFC)), (NFC, quote(NFC, safe="")), (NFD, quote(NFC.replace("/", "\\"), safe="")),
        ("photos/1.png", "photos\\1.png"), ("photos/1.png", ".\\photos\\1.png"), ("photos/1.png", "photos//.//1.png"),
        ("photos/1.png", " photos/1.png "), ("photos/1.png", "photos/1.png\N{NO-BREAK SPACE}"),
        ("a b.png", "a%20b.png"), ("a+b.png", "a+b.png"), ("a%20b.png", "a%20b.png"), ("100%.png", "100%.png"),
        ("100%.png", "100%25.png"), ("a%2fb.png", "a%252fb.png"), ("é.png", "%C3%A9.png"), ("é.png", "e%CC%81.png"),
        (" 1.png", " 1.png"), ("photos\\1.png", "photos\\1.png"), ("1.JPG", "1.jpg"), ("Photos/1.jpg", "photos/1.JPG"),
        ("ФОТО/Ёж.png", "фото/ЁЖ.png"), ("СТРАССЕ/straße.png", "страссе/STRASSE.PNG"), ("a.png", "b/../a.png"),
        ("ф%F4.png", "ф%F4.png"), ("photos/1.png", "PHOTOS\\1.png"), ("\N{KELVIN SIGN}.png", "K.png"),
    ],
)  # fmt: skip
def test_a_file_is_found_however_its_path_is_written(tmp_path: Path, there: str, uri: str) -> None:
    assert found(source(tmp_path, there, "other.png"), uri) == there


@pytest.mark.parametrize(
    ("there", "uri", "taken"),
    [
        (["%41.png", "A.png"], "%41.png", "%41.png"), (["a\\1.png", "a/1.png"], "a\\1.png", "a\\1.png"),
        ([" 1.png", "1.png"], " 1.png", " 1.png"), ([NFC, NFD], NFC, NFC), ([NFC, NFD], NFD, NFD),
        (["a.png", "A.png"], "a.png", "a.png"), (["a.png", "A.png"], "A.png", "A.png"),
        (["A.png", "%61.png"], "%61.png", "%61.png"), (["a.png", "A.png", "%61.PNG"], "%61.png", "a.png"),
        ([NFD, NFC.upper()], NFC, NFD),
        # as near as one another
        (["A.png", "a.PNG"], "a.png", "ambiguous"), (["p/1.png", "P/1.png"], "p/1.PNG", "ambiguous"),
        ([NFC.replace("/", "\\") + "1", NFD.replace("/", "\\") + "1"], quote(NFC) + "1", "not found"),
        ([unicodedata.normalize("NFD", "йё.png"), "и\u0306ё.png"], "йё.png", "ambiguous"),
        # nothing that is near
        (["a.png"], "b.png", "not found"), (["ｆ.png"], "f.png", "not found"),
        (["ﬁ.png"], "%EF%AC%82.png", "not found"),
        (["й.png"], "и.png", "not found"), (["е.png"], "ё.png", "not found"), (["1.png"], "1.png.png", "not found"),
    ],
)  # fmt: skip
def test_the_nearest_name_is_taken_and_none_of_two_as_near(
    tmp_path: Path, there: list[str], uri: str, taken: str
) -> None:
    assert found(source(tmp_path, *there), uri) == taken


def test_names_that_are_not_unicode_are_passed_over(tmp_path: Path) -> None:
    file = source(tmp_path, "1.png")
    (tmp_path / os.fsdecode(b"\xf4\xee\xf2\xee.png")).write_bytes(picture("cp1251"))
    assert found(file, "фото.png") == "not found"
    assert found(file, "1.PNG") == "1.png"


def test_the_way_to_the_records_own_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    source(tmp_path, "Day/1.png")
    (tmp_path / "day").mkdir()
    file = SourceFile(tmp_path, "day/reviews.jsonl", ".jsonl")
    assert found(file, "1.png") == "not found"
    assert found(file, "../day/1.png") == "Day/1.png"


def test_a_folder_is_listed_once_for_all_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, names = source(tmp_path, *(f"p/{n}.png" for n in range(50))), Names()
    listed: list[int] = []
    real = os.listdir

    def listing(folder: int) -> list[str]:
        listed.append(folder)
        return real(folder)

    monkeypatch.setattr(os, "listdir", listing)
    for n in range(200):
        ref = AttachmentRef("image", f"P/{n}.PNG")
        assert (fetch(file, ref, names=names).path is None) == (n >= 50)
    assert len(listed) <= 4


def test_a_file_that_may_not_be_read_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = source(tmp_path, "1.png", "closed/2.png")

    real = os.open

    def opened(path: str, flags: int, dir_fd: int | None = None) -> int:
        if path in ("1.png", "closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", opened)
    for uri in ("1.png", "closed/2.png", "%31.png"):
        attachment = fetch(file, AttachmentRef("image", uri))
        assert (attachment.status, attachment.reason) == ("missing", "unreadable")


def written(name: str, chance: random.Random) -> str:
    """A path as one of many programs would write it."""
    name = unicodedata.normalize(chance.choice(["NFC", "NFD"]), name)
    if chance.random() < 0.5:
        name = chance.choice(["", "./", "x/../"]) + name
    if chance.random() < 0.4:
        name = name.replace("/", "\\")
    if chance.random() < 0.5:
        name = quote(name, safe=chance.choice(["/", "/\\", ""]))
    return chance.choice(["", "", " "]) + name + chance.choice(["", "", " ", "\t"])


@pytest.mark.parametrize("seed", range(25))
def test_among_any_names_each_is_found_by_every_way_to_write_it(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    letters = "йёщюъéüñç" + string.ascii_lowercase + string.digits + " +&#;=@~()[]"
    inside = [
        "".join(chance.choice(letters) for _ in range(8)).strip() + chance.choice([".png", ".jpg"]) for _ in range(12)
    ]
    names = [
        unicodedata.normalize(chance.choice(["NFC", "NFD"]), f"фото {n % 3}й/{name}") for n, name in enumerate(inside)
    ]
    file, known = source(tmp_path, *names), Names()
    for name in names * 4:
        uri = written(name, chance)
        attachment = fetch(file, AttachmentRef("image", uri), names=known)
        assert attachment.path == tmp_path / name, (uri, attachment.reason)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("photos\\1.png", "photos\\1.png"),
        (" 1.png ", " 1.png "),
        ("a?b#c@d.png", "a?b#c@d.png"),
        ("https://me:secret@example.org/1.png?key=secret#x", "https://example.org/1.png"),
        ("HTTP://token@example.org?key=secret", "HTTP://example.org"),
        ("//a@b/1.png", "//a@b/1.png"),
        (" s3://bucket/1.png?X-Amz-Signature=secret", "s3://bucket/1.png"),
        ("https:/example.org/1.png?key=secret", "https:/example.org/1.png"),
        ("https:example.org?secret", "https:example.org"),
        ("https:\\\\example.org\\1.png?secret", "https:\\\\example.org\\1.png"),
        ("//example.org/1.png?key=secret", "//example.org/1.png"),
        ("//me:secret@example.org/1.png", "//example.org/1.png"),
        ("https:/me:secret@example.org/1.png", "https:/example.org/1.png"),
        ("https://me:secret", "https://me"),
        ("https://example.org:8443/a@2x.png", "https://example.org:8443/a@2x.png"),
        ("https://me:sec?ret@example.org/1.png", "https://example.org/1.png"),
        ("https%3A%2F%2Fexample.org%2F1.png%3Fkey%3Dsecret", "https://example.org/1.png"),
        ("https://example.org/1.png%3Fkey=secret", "https://example.org/1.png"),
        ("'https://example.org/1.png?secret'", "'https://example.org/1.png"),
        ("https://example.org/1.png;session=secret", "https://example.org/1.png"),
        ("example.org/1.png?key=secret", "example.org/1.png"),
        ("www.example.org/1.png#key=secret", "www.example.org/1.png"),
        ("data:image/png;base64,c2VjcmV0", "data:image/png"),
        ("data:,secret", "data:"),
        (" DATA:text/plain,secret", "DATA:text/plain"),
        ("mailto:secret@example.org", "mailto:"),
        ("C:\\photos\\1.png", "C:\\photos\\1.png"),
        ("фото: 1.png", "фото: 1.png"),
        ("50%.png", "50%.png"),
        ("a&b;c.png", "a&b;c.png"),
    ],
)
def test_what_is_kept_of_a_reference_holds_no_key(uri: str, told: str) -> None:
    assert as_told(uri) == told
