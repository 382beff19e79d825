"""What a fitted extractor works with in a lake: the artefact that is current there, as weights in the model store."""

from __future__ import annotations

import os

from otzyv.tasks.extractors import Card, Run, Weights
from otzyv.tasks.extractors.extractor import Loader
from otzyv.tasks.extractors.fitted import NeverFitted
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.features.artefacts import artefact, artefact_path, current
from otzyv.tasks.models.store import MissingWeights, fits, weight_paths
from otzyv.tasks.models.weights import File


def learned(lake: Lake, card: Card) -> Weights:
    """The current artefact of a fitted card, unread. Raises NeverFitted."""
    model = current(lake.storage, card.name)
    if model is None:
        raise NeverFitted(card.name, lake.uri)
    return Weights(
        source=f"the lake {lake.uri}",
        revision=f"version {model.version}",
        licence=card.licence,
        files=(File(f"{model.sha256}.safetensors", model.sha256),),
    )


def brought(lake: Lake, load: Loader) -> Loader:
    """The loader, once the artefact lies in the model store: it is copied from the lake when the model is loaded."""

    def loaded(card: Card, weights: Weights | None) -> Run:
        if weights is not None:
            _bring(lake, card, weights)
        return load(card, weights)

    return loaded


def _bring(lake: Lake, card: Card, weights: Weights) -> None:
    paths = weight_paths(card.name, weights)
    for file in weights.files:
        path = paths[file.name]
        if fits(card.name, weights, file, path):
            continue
        try:
            data = artefact(lake.storage, file.sha256)
        except FileNotFoundError as error:
            raise MissingWeights(
                f"{card.name}: {lake.storage.at(artefact_path(file.sha256))} is gone, which {weights.revision} was "
                f"learned into; `otzyv fit {card.name} --lake {lake.uri}` on the same days brings it back"
            ) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_bytes(data)
        part.replace(path)
