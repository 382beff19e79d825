"""The card of a model of one's own, read off the files that come with its weights. No library is loaded for it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.inference.transformer import ENCODERS, POSITIONS_FROM_PADDING
from otzyv.tasks.media.inputs import AudioInput, ImageInput

if TYPE_CHECKING:
    from otzyv.tasks.extractors.settings import OwnModel

_MOST_TOKENS = 512
_LAYOUT = (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))
_IMAGENET = (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225)))
"""Of ImageNet's red, green and blue, 0 to 1: what torchvision's networks are trained with."""


def audio(card: Card, paths: Mapping[str, Path]) -> Card:
    """Of a wav2vec 2.0 or a HuBERT, by config.json."""
    config = _json(paths["config.json"])
    if config["model_type"] not in ("wav2vec2", "hubert"):
        raise ValueError(f"config.json is of a {config['model_type']!r}; networks for sound are wav2vec2 and hubert")
    return replace(card, dim=int(config["hidden_size"]), input=AudioInput(16_000))


def text(card: Card, model: OwnModel, paths: Mapping[str, Path]) -> Card:
    """Of an encoder of texts, by config.json, or of a folder by sentence-transformers."""
    config = _json(paths["config.json"])
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


def _layout(paths: Mapping[str, Path]) -> tuple[str, int]:
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


def timm(card: Card, paths: Mapping[str, Path]) -> Card:
    """Of a network of timm: config.json tells what it was trained to see, its weights how long the vector is."""
    from safetensors import safe_open

    config = _json(paths["config.json"])
    seen = config["pretrained_cfg"]
    channels, height, width = seen["input_size"]
    if channels != 3 or height != width or seen.get("crop_mode", "center") != "center":
        raise ValueError("config.json asks for other pictures than squares in colour cut from the middle")
    head = seen["classifier"]
    if not isinstance(head, str):
        raise ValueError(f"config.json names {head!r} as its classifier; a network with one can be read")
    with safe_open(str(paths["model.safetensors"]), framework="np") as stored:
        if f"{head}.weight" in stored.keys():  # noqa: SIM118  # not a mapping
            dim = stored.get_slice(f"{head}.weight").get_shape()[1]
        else:  # published without its classifier
            dim = config["num_features"]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear" if seen["interpolation"] == "bilinear" else "bicubic"
    return replace(
        card,
        dim=int(dim),
        input=ImageInput(math.floor(height / seen["crop_pct"]), height, interpolation),
        settings=(
            ("network", f"timm:{config['architecture']}"),
            ("head", head),
            ("options", tuple(sorted(config.get("model_args", {}).items()))),
            ("mean", tuple(seen["mean"])),
            ("std", tuple(seen["std"])),
        ),
    )


def torchvision(card: Card, model: OwnModel) -> Card:
    """Of a network of torchvision: its files tell nothing, so the settings do."""
    without = (("aux_logits", False), ("init_weights", False))  # their second classifiers served training
    return replace(
        card,
        dim=model.dim,
        input=ImageInput(model.resize or 256, model.crop or 224),
        settings=(
            ("network", f"torchvision:{model.network}"),
            ("head", model.classifier),
            ("options", without if model.network in ("googlenet", "inception_v3") else ()),
            *_IMAGENET,
        ),
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
