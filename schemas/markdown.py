"""Tables of Markdown, and documents of which a part is written by a program, between two marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from otzyv.schemas.errors import InvalidInput


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under their heads; a | in a cell does not end it."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def marks(part: str) -> tuple[str, str]:
    """The lines between which a part of a document stands."""
    return f"<!-- {part}: begin -->", f"<!-- {part}: end -->"


def inserted(document: str, part: str, written: str) -> str:
    """A document with what stands between the marks of a part replaced. Raises InvalidInput where they are missing."""
    begin, end = marks(part)
    before, found, rest = document.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise InvalidInput(f"it needs the lines {begin} and {end}: the table is put between them")
    return f"{before}{begin}\n{written}{end}{after}"
