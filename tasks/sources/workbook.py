"""Run as a program of its own: the workbook on standard input, cell by cell, on standard output.

A line is JSON: a sheet's name as a text, then its rows as lists. Times are ``{"time": …}``. It runs apart because a few
kilobytes can claim billions of cells: what needs more than ``MEMORY`` or ``SECONDS`` ends here, and nothing else does.
"""

from __future__ import annotations

import datetime
import json
import resource
import sys

MEMORY = 4 * 2**30
SECONDS = 600


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from python_calamine import load_workbook

    encode = json.JSONEncoder(default=_plain).encode
    book = load_workbook(sys.stdin.buffer)
    for name in book.sheet_names:
        print(encode(name))
        for row in book.get_sheet_by_name(name).iter_rows():
            print(encode(row))


def _plain(value: object) -> object:
    return {"time": value.isoformat()} if isinstance(value, datetime.date) else str(value)


if __name__ == "__main__":
    main()
