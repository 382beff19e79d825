"""What is known of an extractor before anything is loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from otzyv.schemas.errors import NotFound
from otzyv.schemas.table import Column, Table
from otzyv.schemas.tables import feature_table
from otzyv.tasks.media.inputs import AudioInput, ImageInput
from otzyv.tasks.models.weights import Weights

Modality = Literal["raw", "plain", "text", "image", "audio", "vector"]
"""What is read: reviews.text (by the cleaning alone), clean_text.plain, clean_text.text, an attached image or audio, or
the vectors of another extractor's table."""

Run = Callable[[Sequence[Any]], "np.ndarray | pa.RecordBatch"]
"""n decoded contents -> (n, dim) float32, or a batch of n rows with the card's value columns.

Where contents can fail one by one, the batch has a column ``status`` too: ``ok``, or why a row's values are null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """An extractor's name, input, output, weights and settings. Its fingerprint decides whether a row is still good.

    Raise ``version`` when the code's output changes; golden values hold authors to it. Vector extractors give ``dim``
    (their table has one column ``embedding``), others give ``columns``.
    """

    name: str
    version: int
    modality: Modality
    doc: str
    licence: str
    source: str
    dim: int | None = None
    unit: bool = False
    columns: tuple[Column, ...] = ()
    weights: tuple[Weights, ...] = ()
    """Accepted weights, the preferred first. Empty: the extractor has none, or ships them."""
    input: ImageInput | AudioInput | None = None
    limit: int = 100_000
    """Longest text in characters; a longer one becomes a row with status too_large."""
    backend: Literal["numpy", "torch", "openvino", "onnxruntime", "fasttext", "api"] = "numpy"
    precision: Literal["f32", "bf16"] = "f32"
    precisions: tuple[str, ...] = ("f32",)
    """What ``precision`` may be set to in a lake's settings."""
    tolerance: float = 1e-5
    """Largest absolute difference to expect between two computations of one value."""
    parameters: int | None = None
    profiles: frozenset[str] = frozenset()
    settings: tuple[tuple[str, Any], ...] = ()
    """Everything else that decides the output (n_mfcc, bins, ...)."""
    batch_rows: int = 256
    """How many decoded contents are handed to the function at once, at most."""
    layers: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    """Inner layers that can be had instead of the last one, and the dimension of each: see ``at``."""
    lecture_input: int | None = field(default=None, compare=False)
    """Side of the picture in the lecture's table of networks; ``input`` is what the weights were trained for."""
    fitted: bool = False
    """Whether it learns from a lake first: its weights are then what ``otzyv fit`` stored there."""
    reads: Card | None = None
    """Whose vectors are read, where the modality is ``vector``."""
    notes: str = field(default="", compare=False)

    def at(self, layer: str) -> Card:
        """The card of an inner layer, ``image_resnet50@layer2``. LookupError lists the layers there are."""
        if layer not in self.layers:
            outermost = sorted(self.layers, key=lambda name: name.count("."))
            known = ", ".join(outermost[:40]) or "none but the last"
            more = f" and {len(outermost) - 40} within them" if len(outermost) > 40 else ""
            raise NotFound(f"{self.name} has no layer {layer!r}; there are: {known}{more}")
        return dataclasses.replace(
            self,
            name=f"{self.name}@{layer}",
            doc=f"layer {layer}, averaged over the picture, in place of {self.doc}",
            dim=self.layers[layer],
            settings=(*self.settings, ("layer", layer)),
            profiles=frozenset(),
            layers={},
        )

    @property
    def value_columns(self) -> tuple[Column, ...]:
        if self.dim is None:
            return self.columns
        vector = Column(name="embedding", type=pa.list_(pa.float32()), required=False, value=True,
                        dim=self.dim, unit=self.unit, doc=self.doc)  # fmt: skip
        return (vector, *self.columns)

    @property
    def attached(self) -> bool:
        """Whether it reads attachments (a row per file) rather than the review's text (a row per review)."""
        return self.reads.attached if self.reads else self.modality in ("image", "audio")

    @property
    def table(self) -> Table:
        what = "attached file" if self.attached else "review"
        return feature_table(self.name, self.value_columns, row=f"{self.doc}, of one {what}", attached=self.attached)

    def faults(self) -> Iterator[str]:
        """What keeps the card from being used, a sentence each. Raises what its table or its identity raises."""
        if self.modality not in get_args(Modality):
            yield f"modality is {self.modality!r}; there are: {', '.join(get_args(Modality))}"
        if (self.input is not None) != (self.modality in ("image", "audio")):
            yield "input goes with modality image (an ImageInput) or audio (an AudioInput), and with no other"
        if (self.reads is not None) != (self.modality == "vector"):
            yield "reads, the card whose vectors are read, goes with modality vector"
        if not self.value_columns:
            yield "it promises neither dim nor columns"
        if not all(column.value for column in self.value_columns):
            yield "its columns are values of an extractor: value=True, required=False"
        if self.precision not in self.precisions:
            yield f"precision is {self.precision!r}, which is not among its precisions"
        self.table.arrow  # noqa: B018  # raises where a column has the name of a key
        self.fingerprint()

    def fingerprint(self, weights: Weights | None = None) -> str:
        """sha256 of ``identity``: 64 hex digits."""
        return hashlib.sha256(self.identity(weights).encode()).hexdigest()

    def identity(self, weights: Weights | None = None) -> str:
        """Everything that decides the output, as JSON with sorted keys; a lake keeps it under its fingerprint."""
        chosen = weights or (self.weights[0] if self.weights else None)
        decides = {
            "name": self.name, "version": self.version, "modality": self.modality, "dim": self.dim,
            "unit": self.unit, "columns": [f"{c.name}:{c.type}" for c in self.columns],
            "input": dataclasses.asdict(self.input) if self.input else None,
            "limit": self.limit, "backend": self.backend, "precision": self.precision,
            "settings": sorted(self.settings),
            "weights": [[f.name, f.sha256] for f in chosen.files] if chosen else None,
            "weights_settings": sorted(chosen.settings) if chosen else None,
        }  # fmt: skip
        return json.dumps(decides, sort_keys=True, default=str)
