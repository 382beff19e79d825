"""Texts as a network reads them: tokens, in batches of texts of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from otzyv.tasks.models.store import WrongWeights

if TYPE_CHECKING:
    import tokenizers

BATCH_TOKENS = 1_000
"""Tokens, padding included, in one batch: larger ones no longer fit the cache, smaller ones leave cores waiting."""

INPUTS = {"ids": (np.int32, (-1, -1)), "mask": (np.float32, (-1, -1))}
"""What ``padded`` gives, as ``network`` wants it told."""


def tokenizer(name: str, files: Mapping[str, Path], max_tokens: int) -> tokenizers.Tokenizer:
    """The tokenizer of ``tokenizer.json``, cutting texts at ``max_tokens``. Raises WrongWeights."""
    import tokenizers

    try:
        made = tokenizers.Tokenizer.from_file(str(files["tokenizer.json"]))
    except Exception as error:  # the library raises nothing narrower
        raise WrongWeights(f"{name}: tokenizer.json is not a tokenizer ({error})") from error
    # The file may carry its maker's own settings of both. Padded in the tokenizer, it would be five times slower.
    made.no_padding()
    made.enable_truncation(max_tokens)
    return made


def by_tokens(rows: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Places of rows of similar length, so many that together they have at most ``BATCH_TOKENS`` (or one row)."""
    group: list[int] = []
    for place in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        if group and (len(group) + 1) * len(rows[place]) > BATCH_TOKENS:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def padded(rows: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Rows of token ids as one array ``ids``, and a ``mask`` that is 1 on tokens and 0 on padding: (rows, longest)."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int32)  # what stands under the mask is never looked at
    ids[mask] = np.concatenate(rows)
    return {"ids": ids, "mask": mask.astype(np.float32)}
