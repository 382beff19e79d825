"""A record that can't be read is known for a forgotten person's by whatever of it can."""

from __future__ import annotations

import json

import pytest

from tasks.lake.suppression import Suppressed, keyed

KEY, AUTHOR = "a key of tests", 'Иван "Забывающий", мл.'
FORGOTTEN = Suppressed(frozenset({f"author-{keyed(KEY, AUTHOR)}", f"review-{keyed(KEY, '17')}"}))
WHOLE = json.dumps({"review_id": "r", "author": AUTHOR, "text": "x" * 99}, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "raw",
    [
        WHOLE,
        WHOLE[:-20],
        json.dumps({"author": AUTHOR, "text": "x"}).encode()[:-1],
        b'r,"' + AUTHOR.replace('"', '""').encode() + b'",too,many,cells',
        WHOLE[:-20].decode().encode("cp1251"),
        b'{"review_id": 17, "text": "\\ud800"}',
        b"17,cut",
    ],
)
def test_a_forgotten_record_is_known_however_it_is_broken(raw: bytes) -> None:
    assert FORGOTTEN.named_in(raw, KEY)
    assert not FORGOTTEN.named_in(raw, "another key")
    assert not Suppressed(frozenset()).named_in(raw, KEY)


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\x00", b'{"review_id": "17-a", "author": "\\ud800"', b"117,cut", b"[" * 9999]
)
def test_others_are_not(raw: bytes) -> None:
    assert not FORGOTTEN.named_in(raw, KEY)
