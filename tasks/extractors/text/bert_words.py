"""Contextual vectors of chosen words: one word in two senses gets two vectors, one for each sentence it stands in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from otzyv.schemas.table import Column
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.extractors.text.bert import RUBERT_TINY2
from otzyv.tasks.extractors.text.e5 import E5_SMALL, TEXT_E5
from otzyv.tasks.inference import e5
from otzyv.tasks.inference.network import Batch, network
from otzyv.tasks.inference.tokenizer import INPUTS, by_tokens, padded, tokenizer
from otzyv.tasks.inference.transformer import encoder
from otzyv.tasks.models.store import locate
from otzyv.tasks.models.weights import Weights

if TYPE_CHECKING:
    import tokenizers
    import torch

DIM = 312
WORDS = (
    "балл", "задание", "задача", "ключ", "коса", "курс", "лекция", "материал", "объяснение", "практика",
    "преподаватель", "пример", "тест", "урок", "экзамен", "язык",
)  # fmt: skip
"""What reviews of courses speak of, and the words of two senses that lectures show: ключ, коса, язык."""

_E5 = (("dim", e5.DIM), ("network", "multilingual-e5-small"))
_WORD = re.compile(r"[^\W\d_]+")

TEXT_BERT_WORD = Card(
    name="text_bert_word",
    version=1,
    modality="text",
    doc="a BERT's vectors of chosen words, each in its sentence",
    licence="MIT",
    source=f"{RUBERT_TINY2.source}, or {E5_SMALL[1].source}",
    columns=(
        Column(name="words", type=pa.list_(pa.string()), required=False, value=True,
               doc="the chosen words that the text has, in its order, in their dictionary form"),
        Column(name="starts", type=pa.list_(pa.int32()), required=False, value=True,
               doc="for each of words, the place of its first character in clean_text.text, from 0"),
        Column(name="vectors", type=pa.list_(pa.float32()), required=False, value=True,
               doc=f"{DIM} numbers for each of words ({e5.DIM} by E5), one after another: the mean of the last hidden "
                   "states of its pieces"),
    ),
    weights=(
        *(replace(weights, folder=RUBERT_TINY2.name) for weights in RUBERT_TINY2.weights),
        *(replace(weights, folder=TEXT_E5.name, settings=_E5) for weights in E5_SMALL),
    ),
    backend="openvino",
    precision="bf16",
    precisions=("bf16", "f32"),
    tolerance=5e-2,
    parameters=RUBERT_TINY2.parameters,
    settings=(("dictionary", version("pymorphy3-dicts-ru")), ("dim", DIM), ("max_tokens", 512), ("words", WORDS)),
    batch_rows=1024,
    notes="A text without any of the words has empty lists. np.reshape(vectors, (len(words), -1)) gives a row a word. "
          "Where rubert-tiny2 is not in the model store, multilingual-e5-small is used: it tells a currency's курс "
          "from one of lessons, but hardly ever two senses of коса or ключ.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Use:
    """A chosen word where it stands: in which text, at which character, and at which tokens of which sentence."""

    text: int
    start: int
    word: str
    sentence: int
    tokens: tuple[int, ...]


@register(TEXT_BERT_WORD)
def text_bert_word(card: Card, weights: Weights | None) -> Run:
    """n texts -> n rows of words, starts and vectors. Raises as ``bert``.

    ``card.settings``: ``words``, in their dictionary form; ``dim``, the length of a vector; ``max_tokens``, where a
    sentence is cut.
    """
    if weights is None:
        raise ValueError(f"{card.name}: an encoder needs weights, and its card names none")
    files, settings = locate(card.name, weights), {**dict(card.settings), **dict(weights.settings)}
    forms, dim = _forms(settings["words"]), settings["dim"]
    tokens: tokenizers.Tokenizer
    batch: Callable[[Sequence[np.ndarray]], Batch]
    inputs: Mapping[str, tuple[type[np.generic], tuple[int, ...]]]
    if "network" in settings:
        loaded = e5.e5(card, files)
        loaded.tokens.enable_truncation(settings["max_tokens"])
        module, inputs, tokens, batch = e5.states(loaded.model), e5.INPUTS, loaded.tokens, loaded.batch
    else:
        module, inputs, batch = _module(card, files, dim), INPUTS, padded
        tokens = tokenizer(card.name, files, settings["max_tokens"])
    net = network(
        module,
        inputs,
        backend="torch" if card.backend == "torch" else "openvino",
        precision=card.precision,
    )

    def run(texts: Sequence[str]) -> pa.RecordBatch:
        uses, ids = _found(texts, tokens, forms)
        vectors = np.empty((len(uses), dim), np.float32)
        of: dict[int, list[int]] = {}
        for place, use in enumerate(uses):
            of.setdefault(use.sentence, []).append(place)
        groups = list(by_tokens(ids))
        for group, hidden in zip(groups, net(batch([ids[i] for i in group]) for group in groups), strict=True):
            for sentence, states in zip(group, hidden, strict=True):
                for place in of[sentence]:
                    vectors[place] = states[list(uses[place].tokens)].mean(axis=0)
        counts = np.bincount([use.text for use in uses], minlength=len(texts))
        ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        columns = {
            "words": pa.ListArray.from_arrays(ends, pa.array([use.word for use in uses], pa.string())),
            "starts": pa.ListArray.from_arrays(ends, pa.array([use.start for use in uses], pa.int32())),
            "vectors": pa.ListArray.from_arrays(ends * np.int32(dim), vectors.ravel()),
        }
        return pa.record_batch(columns)

    return run


def _found(
    texts: Sequence[str], tokens: tokenizers.Tokenizer, forms: Mapping[str, str]
) -> tuple[list[_Use], list[np.ndarray]]:
    """Every use of a chosen word, in the texts' order, and the token ids of the sentences they stand in."""
    told = [(text, start, sentence, words) for text, content in enumerate(texts)
            for start, sentence, words in _sentences(content, forms)]  # fmt: skip
    uses: list[_Use] = []
    ids: list[np.ndarray] = []
    for (text, start, _, words), encoded in zip(told, tokens.encode_batch([told[2] for told in told]), strict=True):
        here = []
        for word, begin, end in words:
            pieces = tuple(i for i, (a, b) in enumerate(encoded.offsets) if a < end and b > begin)
            if pieces:  # else it stands behind the sentence's last token that is read
                here.append(_Use(text, start + begin, word, len(ids), pieces))
        if here:
            uses += here
            ids.append(np.array(encoded.ids, np.int32))
    return uses, ids


