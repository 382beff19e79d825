"""Training what the project ships."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from otzyv.schemas.errors import InvalidInput
from otzyv.tasks.text.clean import clean
from otzyv.tasks.training.sentiment import Report, train


def sentiment(data: Sequence[Path], out: Path) -> Report:
    """Train sentiment's small model on texts cleaned as every run cleans them."""
    files = [file for path in data for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path])]
    if not files:
        raise InvalidInput(f"no CSV files in {', '.join(map(str, data))}")
    return train(files, out, clean=lambda text: clean(text).plain)
