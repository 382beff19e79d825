"""The dictionary form of words, by pymorphy3; each word is looked up once."""

from __future__ import annotations

import functools
from importlib.metadata import version
from typing import Any

from otzyv.tasks.extractors.text.vocabulary import LONGEST
from otzyv.tasks.inference.once import once

DICTIONARY = f"pymorphy3 {version('pymorphy3')}, dictionaries {version('pymorphy3-dicts-ru')}"
"""Another dictionary gives other lemmas, so this stands in the cards' settings."""


def lemma(word: str) -> str:
    """The word's most likely dictionary form, with е for ё as everywhere in ``plain``; as it is where not Russian."""
    return _remembered(word) if len(word) <= LONGEST else _looked_up(word)


def _looked_up(word: str) -> str:
    return str(_analyzer().parse(word)[0].normal_form).replace("ё", "е")


_remembered = functools.lru_cache(maxsize=1 << 18)(_looked_up)


def lemmas(text: str) -> list[str]:
    """The lemmas of a plain text, in its order."""
    return [lemma(word) for word in text.split()]


@once
def _analyzer() -> Any:
    from pymorphy3 import MorphAnalyzer

    return MorphAnalyzer(lang="ru")
