"""What there is to choose from: an entry for each extractor, told by its card, and their table in docs/models.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from otzyv.schemas import markdown as markdown_file
from otzyv.tasks.extractors.card import Card
from otzyv.tasks.media.inputs import AudioInput, ImageInput
from otzyv.tasks.models import store
from otzyv.tasks.models.weights import Weights

BEGIN, END = markdown_file.marks("models")
_HEADS = ("name", "modality", "dimension", "parameters", "input", "on disk", "licence", "source")
_NON_COMMERCIAL = re.compile(r"\bNC\b|non-?commercial", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """An extractor. ``bytes`` of its weights: as they lie in the store, else as the card tells, else None.

    ``exact``: whether that is how many they are, and not about as many.
    """

    name: str
    modality: str
    dim: int | None
    columns: tuple[str, ...]
    parameters: int | None
    input: str
    bytes: int | None
    exact: bool
    licence: str
    source: str
    profiles: tuple[str, ...]
    here: bool
    """Whether it can run: its weights are in the store or in a package, or it needs none but what a lake taught it."""
    fitted: bool
    """Whether it learns from a lake first."""
    sha256: str
    """What is known of its files' sha256: ``whole``, ``8 digits``, ``none``; ``recorded`` once allowed."""


def entry(card: Card) -> Entry:
    """What is known of an extractor on this machine, no file read."""
    weights = store.choose(card)
    there = weights is not None and store.present(card.name, weights)
    pins = _pins(card.name, weights) if weights else "-"
    here = card.backend != "api" and (weights is None or (there and pins.endswith(("whole", "recorded"))))
    size, exact = _bytes(weights)
    if weights and there:
        size, exact = sum(path.stat().st_size for path in store.weight_paths(card.name, weights).values()), True
    return Entry(
        name=card.name,
        modality=modality(card),
        dim=card.dim,
        columns=tuple(column.name for column in card.value_columns),
        parameters=card.parameters,
        input=describe_input(card),
        bytes=size,
        exact=exact,
        licence=card.licence,
        source=card.source,
        profiles=tuple(sorted(card.profiles)),
        here=here,
        fitted=card.fitted,
        sha256=pins,
    )


def _pins(name: str, weights: Weights) -> str:
    """Of the file of which least is known."""
    digits = min(len(file.sha256) for file in weights.files)
    known = "whole" if digits == store.DIGITS else f"{digits} digits" if digits else "none"
    if known == "whole" or not store.stored(weights) or not store.present(name, weights):
        return known
    places = store.weight_paths(name, weights)
    return f"{known}, recorded" if all(store.pinned(file, places[file.name]) for file in weights.files) else known


def modality(card: Card) -> str:
    """What a person would call what it reads: text, image or audio."""
    return card.modality if card.attached else "text"


def describe_input(card: Card) -> str:
    """How much of a content is looked at: pixels, samples a second, tokens or characters."""
    match card.input:
        case ImageInput(crop=None, resize=side):
            return f"shorter side {side} px"
        case ImageInput(crop=side):
            beside = f" (lecture: {card.lecture_input})" if card.lecture_input not in (None, side) else ""
            return f"{side} × {side} px{beside}"
        case AudioInput(rate=rate):
            return f"{rate / 1000:g} kHz"
    tokens = dict(card.settings).get("max_tokens")
    return f"{tokens:,} tokens" if tokens else f"{card.limit:,} characters"


def non_commercial(weights: Weights) -> bool:
    """Whether the licence forbids commercial use."""
    return _NON_COMMERCIAL.search(weights.licence) is not None


def megabytes(size: int | None, *, exact: bool = True) -> str:
    if size is None:
        return "?"
    return f"{'' if exact else '≈ '}{size / 1e6:,.1f} MB" if size else "-"


def dimension(dim: int | None, columns: tuple[str, ...]) -> str:
    return f"{dim:,}" if dim else f"{len(columns)} columns"


def markdown(cards: Iterable[Card]) -> str:
    """The table of models as Markdown: the same on every machine, since only cards are asked."""
    rows = []
    for card in cards:
        columns = tuple(column.name for column in card.value_columns)
        size, exact = _bytes(card.weights[0] if card.weights else None)
        parameters = f"{card.parameters:,}" if card.parameters else "-"
        rows.append(
            (f"`{card.name}`", modality(card), dimension(card.dim, columns), parameters, describe_input(card),
             megabytes(size, exact=exact), card.licence, card.source)
        )  # fmt: skip
    return markdown_file.table(_HEADS, rows)


def inserted(document: str, cards: Iterable[Card]) -> str:
    """A Markdown document with the table between its two marks renewed. Raises InvalidInput without the marks."""
    return markdown_file.inserted(document, "models", markdown(cards))


def _bytes(weights: Weights | None) -> tuple[int | None, bool]:
    """What the files take, and whether exactly; None where the card does not tell of one of them."""
    sizes = [file.bytes or file.about for file in weights.files] if weights else []
    known = [size for size in sizes if size is not None]
    exact = weights is None or all(file.bytes is not None for file in weights.files)
    return (sum(known), exact) if len(known) == len(sizes) else (None, False)
