"""BERT and its kin as torch modules, made from ``config.json`` and ``model.safetensors`` and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from otzyv.tasks.inference.skip_init import skip_init
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.models.store import WrongWeights

ENCODERS = (
    "albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta",
    "xlm-roberta",
)  # fmt: skip
"""``model_type`` of the encoders known to be computed rightly."""
POSITIONS_FROM_PADDING = ("camembert", "mpnet", "roberta", "xlm-roberta")
"""Those that number a text's tokens from behind the padding's id, and so have that many positions fewer."""


class NamedSettings(Protocol):
    """A network's name, and how many tokens it is to read (``max_tokens``): the card of an extractor."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> tuple[tuple[str, Any], ...]: ...


def encoder(card: NamedSettings, files: Mapping[str, Path], dim: int | None) -> Any:
    """The encoder, heads left out: token ids and mask -> ``last_hidden_state`` (rows, tokens, dim).

    Raises WrongWeights where the files do not make up an encoder of ``dim`` dimensions, ValueError where it cannot read
    as many tokens as the card's settings say.
    """
    import transformers

    config = configuration(card, files)
    if config.hidden_size != dim:
        raise WrongWeights(f"{card.name}: config.json gives {config.hidden_size} dimensions, the card {dim}")
    with skip_init():
        model = transformers.MODEL_MAPPING[type(config)](config)
    model.pooler = None
    # Saved with its pre-training heads, the encoder's names begin with "bert."; the heads are not read.
    fill(model, card.name, files["model.safetensors"], f"{model.base_model_prefix}.")
    return model


def configuration(card: NamedSettings, files: Mapping[str, Path]) -> Any:
    """transformers' configuration. By the library's own classes: what the file says of code beside it is not read."""
    load_torchvision()  # transformers imports it for its image models
    import transformers

    settings = json.loads(files["config.json"].read_text(encoding="utf-8"))
    kind = settings.get("model_type", "bert")
    if kind not in ENCODERS:
        raise WrongWeights(f"{card.name}: config.json is of a {kind!r}; there are {', '.join(ENCODERS)}")
    config = transformers.CONFIG_MAPPING[kind].from_dict(settings)
    if kind != "bert":
        config._attn_implementation = "eager"  # plain products and a softmax, which OpenVINO takes from any of them
    positions = config.max_position_embeddings
    if kind in POSITIONS_FROM_PADDING:
        positions -= config.pad_token_id + 1
    if dict(card.settings)["max_tokens"] > positions:
        raise ValueError(f"{card.name}: it can read {positions} tokens at most")
    return config


def fill(model: Any, name: str, path: Path, prefix: str = "") -> None:
    """Put a safetensors file's weights into a module; its names may begin with ``prefix``. Raises WrongWeights."""
    from safetensors import SafetensorError, safe_open

    needed = model.state_dict()
    try:
        with safe_open(str(path), framework="pt") as stored:
            names = {key.removeprefix(prefix): key for key in stored.keys()}  # noqa: SIM118  # not a mapping
            model.load_state_dict({key: stored.get_tensor(names[key]) for key in needed})
    except (SafetensorError, KeyError, RuntimeError) as error:
        kind = model.config.model_type
        raise WrongWeights(f"{name}: {path.name} does not hold the {kind} of config.json ({error})") from error
    model.requires_grad_(False).eval()
