"""Numbers for words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]


class Vocabulary:
    """The words that something is known of. ``form``: what to look a word up as, asked once for each word."""

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
    """Word -> its number, -1 where it is unknown; grows by the words it is asked for."""

    def __init__(self, known: Mapping[str, int], form: Callable[[str], str]) -> None:
        super().__init__()
        self._known = known
        self._form = form

    def __missing__(self, word: str) -> int:
        place = self[word] = self._known.get(self._form(word), -1)
        return place
