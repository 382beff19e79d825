"""Redaction: contacts go, numbers stay, whatever hides between the digits."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otzyv.tasks.text.clean import clean
from otzyv.tasks.text.redact import ALL, KINDS, Kind, Redact, redact, redactions
from tests.tasks.text.cases_file import cases
from tests.tasks.text.labelled import labelled, scores
from tests.tasks.text.pieces import CONTACTS

JOINTS = st.sampled_from([
    "", " ", "-", "\xa0", "\u200b", "\u2009", " - ", ".", "&nbsp;", "&shy;", "<b>", "</b>", "<br/>", "\n", "\ufeff ",
    "&#8209;",
])  # fmt: skip
HOSTILE = (
    "8",
    "8 ",
    "1 ",
    "8 9 10 11 12 13 ",
    "a",
    "a@",
    "@",
    "a@b.",
    "b.",
    "+",
    "(",
    "8 (",
    "\u200b8",
    "&nbsp;",
    "a-",
    "89991234567 ",
    "4956221568 ",
    "+4930901820 ",
    "8-33-3821-05 ",
    "тел. 12-34-56 ",
    "4276380012345674 ",
    "112-233-445 95 ",
    "500100732259 ",
    "паспорт ",
    "паспорт 4510 123456 ",
    "@ab ",
    "@ab.",
    "вк: a1_b ",
    "t.me/",
    "vk.com/a",
    "https://",
    "a собака ",
    "a at ",
    "a (at) b ",
    "a(at)b.",
    "<",
    "&#5",
    "доб. ",
)


@pytest.mark.parametrize(("raw", "redacted"), cases("redact"))
def test_contacts_are_redacted_as_written(raw: str, redacted: str) -> None:
    assert redact(raw) == redacted


@given(st.lists(st.sampled_from(CONTACTS), max_size=40).map("".join) | st.text(st.characters(), max_size=30))
@settings(max_examples=1000, deadline=None)
@example("123-45-67(495) 123 45 67")
@example("89991234567+79991234567")
@example("a@b.ru.c@d.ru")
def test_redacting_again_changes_nothing(raw: str) -> None:
    once = redact(raw)
    assert redact(once) == once


@given(st.lists(JOINTS, min_size=4, max_size=4))
@settings(deadline=None)
def test_no_digit_of_a_phone_reaches_the_cleaned_text(joints: list[str]) -> None:
    raw = (
        "Жду: "
        + "".join(a + b for a, b in zip(("8", "999", "123", "45", "67"), (*joints, ""), strict=True))
        + " до 9:00"
    )
    assert clean(redact(raw)).text == "Жду: [телефон] до 9:00"


@given(st.text(st.characters(exclude_categories=["Nd", "No"], exclude_characters="@＠﹫&"), max_size=40))
def test_a_text_without_digits_and_signs_is_left_alone(raw: str) -> None:
    assert redact(raw) == raw


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_is_redacted_in_linear_time(piece: str) -> None:
    """100,000 characters each: anything quadratic would take hours."""
    redacted = redact(piece * (100_000 // len(piece)) + "@")
    assert len(redacted) <= 120_000


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_each_kind_finds_what_is_labelled_and_little_else(kind: Kind) -> None:
    """Places found from begin to end, among cases as easily mistaken as could be thought of."""
    cases = labelled(kind.name)
    reached = scores(cases)
    wrong = "\n".join(case.text for case in cases if case.found != case.places)
    assert reached.places >= 40
    assert reached.negatives >= 40
    assert reached.precision >= 0.95, wrong
    assert reached.recall >= 0.95, wrong


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_what_is_left_of_labelled_texts_holds_nothing_more(kind: Kind) -> None:
    for case in labelled(kind.name):
        once = redact(case.text)
        assert redact(once) == once
        assert all(case.text[slice(*place)] not in once for place in case.found)


def test_code_in_reviews_identifies_nobody() -> None:
    texts = [str(case.values[0]) for case in cases("text") if str(case.id).startswith("code-")]
    assert len(texts) >= 200
    assert [redact(text) for text in texts] == texts


def test_a_kind_that_is_switched_off_is_left_alone() -> None:
    raw = "Пишите @ivan_petrov или ivan@mail.ru, тел. 12-34-56"
    assert redact(raw) == "Пишите [имя] или [почта], тел. [телефон]"
    assert redact(raw, Redact(name=False).kinds) == "Пишите @ivan_petrov или [почта], тел. [телефон]"
    assert redact(raw, {"phone"}) == "Пишите @ivan_petrov или ivan@mail.ru, тел. [телефон]"
    assert redact(raw, ()) == raw
    assert {*Redact.model_fields} == ALL == Redact().kinds


LAYOUTS = (
    (4, 4, 4, 4), (4, 4, 4, 4, 4), (4, 4, 4, 4, 2), (4, 4, 4, 4, 3), (4, 4, 4, 3), (4, 6, 5), (4, 12), (8, 8), (16,),
    (5, 3, 1, 4, 7), (20,), (3, 3, 3, 2, 2), (3, 3, 3, 4), (4, 4, 4, 2), (4, 6, 3), (2, 2, 6, 4), (2, 4, 4, 4, 4, 4),
    (4, 4, 4, 4, 4, 4), (4, 3, 4, 3), (3, 4, 4, 4), (2, 2, 2, 2, 2, 2, 2), (3, 2, 2, 3, 2, 2, 3), (13,), (14,), (17,),
    (19,), (22,), (24,),
)  # fmt: skip
"""How many digits of a number stand together: of cards, accounts, IBANs, and of nothing known."""
WORDS = (
    "", "карта ", "card ", "Сбер ", "счёт ", "р/с ", "IBAN DE", "IBAN DE89 ", "тел. ", "Телефон: ", "паспорт ",
    "серия ", "ИНН ", "СНИЛС ", "заказ ", "№ ", "жду на ",
)  # fmt: skip


def test_no_kind_takes_a_part_of_a_longer_number() -> None:
    """Of 4,000 numbers each is whole or gone, and behind the word for a card 13 to 19 digits are gone."""
    chance = random.Random(11)
    for _ in range(4000):
        sizes, joint, word = chance.choice(LAYOUTS), chance.choice(" -"), chance.choice(WORDS)
        first = chance.choice(("", "4276", "8999", "8495", "2200", "9161", "00"))
        digits = (first + "".join(chance.choices("0123456789", k=sum(sizes))))[: sum(sizes)]
        number = joint.join(digits[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(len(sizes)))
        left = redact(f"Здравствуйте, {word}{number}, жду")
        assert number in left or not re.search(r"\d", left.replace("DE89", "")), (word, number, left)
        if word in ("карта ", "card ") and 13 <= len(digits) <= 19 and sizes[0] >= 4:
            assert number not in left, (word, number, left)


def test_places_are_those_of_the_raw_text() -> None:
    raw = "Жду:\u200b &nbsp; iv\u200ban&#64;mail.ru"
    (found,) = redactions(raw)
    assert (found.kind, raw[found.start : found.end], found.mark) == ("mail", "iv\u200ban&#64;mail.ru", "[почта]")


def test_words_before_one_number_say_nothing_of_the_next() -> None:
    assert redact("заказ 4956221568, 4956221568") == "заказ 4956221568, [телефон]"
    assert redact("тел. 12-34-56, 22-33-44") == "тел. [телефон], 22-33-44"
