"""Encoders in the model store that ``otzyv adapt`` made: a record beside the files tells what they are."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from tasks.extractors import own_cards, store
from tasks.extractors.bert import RUBERT_TINY2, bert
from tasks.extractors.card import Card, File, Weights
from tasks.extractors.registry import Extractor

ADAPTED = "adapted.json"


def read(folder: Path) -> Mapping[str, Any] | None:
    """The record in a folder of the model store; None where there is none."""
    try:
        said: Mapping[str, Any] = json.loads((folder / ADAPTED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return said


def extractors(registered: Collection[str]) -> dict[str, Extractor]:
    """Every adapted encoder in the model store whose name is not taken."""
    folders = sorted(path.parent for path in store.root().glob(f"text_*/{ADAPTED}"))
    return {folder.name: Extractor(_card(folder), bert) for folder in folders if folder.name not in registered}


def learned_from(lake: str, days: Collection[date]) -> tuple[str, ...]:
    """Names of those in this machine's model store that learned from days of a lake."""
    found = {path.parent.name: read(path.parent) or {} for path in sorted(store.root().glob(f"*/{ADAPTED}"))}
    return tuple(
        name
        for name, said in found.items()
        if said.get("lake", lake) == lake and any(said["days"][0] <= day.isoformat() <= said["days"][1] for day in days)
    )


def _card(folder: Path) -> Card:
    from tasks.extractors.settings import OwnModel

    said = read(folder) or {}
    files = tuple(File(name, sha256, bytes=size) for name, (sha256, size) in said["files"].items())
    weights = Weights(f"otzyv adapt, from {said['base']}", said["job"], said["licence"], files)
    card = replace(
        RUBERT_TINY2,
        name=folder.name,
        doc=f"sentence vector of {said['base']}, trained on with a lake's reviews",
        licence=said["licence"],
        source=weights.source,
        weights=(weights,),
        parameters=None,
        profiles=frozenset(),
        notes=f"Learned from reviews of {' to '.join(said['days'])}.",
    )
    model = OwnModel(kind="transformers", model=str(folder), pooling=said["pooling"], max_tokens=said["max_tokens"])
    return own_cards.text(card, model, store.places(folder.name, weights))
