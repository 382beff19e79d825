"""Models of one's own, named in the settings: their cards are read off the files that come with the weights.

Every process asks the settings again, so that a worker knows the same extractors as the one that sent it work.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from otzyv.schemas.table import Column
from otzyv.tasks.extractors.audio.speech import WAV2VEC2, speech
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.custom import cards
from otzyv.tasks.extractors.extractor import SETTINGS, Configured, Extractor, Loader
from otzyv.tasks.extractors.image.vision import vision
from otzyv.tasks.extractors.image.vision_cards import CARDS
from otzyv.tasks.extractors.text.bert import RUBERT_TINY2, bert
from otzyv.tasks.models import store
from otzyv.tasks.models.weights import File, Weights

if TYPE_CHECKING:
    from otzyv.tasks.extractors.settings import OwnModel

_FILES = {
    ("transformers", "text"): ("model.safetensors", "config.json", "tokenizer.json"),
    ("transformers", "audio"): ("model.safetensors", "config.json"),
    ("timm", "image"): ("model.safetensors", "config.json"),
    ("sentence-transformers", "text"): (
        "model.safetensors", "config.json", "tokenizer.json",
        "tokenizer_config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json",
    ),
}  # fmt: skip


def configured(registered: Collection[str]) -> Configured:
    """Every model that the settings name, as an extractor; none where there are no settings.

    Unavailable is one with a name among ``registered``, and one whose files are not what its setting says.
    """
    made: dict[str, Extractor] = {}
    if not any(name.upper() in ("OTZYV_SETTINGS", "OTZYV_EXTRACTORS") for name in os.environ):
        return Configured(made, {})
    from otzyv.tasks.extractors.settings import WrongSettings, extractor_settings

    try:
        models = extractor_settings().extractors
    except WrongSettings as error:
        return Configured(made, {SETTINGS: error})
    unavailable: dict[str, Exception] = {}
    for name, model in models.items():
        if name in registered:  # which stays what it is
            said = "there is an extractor of that name already"
            unavailable[f"extractors.{name}"] = WrongSettings(f"settings, [extractors.{name}]: {said}")
            continue
        try:
            made[name] = _extractor(name, model)
        except (LookupError, TypeError, ValueError, OSError, RecursionError, store.WeightsError) as error:
            said = f"its files lack {error}" if isinstance(error, KeyError) else str(error)
            unavailable[name] = WrongSettings(f"settings, [extractors.{name}]: {said}")
    return Configured(made, unavailable)


def _extractor(name: str, model: OwnModel) -> Extractor:
    modality = name.partition("_")[0]
    weights = _weights(name, model, _FILES.get((model.kind, modality), ()))
    base, load = _BASES[modality]
    card = replace(
        base,
        name=name,
        doc=f"vector of {_called(model)}",
        licence=model.licence,
        source=weights.source,
        dim=None,
        unit=False,
        weights=(weights,),
        parameters=None,
        profiles=frozenset(),
        notes="Named in the settings.",
    )
    paths = store.weight_paths(name, weights)
    if not all(path.is_file() for path in paths.values()):  # of a model on the hub, not pulled yet
        # The same Arrow type as when its length is known, so that the table is the same before and after.
        embedding = Column(name="embedding", type=pa.list_(pa.float32()), required=False, value=True, doc=card.doc)
        return Extractor(replace(card, columns=(embedding,)), load)
    match model.kind:
        case "timm":
            card = cards.timm(card, paths)
        case "torchvision":
            card = cards.torchvision(card, model)
        case _ if modality == "audio":
            card = cards.audio(card, paths)
        case _:
            card = cards.text(card, model, paths)
    return Extractor(card, load)


def _picture(card: Card, weights: Weights | None) -> Run:
    """The network's loader takes its weights alone: config.json has been read for the card."""
    return vision(card, weights and replace(weights, files=weights.files[:1]))


_RESNET50 = replace(next(card for card in CARDS if card.name == "image_resnet50"), layers={}, lecture_input=None)
_BASES: dict[str, tuple[Card, Loader]] = {
    "text": (RUBERT_TINY2, bert),
    "audio": (WAV2VEC2, speech),
    "image": (_RESNET50, _picture),
}
"""What a model of one's own has in common with one of ours, the version of our code included."""


def _called(model: OwnModel) -> str:
    return model.local.name if model.local else model.model


def _weights(name: str, model: OwnModel, files: tuple[str, ...]) -> Weights:
    """A local folder's files with their sha256, or a hub's with those that were recorded when they were fetched."""
    folder = model.local
    if folder is not None:
        if model.kind == "torchvision":
            folder, files = folder.parent, (folder.name,)
        if missing := [file for file in files if not (folder / file).is_file()]:
            raise ValueError(f"there is no file {', '.join(missing)} in {folder}")
        known = tuple(File(file, store.sha256(folder / file), bytes=(folder / file).stat().st_size) for file in files)
        return Weights(_called(model), model.revision or "", model.licence, known, folder=str(folder.absolute()))
    hub, revision = f"https://huggingface.co/{model.model}", model.revision or ""
    lies = f"{name}/{revision}"  # a commit's files in a folder of their own: those of two are never mixed
    known = tuple(
        File(file, store.recorded(store.root() / lies / file) or "", f"{hub}/resolve/{revision}/{file}")
        for file in files
    )
    return Weights(hub, revision, model.licence, known, folder=lies)
