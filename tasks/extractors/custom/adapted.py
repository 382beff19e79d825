"""Encoders in the model store that ``otzyv adapt`` made: a record beside the files tells what they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.custom import cards
from otzyv.tasks.extractors.extractor import Configured, Extractor
from otzyv.tasks.extractors.text.bert import RUBERT_TINY2, bert
from otzyv.tasks.models import store
from otzyv.tasks.models.weights import File, Weights

ADAPTED = "adapted.json"


class Record(BaseModel):
    """What ``otzyv adapt`` wrote of an encoder. ``files``: name -> sha256 and bytes; ``lake``: None of old records."""

    job: str
    base: str
    licence: str
    pooling: Literal["cls", "mean"]
    max_tokens: int
    days: tuple[date, date]
    files: dict[str, tuple[str, int]]
    lake: str | None = None
    curve: dict[str, Any]


class BrokenRecord(store.WeightsError):
    """The record of an adapted encoder is not as it was written."""


def read(folder: Path) -> Record | None:
    """The record in a folder of the model store; None where there is none. Raises BrokenRecord."""
    try:
        return Record.model_validate_json((folder / ADAPTED).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BrokenRecord(
            f"{folder / ADAPTED} can't be read ({error.strerror}): bring it back, or remove {folder}"
        ) from None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        said = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
        raise BrokenRecord(
            f"{folder / ADAPTED} is not as `otzyv adapt` wrote it ({said}): bring it back, or remove {folder}"
        ) from None


def configured(registered: Collection[str]) -> Configured:
    """Every adapted encoder in the model store whose name is not taken; unavailable is one whose files are broken."""
    made: dict[str, Extractor] = {}
    unavailable: dict[str, Exception] = {}
    for folder in sorted(path.parent for path in store.root().glob(f"text_*/{ADAPTED}")):
        if folder.name in registered:
            continue
        try:
            made[folder.name] = Extractor(_card(folder), bert)
        except BrokenRecord as error:
            unavailable[folder.name] = error
        except (LookupError, TypeError, ValueError, OSError, RecursionError, store.WeightsError) as error:
            said = f"its files lack {error}" if isinstance(error, KeyError) else error
            unavailable[folder.name] = store.WeightsError(f"{folder}: {said}; bring its files back, or remove it")
    return Configured(made, unavailable)


def learned_from(lake: str, days: Collection[date]) -> tuple[str, ...]:
    """Names of those in this machine's model store that may have learned from days of a lake."""
    folders = sorted(path.parent for path in store.root().glob(f"*/{ADAPTED}"))
    return tuple(folder.name for folder in folders if _may_have_learned(folder, lake, days))


def _may_have_learned(folder: Path, lake: str, days: Collection[date]) -> bool:
    try:
        record = read(folder)
    except BrokenRecord:
        return bool(days)
    if record is None or record.lake not in (None, lake):
        return False
    first, last = record.days
    return any(first <= day <= last for day in days)


def _card(folder: Path) -> Card:
    from otzyv.tasks.extractors.settings import OwnModel

    record = read(folder)
    assert record is not None
    files = tuple(File(name, sha256, bytes=size) for name, (sha256, size) in record.files.items())
    weights = Weights(f"otzyv adapt, from {record.base}", record.job, record.licence, files)
    card = replace(
        RUBERT_TINY2,
        name=folder.name,
        doc=f"sentence vector of {record.base}, trained on with a lake's reviews",
        licence=record.licence,
        source=weights.source,
        weights=(weights,),
        parameters=None,
        profiles=frozenset(),
        notes=f"Learned from reviews of {record.days[0]} to {record.days[1]}.",
    )
    model = OwnModel(kind="transformers", model=str(folder), pooling=record.pooling, max_tokens=record.max_tokens)
    return cards.text(card, model, store.weight_paths(folder.name, weights))
