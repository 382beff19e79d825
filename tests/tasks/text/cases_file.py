r"""Reads the cases that linguists write: ``raw => expected``, one a line, ``#`` for a remark, no arrow for no change.

``\uXXXX`` is a character by its number, ``\n`` a line end, ``\t`` a tab and two backslashes are one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

_ESCAPE = re.compile(r"\\u([0-9a-f]{4})|\\n|\\t|\\\\")


def cases(folder: str) -> list[ParameterSet]:
    """pytest parameters (raw, expected) from every file of the folder, named by file and line."""
    return [
        pytest.param(*map(_read, _sides(line)), id=f"{path.stem}-{number}")
        for path in sorted((Path(__file__).parent / "cases" / folder).glob("*.txt"))
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1)
        if line and not line.startswith("#")
    ]


def _sides(line: str) -> tuple[str, str]:
    if line.endswith(" =>"):
        return line.removesuffix(" =>"), ""
    raw, arrow, expected = line.partition(" => ")
    return raw, expected if arrow else raw


def _read(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}[m[0]], text)