def _forms(words: Sequence[str]) -> dict[str, str]:
    """Every form of the words -> its word; a form that is another word's as well (косой) counts too."""
    from pymorphy3 import MorphAnalyzer

    analyzer = MorphAnalyzer(lang="ru")
    return {
        _plain(form.word): word
        for word in words
        for parsed in analyzer.parse(word)
        if _plain(parsed.normal_form) == _plain(word)
        for form in parsed.lexeme
    }


def _plain(word: str) -> str:
    return word.lower().replace("ё", "е")


def _sentences(text: str, forms: Mapping[str, str]) -> Iterator[tuple[int, str, list[tuple[str, int, int]]]]:
    """Start and text of each sentence with a chosen word, and (word, begin, end) of each of those in it."""
    from razdel import sentenize

    for sentence in sentenize(text):
        words = [
            (word, match.start(), match.end())
            for match in _WORD.finditer(sentence.text)
            if (word := forms.get(_plain(match.group())))
        ]
        if words:
            yield sentence.start, sentence.text, words


def _module(card: Card, files: Mapping[str, Path], dim: int) -> torch.nn.Module:
    """(rows, tokens) ids and mask -> (rows, tokens, dim) hidden states."""
    model: Any = encoder(card, files, dim)
    import torch

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            states: torch.Tensor = self.model(input_ids=ids.long(), attention_mask=mask.long()).last_hidden_state
            return states

    return States()
