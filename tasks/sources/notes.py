"""What a person should know of a source beside its records: each thing once, with the files that it is true of."""

from __future__ import annotations

from collections.abc import Iterator

_NAMED = 5
"""How many files are named in a line."""


class Notes:
    """Lines such as ``a.csv, b.csv and 7 more: …``. ``{n}`` in a text stands for a count over all files."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, text: str, file: str, count: int = 1) -> None:
        """Note ``text`` of ``file``, which is named once however often it is said."""
        files = self._files.setdefault(text, [])
        if file not in files[-1:]:  # files are read one after the other
            files.append(file)
        self._counts[text] = self._counts.get(text, 0) + count

    def lines(self) -> Iterator[str]:
        for text, files in self._files.items():
            more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
            yield f"{', '.join(files[:_NAMED])}{more}: {text.replace('{n}', str(self._counts[text]))}"
