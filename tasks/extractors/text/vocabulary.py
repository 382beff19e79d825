"""Numbers for words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]
WORDS = 100_000
"""How many distinct words are remembered before all are forgotten: a model may stay loaded for years of reviews."""
LONGEST = 64
"""Longer words are not remembered, so that hostile text can't fill the memory."""


class Vocabulary:
    """The words that something is known of. ``form``: what to look a word up as; what it said is remembered."""

    def __init__(self, known: Mapping[str, int], form: Callable[[str], str] = str) -> None:
        self._places = _Places(known, form)

    def find(self, texts: Sequence[str]) -> tuple[Numbers, Numbers, Numbers]:
        """(places, starts, known) of n texts.

        ``places``: the number of each known word, text by text; those of text i lie from ``starts[i]`` to
        ``starts[i + 1]``. ``known`` (n,): the share of the text's words that are.
        """
        rows = [text.split() for text in texts]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        places = np.fromiter(map(self._places.__getitem__, chain.from_iterable(rows)), np.int32, lengths.sum())
        there = places >= 0
        starts = np.concatenate([[0], np.cumsum(there)])[np.concatenate([[0], np.cumsum(lengths)])]
        return places[there], starts, np.diff(starts) / np.maximum(lengths, 1)


class _Places(dict[str, int]):
    """Word -> its number, -1 where it is unknown; grows by the words it is asked for, up to ``WORDS``."""

    def __init__(self, known: Mapping[str, int], form: Callable[[str], str]) -> None:
        super().__init__()
        self._known = known
        self._form = form

    def __missing__(self, word: str) -> int:
        place = self._known.get(self._form(word), -1)
        if len(word) <= LONGEST:
            if len(self) >= WORDS:
                self.clear()
            self[word] = place
        return place
