"""Whether somebody speaks in a recording, and when: silero-vad, a small network that listens in steps of 32 ms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from otzyv.schemas.table import Column
from otzyv.tasks.extractors.card import Card, Run
from otzyv.tasks.extractors.extractor import register
from otzyv.tasks.inference.network import load_onnxruntime
from otzyv.tasks.media.inputs import AudioInput
from otzyv.tasks.models.store import locate
from otzyv.tasks.models.weights import File, Weights

Floats = np.ndarray[Any, np.dtype[np.float32]]

_RATE, _STEP, _CONTEXT, _STATE = 16_000, 512, 64, 128
_BEGINS, _ENDS, _PAUSE_SECONDS, _SPEECH_SECONDS = 0.5, 0.35, 0.1, 0.25
_HUB, _REVISION = "https://github.com/snakers4/silero-vad", "v6.2.1"


def _column(name: str, type: pa.DataType, doc: str, high: float | None = None) -> Column:
    return Column(name=name, type=type, doc=doc, required=False, value=True, low=0, high=high)


CARD = Card(
    name="audio_silero_vad",
    version=1,
    modality="audio",
    doc="how much of a recording is speech, and how it is divided into stretches of speech",
    licence="MIT",
    source=f"{_HUB} {_REVISION}",
    columns=(
        _column("seconds", pa.float32(), "length of the recording"),
        _column("probability", pa.float32(), "mean probability of speech", high=1),
        _column("speech_share", pa.float32(), f"share of the time with a probability of at least {_BEGINS}", high=1),
        _column("stretches", pa.int32(), "how many stretches of speech there are"),
        _column("longest_stretch", pa.float32(), "seconds of the longest stretch of speech, 0 if there is none"),
        _column("longest_pause", pa.float32(), "seconds of the longest pause between stretches, 0 if there is none"),
        _column("first_speech", pa.float32(), "seconds before the first stretch of speech, all if there is none"),
    ),
    weights=(
        Weights(_HUB, _REVISION, "MIT", (
            File("silero_vad.onnx", "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
                 f"{_HUB}/raw/{_REVISION}/src/silero_vad/data/silero_vad.onnx", 2_327_524),
        )),
    ),
    input=AudioInput(_RATE),
    backend="onnxruntime",
    tolerance=1e-4,
    parameters=309_633,
    settings=(
        ("step", _STEP), ("context", _CONTEXT), ("begins", _BEGINS), ("ends", _ENDS),
        ("pause_seconds", _PAUSE_SECONDS), ("speech_seconds", _SPEECH_SECONDS),
    ),
    batch_rows=8,
    notes=f"A stretch begins where the probability reaches {_BEGINS} and ends where it falls below {_ENDS}, unless it "
    f"is {_BEGINS} again before it has been low for {_PAUSE_SECONDS} s; one of at most {_SPEECH_SECONDS} s does not "
    "count (silero-vad's own settings). The file holds a second network, for 8 kHz, which is neither used nor counted.",
)  # fmt: skip


@register(CARD)
def audio_silero_vad(card: Card, weights: Weights | None) -> Run:
    if weights is None:
        raise ValueError(f"{card.name}: it needs weights, and its card names none")
    listen = _listener(locate(card.name, weights)["silero_vad.onnx"])

    def run(recordings: Sequence[Floats]) -> pa.RecordBatch:
        rows = [describe(len(samples), listen(samples)) for samples in recordings]
        columns = {column.name: column.type for column in card.value_columns}
        return pa.RecordBatch.from_pylist(rows, schema=pa.schema(columns))

    return run


def _listener(path: Path) -> Callable[[Floats], Floats]:
    """(n,) samples -> a probability for each step of 512, the last one filled up with silence.

    The network sees each step behind the last 64 samples before it, and carries a state from one to the next.
    """
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a step is too small to be divided
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    rate = np.array(_RATE, np.int64)

    def listen(samples: Floats) -> Floats:
        padded = np.pad(samples, (_CONTEXT, -len(samples) % _STEP))
        probabilities = np.empty(len(padded) // _STEP, np.float32)
        state = np.zeros((2, 1, _STATE), np.float32)
        for step in range(len(probabilities)):
            heard = padded[None, step * _STEP : (step + 1) * _STEP + _CONTEXT]
            probability, state = session.run(None, {"input": heard, "state": state, "sr": rate})
            probabilities[step] = probability[0, 0]
        return probabilities

    return listen


def describe(samples: int, probabilities: Floats) -> dict[str, float | int]:
    """The card's columns of a recording of so many samples; ``probabilities``: one for each step."""
    found = stretches(samples, probabilities)
    pauses = [begin - end for (_, end), (begin, _) in pairwise(found)]
    return {
        "seconds": samples / _RATE,
        "probability": float(probabilities.mean(dtype=np.float64)),
        "speech_share": float((probabilities >= _BEGINS).mean()),
        "stretches": len(found),
        "longest_stretch": max((end - begin for begin, end in found), default=0) / _RATE,
        "longest_pause": max(pauses, default=0) / _RATE,
        "first_speech": (found[0][0] if found else samples) / _RATE,
    }


def stretches(samples: int, probabilities: Floats) -> list[tuple[int, int]]:
    """First sample and the one after the last of each stretch of speech, as silero-vad finds them unless told else."""
    found: list[tuple[int, int]] = []
    begin: int | None = None
    pause: int | None = None  # where the stretch ends, if speech does not come back soon
    for sample, probability in zip(range(0, samples, _STEP), probabilities, strict=True):
        if probability >= _BEGINS:
            begin, pause = sample if begin is None else begin, None
        elif begin is not None and probability < _ENDS:
            pause = sample if pause is None else pause
            if sample - pause >= _PAUSE_SECONDS * _RATE:
                found.append((begin, pause))
                begin = pause = None
    if begin is not None:
        found.append((begin, samples))
    return [(begin, end) for begin, end in found if end - begin > _SPEECH_SECONDS * _RATE]
