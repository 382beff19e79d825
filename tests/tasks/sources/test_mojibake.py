"""Texts read in a wrong encoding are put right, good texts never change, and what can't be undone is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from otzyv.tasks.sources import Notes, Record
from otzyv.tasks.sources.mojibake import MIXUPS, mended
from tests.tasks.sources.reviews import line, read_bytes
from tests.tasks.sources.test_encoding import SENTENCES

GOOD = (
    *SENTENCES, "Café, naïve, Müller — «déjà vu»", "Très déçu, cours médiocre", "Größe über alles", "Šťastný žák říká",
    "Дуже гарний курс, раджу всім", "Найкращий ґанок", "课程很好", "Άριστο μάθημα", "מצוין", "ОтЛиЧнЫй КуРс", "ШЁПОТ",
    "C++ → Go за 3 дня №1 © 2026", "Стоит 500 €, т. е. «дорого»…", "╔══╗ рамка ╚══╝", "ааа", "Ђорђе и Љубав", "Р‑р‑р!",
    "iPhone и МГУ", "нормально, но СССР…", "🙂🙂", "µТорг", "½ курса", "5°",
)  # fmt: skip


def spoilt(text: str, meant: str, read: str) -> str:
    """``text`` as a program shows it that reads its bytes wrongly, undefined ones as browsers do."""
    pieces = []
    for byte in text.encode(meant):
        try:
            pieces.append(bytes([byte]).decode(read))
        except UnicodeDecodeError:
            pieces.append(chr(byte))
    return "".join(pieces)


@pytest.mark.parametrize("text", GOOD)
def test_good_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert mended(text) == (text, None, False)


@pytest.mark.parametrize(("meant", "read"), MIXUPS)
@pytest.mark.parametrize("text", [*SENTENCES, "Отличный курс", "Супер, рекомендую"])
def test_a_mixed_up_encoding_is_undone(text: str, meant: str, read: str) -> None:
    seen = spoilt(text, meant, read)
    undone = (text, f"{meant.upper()} read as {read}", False)
    if {meant, read} == {"cp1251", "koi8-r"}:  # letters for letters: short texts may look Russian both ways
        assert mended(seen) in (undone, (seen, None, False))
    else:
        assert mended(seen) == undone


def test_letters_for_letters_are_undone_in_most_texts() -> None:
    for meant, read in (("cp1251", "koi8-r"), ("koi8-r", "cp1251")):
        assert sum(mended(spoilt(text, meant, read)).text == text for text in SENTENCES) >= 5


@pytest.mark.parametrize(
    "text", ["Отли\ufffdный курс", "пїЅпїЅпїЅпїЅ", spoilt("Отличный курс", "utf-8", "cp1252") + " ок😀"]
)
def test_what_can_not_be_undone_is_told(text: str) -> None:
    assert mended(text) == (text, None, True)


def test_a_file_tells_how_many_texts_were_put_right(tmp_path: Path) -> None:
    texts = ["Îòëè÷íûé êóðñ", "Хороший курс", "РћС‚Р»РёС‡РЅС‹Р№", "РљСѓСЂСЃ СЃСѓРїРµСЂ", "Кур\ufffd"]
    notes = Notes()
    data = b"\n".join(line(review_id=f"r{n}", text=text, course_title=None) for n, text in enumerate(texts))
    found = read_bytes(tmp_path, data, notes=notes)
    read = [one.text for one in found if isinstance(one, Record)]
    assert read == ["Отличный курс", "Хороший курс", "Отличный", "Курс супер", "Кур\ufffd"]
    assert list(notes.lines()) == [
        "reviews.jsonl: texts that were CP1251 read as cp1252 and are corrected: 1",
        "reviews.jsonl: texts that were UTF-8 read as cp1251 and are corrected: 2",
        "reviews.jsonl: texts that a wrong encoding has damaged and are kept as they are: 1",
    ]
