"""A review's text in two forms: ``text`` as a person would type it, and ``plain`` without case and punctuation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from otzyv.schemas.tables import CLEAN_VALUES
from otzyv.tasks.text.links import without_names
from otzyv.tasks.text.markup import defuse
from otzyv.tasks.text.rules import RULES_PLAIN, RULES_TEXT, Rule, compatible, invisible
from otzyv.tasks.text.scripts import Language, language

VERSION = 2
"""Raised with every change of what the rules give."""

_ROUNDS = 5
_SCHEMA = pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in CLEAN_VALUES])


@dataclass(frozen=True, slots=True)
class Cleaned:
    plain: str
    """Lower case, no punctuation, ё as е: what bag-of-words models and dostoevsky read."""
    text: str
    """Case, punctuation and emoji kept: what BERT reads. Empty where nothing legible is left."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rule's doing, on the way to ``text`` or from there on to ``plain``."""

    rule: str
    before: str
    after: str
    output: Literal["text", "plain"]


@dataclass(frozen=True, slots=True)
class Description:
    language: Language
    chars: int
    words: int
    sentences: int


def clean(raw: str) -> Cleaned:
    """Both forms of any string, in time linear in its length. Cleaning either form again gives that form again."""
    text = plain = raw
    for step in _steps(raw):
        if step.output == "text":
            text = plain = step.after
        else:
            plain = step.after
    return Cleaned(plain=plain, text=text)


def explain(raw: str) -> list[Step]:
    """What each rule did, in order, first towards ``text``, then on to ``plain``, without those that did nothing."""
    return list(_steps(raw))


def describe(cleaned: Cleaned) -> Description:
    """The counts and language of ``schemas.tables.CLEAN_VALUES``; sentences as razdel finds them in ``text``.

    Links, @names and the marks of redacted contacts speak for no language.
    """
    from razdel import sentenize

    return Description(
        language=language(without_names(cleaned.text)),
        chars=len(cleaned.text),
        words=len(cleaned.plain.split()),
        sentences=sum(1 for sentence in sentenize(cleaned.text) if sentence.text),
    )


def clean_rows(texts: Sequence[str]) -> pa.RecordBatch:
    """A row of CLEAN_VALUES per text; ``text`` is "" where nothing is left: rows made of it are ``empty``."""
    cleaned = [clean(text) for text in texts]
    described = [describe(one) for one in cleaned]
    rows = zip(cleaned, described, strict=True)
    return pa.RecordBatch.from_pylist(
        [
            {
                "plain": one.plain,
                "text": one.text,
                "language": about.language,
                "chars": about.chars,
                "words": about.words,
                "sentences": about.sentences,
            }
            for one, about in rows
        ],
        schema=_SCHEMA,
    )


def _steps(raw: str) -> Iterator[Step]:
    text = raw
    for rules in _rounds():
        before = text
        for step in _apply(rules, text, "text"):
            text = step.after
            yield step
        if text == before:
            break
    yield from _apply(RULES_PLAIN, text, "plain")


def _rounds() -> Iterator[tuple[Rule, ...]]:
    """One rule may uncover what is for another: rounds until nothing changes, in hostile texts then without markup."""
    for _ in range(_ROUNDS):
        yield RULES_TEXT
    yield (invisible, compatible, defuse, *RULES_TEXT)


def _apply(rules: Sequence[Rule], text: str, output: Literal["text", "plain"]) -> Iterator[Step]:
    for rule in rules:
        after = rule(text)
        if after != text:
            yield Step(rule.__name__, text, after, output)
            text = after
