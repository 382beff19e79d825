"""Models of one's own, named in the settings: their cards are read off the files that come with the weights.

Every process asks the settings anew, so that a worker knows the same extractors as the one that sent it work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from schemas.table import Column
from tasks.extractors import store
from tasks.extractors.bert import RUBERT_TINY2, bert
from tasks.extractors.card import AudioInput, Card, File, Weights
from tasks.extractors.encoder import ENCODERS, POSITIONS_FROM_PADDING
from tasks.extractors.registry import Extractor
from tasks.extractors.speech import WAV2VEC2, speech

if TYPE_CHECKING:
    from tasks.extractors.settings import OwnModel

_FILES = {
    ("transformers", "text"): ("model.safetensors", "config.json", "tokenizer.json"),
    ("transformers", "audio"): ("model.safetensors", "config.json"),
    ("sentence-transformers", "text"): (
        "model.safetensors", "config.json", "tokenizer.json",
        "tokenizer_config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json",
    ),
}  # fmt: skip
_MOST_TOKENS = 512
_LAYOUT = (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))


def extractors(registered: Collection[str]) -> dict[str, Extractor]:
    """Every model that the settings name, as an extractor; {} where there are no settings.

    Raises WrongSettings for a name among ``registered``, and where a model's files are not what its setting says.
    """
    if not any(name.upper() in ("OTZYV_SETTINGS", "OTZYV_EXTRACTORS") for name in os.environ):
        return {}
    from tasks.extractors.settings import WrongSettings, own_models

    made = {}
    for name, model in own_models().items():
        try:
            if name in registered:
                raise ValueError("there is an extractor of that name already")
            made[name] = _extractor(name, model)
        except (LookupError, TypeError, ValueError, OSError) as error:
            said = f"its files lack {error}" if isinstance(error, KeyError) else error
            raise WrongSettings(f"settings, [extractors.{name}]: {said}") from error
    return made


def _extractor(name: str, model: OwnModel) -> Extractor:
    modality = name.partition("_")[0]
    weights = _weights(name, model, _FILES[model.kind, modality])
    base, load = (WAV2VEC2, speech) if modality == "audio" else (RUBERT_TINY2, bert)
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
    paths = store.places(name, weights)
    if not all(path.is_file() for path in paths.values()):  # of a model on the hub, not pulled yet
        # The same Arrow type as when its length is known, so that the table is the same before and after.
        embedding = Column(name="embedding", type=pa.list_(pa.float32()), required=False, value=True, doc=card.doc)
        return Extractor(replace(card, columns=(embedding,)), load)
    config = _json(paths["config.json"])
    if modality == "audio":
        return Extractor(_audio(card, config), load)
    return Extractor(_text(card, config, model, paths), load)


def _audio(card: Card, config: dict[str, Any]) -> Card:
    if config["model_type"] not in ("wav2vec2", "hubert"):
        raise ValueError(f"config.json is of a {config['model_type']!r}; networks for sound are wav2vec2 and hubert")
    return replace(card, dim=int(config["hidden_size"]), input=AudioInput(16_000))


def _text(card: Card, config: dict[str, Any], model: OwnModel, paths: dict[str, Path]) -> Card:
    kind = config["model_type"]
    if kind not in ENCODERS:
        raise ValueError(f"config.json is of a {kind!r}; encoders of texts are {', '.join(ENCODERS)}")
    pooling: str = model.pooling or "mean"
    longest = int(config["max_position_embeddings"])
    if kind in POSITIONS_FROM_PADDING:
        longest -= int(config.get("pad_token_id", 1)) + 1
    asked = model.max_tokens
    if model.kind == "sentence-transformers":
        pooling, stated = _layout(paths)
        asked = asked or min(stated, longest)
    if asked is not None and asked > longest:
        raise ValueError(f"max_tokens: it can read {longest} at most, not {asked}")
    return replace(
        card,
        dim=int(config["dim"] if kind == "distilbert" else config["hidden_size"]),
        unit=True,
        settings=(("max_tokens", asked or min(_MOST_TOKENS, longest)), ("pooling", pooling)),
    )


def _layout(paths: dict[str, Path]) -> tuple[str, int]:
    """What a folder by sentence-transformers says of pooling and of where texts are cut."""
    modules = tuple((module["type"].rpartition(".")[2], module["path"]) for module in _json(paths["modules.json"]))
    if modules not in (_LAYOUT, _LAYOUT[:2]):
        said = ", ".join(f"{kind} in {path!r}" for kind, path in modules)
        raise ValueError(f"modules.json lists {said}; what can be read is Transformer, Pooling and perhaps Normalize")
    pooling = _json(paths["1_Pooling/config.json"])
    flags = {key.removeprefix("pooling_mode_"): on for key, on in pooling.items() if key.startswith("pooling_mode_")}
    modes = pooling.get("pooling_mode") or [mode for mode, on in flags.items() if on]
    known = {"cls": "cls", "cls_token": "cls", "mean": "mean", "mean_tokens": "mean"}
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) != 1 or modes[0] not in known:
        raise ValueError(f"1_Pooling/config.json asks for {', '.join(modes) or 'nothing'}; there are cls and mean")
    transformer = _json(paths["sentence_bert_config.json"])
    if transformer.get("do_lower_case"):
        raise ValueError("sentence_bert_config.json asks for lower case, which tokenizer.json should")
    longest = transformer.get("max_seq_length") or _json(paths["tokenizer_config.json"])["model_max_length"]
    return known[modes[0]], int(longest)


def _called(model: OwnModel) -> str:
    return model.local.name if model.local else model.model


def _weights(name: str, model: OwnModel, files: tuple[str, ...]) -> Weights:
    """A local folder's files with their sha256, or a hub's with those that were recorded when they were fetched."""
    folder = model.local
    if folder is not None:
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


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
