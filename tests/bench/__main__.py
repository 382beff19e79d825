"""``make bench``: every benchmark of this folder in a process of its own, and a table of what was measured.

python -m tests.bench [--json | --markdown] [NAME ...]      a name is a module's without bench_: text, lake
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.figure import Figure
from tests.bench.process import BenchFailed, measured

MET = {True: "yes", False: "NO", None: ""}
LIBRARIES = ("torch", "openvino", "pyarrow", "deltalake", "great-expectations", "numpy")


def names() -> list[str]:
    """The benchmarks there are: a module is one by lying in this folder under a name that begins with bench_."""
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def machine() -> str:
    """What figures that are measured now are measured on, and how busy it is with other work."""
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    flags = next((line.split() for line in info.splitlines() if line.startswith("flags")), [])
    special = [flag for flag in ("avx512_bf16", "amx_bf16", "avx512_vnni") if flag in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    processor = models[0] if models else platform.machine()
    return (
        f"{len(os.sched_getaffinity(0))} cores of {processor} ({', '.join(special) or 'no bf16'}), "
        f"{memory:.0f} GiB, load {os.getloadavg()[0]:.1f} before; Python {platform.python_version()}, {libraries}"
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these of: {', '.join(names())}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="renew the table in a Markdown file")
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.names) - set(names()))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names())}")
    where = machine()
    failed: list[str] = []
    figures = list(_figures(chosen.names or names(), failed))
    if chosen.json:
        rows = [asdict(figure) | {"met": figure.met} for figure in figures]
        print(json.dumps({"machine": where, "figures": rows, "failed": failed}, ensure_ascii=False))
    elif chosen.markdown:
        renew(chosen.markdown, markdown(figures, where))
    else:
        show(figures, where)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def _figures(wanted: Sequence[str], failed: list[str]) -> Iterator[Figure]:
    console = Console(stderr=True)
    for name in wanted:
        with console.status(f"measuring {name}"):
            try:
                yield from measured(f"tests.bench.bench_{name}")
            except BenchFailed as error:
                failed.append(str(error))


def show(figures: Sequence[Figure], where: str) -> None:
    """Print a table for people, the machine below it."""
    table = Table("figure", "measured", "target", "met", "how", show_lines=True)
    for figure in figures:
        table.add_row(figure.name, figure.shown, figure.target, MET[figure.met], figure.detail)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print(where, soft_wrap=True)


def markdown(figures: Sequence[Figure], where: str) -> str:
    """The same as Markdown."""
    lines = [f"Measured by `make bench` on {where}.", ""]
    lines += ["| figure | measured | target | met | how |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {figure.name} | {figure.shown} | {figure.target} | {MET[figure.met].lower()} | {figure.detail} |"
        for figure in figures
    ]
    return "\n".join(lines)


def renew(file: Path, table: str) -> None:
    """Put the table between the marks ``<!-- bench: begin -->`` and ``<!-- bench: end -->`` of a Markdown file."""
    begin, end = "<!-- bench: begin -->\n", "<!-- bench: end -->"
    text = file.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"{file}: it must hold {begin.strip()} and {end} once each; the table goes between them")
    head, rest = text.split(begin)
    file.write_text(f"{head}{begin}{table}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
