"""What a fit learned, as one safetensors file: arrays, and facts as JSON. The same bytes for the same contents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from otzyv.schemas.errors import ModelError
from otzyv.tasks.extractors.card import Card
from otzyv.tasks.models.store import WeightsError, locate
from otzyv.tasks.models.weights import Weights

Array = np.ndarray[Any, Any]
_FACTS = "facts"
"""The only entry of the file's metadata: several would be written in any order."""


class NeverFitted(WeightsError):
    """The lake holds nothing for a fitted extractor to work with."""

    def __init__(self, name: str, lake: str = "URI") -> None:
        super().__init__(f"{name} learns from a lake and was never fitted in this one. Run `{command(name, lake)}`")


class OutOfDate(WeightsError):
    """An artefact was fitted by other code or settings than the card's."""


class TooLittle(ModelError, ValueError):
    """There are too few contents to learn from."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """``arrays``: what the extractor computes with. ``facts``: plain data about the fit, to be shown to people."""

    arrays: Mapping[str, Array]
    facts: Mapping[str, Any] = field(default_factory=dict)


def command(name: str, lake: str = "URI") -> str:
    """The command that fits an extractor."""
    return f"otzyv fit {name} --lake {lake} --from DAY --to DAY"


def pack(card: Card, learned: Artefact) -> bytes:
    """The file's bytes."""
    from safetensors.numpy import save

    facts = {"made_by": _made_by(card), **learned.facts}
    told = json.dumps(facts, ensure_ascii=False, sort_keys=True)
    return save({name: np.ascontiguousarray(array) for name, array in learned.arrays.items()}, {_FACTS: told})


def unpack(card: Card, weights: Weights | None) -> Artefact:
    """What was fitted for a card. Raises NeverFitted, OutOfDate, MissingWeights and WrongWeights."""
    from safetensors import safe_open

    if weights is None:
        raise NeverFitted(card.name)
    (path,) = locate(card.name, weights).values()
    with safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()[_FACTS])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if facts["made_by"] != _made_by(card):
        raise OutOfDate(
            f"{card.name} was fitted by other code, settings or vectors than today's. "
            f"Run `{command(card.name)}`, then `otzyv promote {card.name} --lake URI`"
        )
    return Artefact(arrays, facts)


def joined(words: Iterable[str]) -> Array:
    """Words without blanks as an array of bytes."""
    return np.frombuffer("\n".join(words).encode(), np.uint8)


def split(array: Array) -> list[str]:
    return array.tobytes().decode().split("\n") if len(array) else []


def _made_by(card: Card) -> dict[str, Any]:
    """What of a card decides how it learns and what its arrays mean, as JSON gives it back."""
    said = {"name": card.name, "version": card.version, "settings": dict(card.settings)}
    return dict(json.loads(json.dumps(said)))
