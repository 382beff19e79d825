"""What a person should know of a source beside its records: each thing once, with the files that it is true of."""

from __future__ import annotations

from collections.abc import Iterator

_NAMED = 5
"""How many files are named in a line."""


class Notes:
    """Lines such as ``a.csv, b.csv and 7 more: …``. ``{n}`` in a text stands for a count over all files."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, int]] = {}

    def add(self, text: str, file: str, count: int = 1) -> None:
        """Note ``text`` of ``file``, which is named once however often it is said."""
        counts = self._said.setdefault(text, {})
        counts[file] = counts.get(file, 0) + count

    def of(self, file: str) -> dict[str, int]:
        """What was said of a file, with its counts."""
        return {text: counts[file] for text, counts in self._said.items() if file in counts}

    def lines(self) -> Iterator[str]:
        for text, counts in self._said.items():
            files = list(counts)
            more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
            yield f"{', '.join(files[:_NAMED])}{more}: {text.replace('{n}', str(sum(counts.values())))}"
