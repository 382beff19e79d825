"""All that anybody could find in a lake's files."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def decoded(lake: Path) -> Iterator[str]:
    """What every file of the lake holds: its name, its raw bytes, and the values of Parquet and Arrow files.

    But for the names of the entries that keep forgotten people out: they are keyed hashes.
    """
    for path in lake.rglob("*"):
        if path.is_file():
            if path.parent.name != "suppressed":
                yield path.relative_to(lake).as_posix()
            data = path.read_bytes()
            yield from _read(data)
            if path.suffix == ".parquet" or data.startswith(b"ARROW1"):
                arrow = path.suffix != ".parquet"
                rows = pa.ipc.open_file(path).read_all() if arrow else pq.read_table(path, partitioning=None)
                values = [value for row in rows.to_pylist() for value in row.values()]
                for value in values:
                    if isinstance(value, bytes):
                        yield from _read(value)
                yield json.dumps([v for v in values if not isinstance(v, bytes)], ensure_ascii=False, default=str)


def _read(data: bytes) -> Iterator[str]:
    """Bytes as text in the encodings that reviews come in, JSON's escapes resolved."""
    wide = ("utf-16-le", "utf-16-be") if b"\0" in data else ()
    for encoding in ("utf-8", "cp1251", *wide):
        text = data.decode(encoding, "replace")
        yield text
        if "\\u" in text:
            yield re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)


def shown(text: Any) -> str:
    """A text by which two are compared that a reader takes for the same."""
    return " ".join(unicodedata.normalize("NFC", str(text)).casefold().split())
