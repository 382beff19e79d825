"""Words are found however many came before, and what is remembered of them stays small."""

from __future__ import annotations

import pytest

from otzyv.tasks.extractors.text import vocabulary
from otzyv.tasks.extractors.text.vocabulary import LONGEST, Vocabulary


def test_memory_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "WORDS", 50)
    long = "х" * (LONGEST + 1)
    words = Vocabulary({"КУРС": 1, long.upper(): 2}, str.upper)
    for number in range(200):
        places, starts, known = words.find([f"курс слово{number}", long])
        assert (places.tolist(), starts.tolist(), known.tolist()) == ([1, 2], [0, 1, 2], [0.5, 1.0])
        assert len(words._places) <= 50
        assert long not in words._places
