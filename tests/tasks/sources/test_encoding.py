"""Text in any encoding: told by its mark, its bytes or the setting, and one bad byte is no other encoding."""

from __future__ import annotations

import codecs
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.tasks.sources import Notes, Record, RejectedRecord
from tests.tasks.sources.reviews import outcome, read_bytes

SENTENCES = (
    "Отличный курс, спасибо преподавателю за терпение!", "Материал подан скучно, домашние задания проверяют долго.",
    "Понравилось всё, кроме звука в третьем уроке", "Не советую: денег жалко", "Много воды, мало практики",
    "ХОРОШИЙ КУРС, но дорогой", "Лекции короткие и понятные", "Поддержка отвечает быстро, наставник внимательный",
)  # fmt: skip
CYRILLIC = ("cp1251", "koi8-r", "cp866", "mac-cyrillic", "iso8859-5")
WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-8")


def table(texts: list[str]) -> str:
    return "review_id;created_at;text\r\n" + "".join(f'r{n};2026-03-01;"{text}"\r\n' for n, text in enumerate(texts))


def texts_of(found: list[Record | RejectedRecord]) -> list[str | None]:
    return [one.text if isinstance(one, Record) else None for one in found]


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=9),
    encoding=st.sampled_from([*CYRILLIC, *WIDE]),
    said=st.booleans(),
    ending=st.sampled_from([".csv", ".jsonl"]),
)
def test_the_encoding_is_found_and_said(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], encoding: str, said: bool, ending: str
) -> None:
    data = table(texts)
    if ending == ".jsonl":
        data = "".join(
            f'{{"review_id": "r{n}", "created_at": "2026-03-01", "text": "{text}"}}\n' for n, text in enumerate(texts)
        )
    notes = Notes()
    found = read_bytes(
        tmp_path_factory.getbasetemp(),
        data.encode(encoding),
        ending=ending,
        notes=notes,
        encoding=encoding if said else None,
    )
    assert texts_of(found) == texts
    told = list(notes.lines())
    if encoding in CYRILLIC and not said:
        codec = codecs.lookup(encoding).name.replace("-", "")
        (line,) = told
        assert line.startswith(f"reviews{ending}: its bytes look like ")
        assert codec in line.replace("-", "").replace("_", "")
    else:
        assert not told


def test_one_bad_byte_in_utf8_refuses_its_record_and_changes_no_other(tmp_path: Path) -> None:
    chance = random.Random(2)
    for _ in range(100):
        texts = chance.choices(SENTENCES, k=chance.randrange(2, 6))
        rows = table(texts).encode().split(b"\r\n")
        bad = chance.randrange(1, len(rows) - 1)
        at = chance.randrange(rows[bad].index(b'"') + 1, len(rows[bad]) - 1)
        rows[bad] = rows[bad][:at] + bytes([chance.choice((0xE0, 0xFF, 0xCF, 0xC0))]) + rows[bad][at:]
        notes = Notes()
        found = read_bytes(tmp_path, b"\r\n".join(rows), ending=".csv", notes=notes)
        wanted: list[str | None] = [*texts]
        wanted[bad - 1] = None
        assert texts_of(found) == wanted
        assert outcome(found[bad - 1]) == "encoding"
        assert not list(notes.lines())


@pytest.mark.parametrize("encoding", ["cp1251", "utf-16-le", "utf-16-be"])
def test_bytes_that_an_encoding_does_not_have_refuse_their_record_alone(tmp_path: Path, encoding: str) -> None:
    bad = {"cp1251": b"\x98", "utf-16-le": b"\x00\xd8", "utf-16-be": b"\xd8\x00"}[encoding]
    rows = [row.encode(encoding) for row in table(list(SENTENCES[:3])).split("\r\n")]
    rows[2] = rows[2][:-4] + bad + rows[2][-4:]
    found = read_bytes(tmp_path, "\r\n".encode(encoding).join(rows), ending=".csv", encoding=encoding)
    assert [outcome(one) for one in found] == ["r0", "encoding", "r2"]


def test_what_the_bytes_are_sure_of_goes_before_the_setting_and_is_said(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        notes = Notes()
        data = table(list(SENTENCES)).encode(encoding)
        found = read_bytes(tmp_path, data, ending=".csv", encoding="cp1251", notes=notes)
        assert texts_of(found) == list(SENTENCES)
        assert any("whatever the setting" in line for line in notes.lines()) is (encoding == "utf-8")


def test_letters_of_other_languages_are_not_guessed(tmp_path: Path) -> None:
    notes = Notes()
    found = read_bytes(tmp_path, table(["Très déçu, cours médiocre"]).encode("cp1252"), ending=".csv", notes=notes)
    assert [outcome(one) for one in found] == ["encoding"]
    assert not list(notes.lines())
    (read,) = read_bytes(tmp_path, table(["Très déçu"]).encode("cp1252"), ending=".csv", encoding="cp1252")
    assert texts_of([read]) == ["Très déçu"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json"])
def test_marks_before_records_and_lines_that_end_in_cr_alone(tmp_path: Path, ending: str) -> None:
    mark = "\ufeff"
    rows = ["review_id,created_at,text", 'a,2026-03-01,"Одна\nдве"', "b,2026-03-01,Три"]
    if ending != ".csv":
        rows = ['{"review_id": "a", "created_at": "2026-03-01", "text": "Одна\\nдве"}',
                '{"review_id": "b", "created_at": "2026-03-01", "text": "Три"}']  # fmt: skip
    for joined in (mark * 2 + "\n".join(rows), f"\n{mark}".join(rows), "\r".join(rows), "\r\n".join(rows) + "\r\n"):
        for encoding in ("utf-8", "utf-16-le"):
            found = read_bytes(tmp_path, (mark + joined).encode(encoding), ending=ending)
            assert [(outcome(one), texts_of([one])) for one in found] == [("a", ["Одна\nдве"]), ("b", ["Три"])]
