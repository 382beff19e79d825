"""Redaction: contacts go, numbers stay, whatever hides between the digits."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.text.clean import clean
from tasks.text.redact import redact
from tests.tasks.text.cases_file import cases

PIECES = st.sampled_from([
    *"0123456789８⑧ ()+-./_\n@#;<>&aЯё", "8 999 ", "+7", "999", "123-45-67", "00", "375", "990 ", "(495)", "&#5", "6;",
    "a@b.ru", "@b.ru", "имя@", "почта.рф", ".com", "xn--p1ai", "&nbsp;", "&amp;", "&#56;", "&#64;", "<b>", "<br>",
    "\u200b", "\ufe0f", "\u0301", "\ud800", "[телефон]", "[почта]",
])  # fmt: skip
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
)


@pytest.mark.parametrize(("raw", "redacted"), cases("redact"))
def test_contacts_are_redacted_as_written(raw: str, redacted: str) -> None:
    assert redact(raw) == redacted


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(st.characters(), max_size=30))
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
    """200,000 characters each: anything quadratic would take hours."""
    redacted = redact(piece * (200_000 // len(piece)) + "@")
    assert len(redacted) <= 200_001
