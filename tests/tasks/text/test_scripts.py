"""Language by script."""

from __future__ import annotations

import pytest

from otzyv.tasks.text.scripts import language


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Отличный курс по Python", "ru"),
        ("Great course", "en"),
        ("Курс по machine learning and Python", "mixed"),
        ("Πολύ καλό μάθημα", "other"),
        ("很好 ok", "mixed"),
        ("很好很好 ok", "other"),
        ("5/5 🔥", "other"),
        ("", "other"),
    ],
)
def test_language_follows_the_letters(text: str, expected: str) -> None:
    assert language(text) == expected
