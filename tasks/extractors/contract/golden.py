"""What an extractor gave for fixed contents when its version was last raised: a file ``NAME.json``.

Files that are missing or of another fingerprint are written. Values that differ under the same fingerprint are not: a
lake would take rows of the one for rows of the other. Raise the card's version first.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import soundfile
from PIL import Image

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.contract.contents import TEXTS, Data, contents
from otzyv.tasks.extractors.contract.fitting import vectors
from otzyv.tasks.extractors.contract.ready import Ready
from otzyv.tasks.extractors.extractor import Extractor
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.extractors.registry import get

MADE_BY = "python -m otzyv.tasks.extractors.contract NAME --folder FOLDER"
FIRST, PROJECTIONS = 4, 4
SAME = "under the same fingerprint"
NEAR = 5e-4
"""Of a vector's length: what processors, threads and training may change."""

Golden = dict[str, Any]


def golden(prepared: Ready, loaded: Extractor | None = None) -> Golden:
    """The extractor's fingerprint, and a row for each of its contents, computed in float32 as every machine has it.

    ``loaded``: the extractor with its network loaded already, which is used if it computes in float32.
    """
    if loaded is None or loaded.card.precision != "f32":
        found = prepared.extractor
        card = replace(found.card, precision="f32")
        run = found.load(card, prepared.weights)
        loaded = replace(found, card=card, load=lambda card, weights: run)
    card = loaded.card
    table = pa.Table.from_batches(list(extract(loaded, None, contents(datas(card)))))
    columns = ["status", *(column.name for column in card.value_columns)]
    return {
        "fingerprint": _fingerprint(prepared),
        "rows": [{name: _told(row[name]) for name in columns} for row in table.to_pylist()],
    }


def compared(name: str, now: Golden, folder: Path, made_by: str = MADE_BY) -> str | None:
    """What is wrong with an extractor's values, and what to do; None where they are the golden ones in the folder.

    ``made_by``: the command that makes them, in which NAME and FOLDER stand for those.
    """
    path, command = folder / f"{name}.json", made_by.replace("NAME", name).replace("FOLDER", str(folder))
    if not path.is_file():
        return f"{name} has no golden values: make them with `{command}`"
    then: Golden = json.loads(path.read_text("utf-8"))
    if now["fingerprint"] != then["fingerprint"]:
        return f"{path.name} was made by another fingerprint of {name}: make it again with `{command}`"
    if not _near(then["rows"], now["rows"]):
        return (
            f"{name} gives other values than {path.name} {SAME}, so lakes would keep rows of both: "
            f"raise the version on its card, then run `{command}`"
        )
    return None


def write(prepared: Ready, folder: Path, made_by: str = MADE_BY) -> bool:
    """Make the golden values of an extractor, and say what was done; False where they differ and may not."""
    name = prepared.extractor.card.name
    now, path = golden(prepared), folder / f"{name}.json"
    wrong = compared(name, now, folder, made_by)
    if wrong and SAME in wrong:
        click.echo(wrong, err=True)
        return False
    if wrong:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(now, ensure_ascii=False, indent=1) + "\n", "utf-8")
        click.echo(f"{path.name}: {len(now['rows'])} rows")
    return True


def datas(card: Card) -> Sequence[Data]:
    """Contents in files without loss, so that no library's encoder decides them: of odd sizes, rates and channels."""
    if card.reads:
        return tuple(vectors(card.reads.dim or 0, 3))
    if card.modality == "image":
        return _picture(160, 120), _picture(90, 64)
    if card.modality == "audio":
        return _recording(16_000, 1), _recording(44_100, 2)
    return (*TEXTS, "Great course, 5/5!")


@cache
def _picture(width: int, height: int) -> bytes:
    down, right = np.mgrid[:height, :width]
    shades = np.stack([down * (k + 1) + right * (3 - k) + 40 * ((down // 9 + right // 7) % 2) for k in range(3)], 2)
    file = io.BytesIO()
    Image.fromarray((shades % 256).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@cache
def _recording(rate: int, channels: int) -> bytes:
    """A second and a bit of a rising tone with an overtone."""
    seconds = np.arange(int(1.2 * rate)) / rate
    tone = np.sin(2 * np.pi * (200 * seconds + 300 * seconds**2)) + 0.4 * np.sin(2 * np.pi * 1_700 * seconds)
    samples = np.stack([0.3 * tone * (seconds + k) / (1.2 + k) for k in range(channels)], 1)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _fingerprint(prepared: Ready) -> str:
    """Of weights made up by the tests the published ones' stand in it: what files hold differs by their writer. An
    API's address, which differs from run to run, does not.
    """
    card, real = get(prepared.extractor.card.name).card, prepared.what == "real weights"
    card = replace(card, settings=()) if card.backend == "api" else card
    return card.fingerprint(prepared.weights if real else None)


def _told(value: Any) -> Any:
    """A value as it is; of a list of numbers what tells it from another."""
    if not isinstance(value, list) or any(isinstance(each, str) for each in value):
        return value
    vector = np.asarray(value, np.float64).reshape(-1)
    length = float(np.linalg.norm(vector))
    axes = np.random.default_rng(vector.size).standard_normal((PROJECTIONS, vector.size))
    seen = [*vector[:FIRST], *(axes @ vector / max(1, vector.size) ** 0.5)]
    return {"size": vector.size, "length": _short(length), "seen": [_short(number) for number in seen]}


def _short(number: float) -> float:
    return float(f"{number:.7g}")


def _near(then: Any, now: Any) -> bool:
    if isinstance(then, list) and isinstance(now, list):
        return len(then) == len(now) and all(map(_near, then, now))
    if isinstance(then, dict) and isinstance(now, dict):
        if then.keys() != now.keys():
            return False
        if "seen" in then:
            within = NEAR * max(then["length"], 1e-3)
            one, other = ([each["length"], *each["seen"]] for each in (then, now))
            return then["size"] == now["size"] and bool(np.allclose(one, other, rtol=0, atol=within))
        return all(_near(then[key], now[key]) for key in then)
    if isinstance(then, float) and isinstance(now, float):
        return bool(np.isclose(then, now, rtol=NEAR, atol=1e-5))
    return bool(then == now)
