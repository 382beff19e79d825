"""A record that can't be read is known for a forgotten person's by whatever of it can."""

from __future__ import annotations

import codecs
import json
import unicodedata
from collections.abc import Callable

import pytest

from otzyv.tasks.lake.records import whose
from otzyv.tasks.lake.records.suppression import Suppressed, keyed, keyed_name
from otzyv.tasks.lake.records.whose import Refused, caseless, has_id
from otzyv.tasks.sources import encoding
from otzyv.tasks.sources.formats import csv

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
        b"17|cut",
        b'r|"' + AUTHOR.replace('"', '""').encode() + b'"|too|many|cells',
    ],
)
def test_a_forgotten_record_is_known_however_it_is_broken(raw: bytes) -> None:
    assert FORGOTTEN.covers_refused(KEY, raw)
    assert not FORGOTTEN.covers_refused("another key", raw)
    assert not Suppressed(frozenset()).covers_refused(KEY, raw)


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\x00", b'{"review_id": "17-a", "author": "\\ud800"', b"117,cut", b"[" * 9999]
)
def test_others_are_not(raw: bytes) -> None:
    assert not FORGOTTEN.covers_refused(KEY, raw)


def test_a_short_id_is_looked_for_in_the_column_of_ids_alone() -> None:
    five = Suppressed(frozenset({f"review-{keyed(KEY, '5')}"}))
    of_others = [
        b'{"review_id": "r1", "rating": 5, "text": "5"}',
        b'{"id": 50, "rating": 5}',
        b'{"rating": 5, "text": "no id"}',
        b'{"review_id": "r1", "rating": 5, "text": "cut',
        b"r1,5,too,many",
        b"[5]",
        b'["clean_text", "2026-03-01", "r1", 5, "text is filled"]',
    ]
    assert not [raw for raw in of_others if five.covers_refused(KEY, raw)]
    assert not five.covers_refused(KEY, b"5,1,cut", "r1"), "its reader has told the id"
    theirs = [
        b'{"review_id": "5", "rating": 9}',
        b'{"id": 5}',
        b'{"text": "", "review_id": 5, "cut',
        b"5,9,x",
        b"5;9;x",
    ]
    theirs += [b'["clean_text", "2026-03-01", "5", "text is filled"]', '{"id": "5", "cut'.encode("utf-16-le")]
    assert [raw for raw in theirs if five.covers_refused(KEY, raw)] == theirs
    assert five.covers_refused(KEY, b"anything", "5")


NAME = "Ёлкина Юля"
FORMS = [NAME, NAME.upper(), NAME.lower(), unicodedata.normalize("NFD", NAME), f"  {NAME}\t", NAME.replace(" ", "  ")]
RAW = [
    lambda name: json.dumps({"review_id": "a", "author": name}).encode(),
    lambda name: json.dumps({"review_id": "a", "author": name}, ensure_ascii=False).encode("utf-16"),
    lambda name: json.dumps({"a": [{"author": name}]}, ensure_ascii=False).encode(),
    lambda name: json.dumps({"review_id": "a", "author": name}).encode()[:-1],
    lambda name: json.dumps({"author": name, "text": "я"}, ensure_ascii=False).encode("cp1251", "ignore")[:-1],
    lambda name: f'a,"{name}",5,more'.encode(),
    lambda name: f"a;{name};5;more".encode("cp866", "ignore"),
    lambda name: f"a\t{name}\t5".encode("koi8-r", "ignore"),
    lambda name: f"a,{name},5".encode("utf-16-le"),
    lambda name: b"\xff{" + f'"author": "{name}"'.encode(),
]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("raw", RAW)
def test_a_name_is_found_in_any_format_case_and_encoding(name: str, raw: Callable[[str], bytes]) -> None:
    if unicodedata.is_normalized("NFD", name) and b"\xd0" not in raw("Ёй"):
        name = unicodedata.normalize("NFC", name)  # no single-byte encoding has the breve alone
    forgotten = Suppressed(frozenset({f"name-{keyed_name(KEY, NAME)}"}))
    assert Refused(raw(name)).of_author({caseless(NAME)})
    assert forgotten.covers_refused(KEY, raw(name))
    for longer in (f"{name.strip()}к", f"{name.strip()}-2", name.strip()[1:]):
        assert not Refused(raw(longer)).of_author({caseless(NAME)})
        assert not forgotten.covers_refused(KEY, raw(longer))


def test_a_forgotten_author_is_known_in_any_case() -> None:
    forgotten = Suppressed(frozenset({f"name-{keyed_name(KEY, NAME)}"}))
    assert all(forgotten.covers(KEY, "r", form) for form in FORMS)
    assert not forgotten.covers(KEY, "r", None)
    assert not forgotten.covers(KEY, "r", "Елкина Юля")
    former = Suppressed(frozenset({f"author-{keyed(KEY, NAME)}"}))
    assert former.covers(KEY, "r", NAME)
    assert former.covers_refused(KEY, RAW[0](NAME)), "as a former otzyv noted it"


def test_a_number_in_a_text_is_an_id_only_in_quotes() -> None:
    assert not has_id("5 of 17 rows failed", {"5", "17"})
    assert has_id("no content of '17'", {"17"})
    assert has_id("r-17 has no content", {"r-17"})
    assert not has_id("r-170, or-17", {"r-17"})


def test_a_refused_record_is_read_in_all_that_sources_are() -> None:
    """The lake knows no source, so each has its own list."""
    assert csv.DELIMITERS == whose.DELIMITERS
    assert {codecs.lookup(name).name for name in encoding.CYRILLIC} <= {
        codecs.lookup(name).name for name in whose.ENCODINGS
    }
