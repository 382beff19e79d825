"""Reads the cases that linguists write: ``raw => expected``, one a line, ``#`` for a remark, no arrow for no change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

_ESCAPE = re.compile(r"\\u([0-9a-f]{4})|\\n|\\t")


def cases(folder: str) -> list[ParameterSet]:
    """pytest parameters (raw, expected) from every file of the folder, named by file and line."""
    return [
        pytest.param(_read(raw), _read(expected if arrow else raw), id=f"{path.stem}-{number}")
        for path in sorted((Path(__file__).parent / "cases" / folder).glob("*.txt"))
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1)
        if line and not line.startswith("#")
        for raw, arrow, expected in [line.partition(" => ")]
    ]


def _read(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else {"\\n": "\n", "\\t": "\t"}[m[0]], text)
