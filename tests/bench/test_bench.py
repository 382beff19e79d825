"""``make bench``: every module is found by lying there, and what it measures is printed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.__main__ import main, markdown, names, renew, show
from tests.bench.figure import Figure
from tests.bench.process import BenchFailed, measured

MODULE = """
from tests.bench.figure import Figure

def figures():
    print("chatter")
    yield Figure("speed of light", {value}, ">= 3.5", "in a vacuum")
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "bench_toy.py"


def test_every_module_is_listed_and_has_figures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nosuch"])
    listed = capsys.readouterr().err.rstrip().rpartition("there are: ")[2].split(", ")
    assert listed == names()
    assert [f"bench_{name}.py" for name in listed] == sorted(
        path.name for path in Path(__file__).parent.glob("bench_*.py")
    )
    for name in listed:
        assert callable(importlib.import_module(f"tests.bench.bench_{name}").figures)


@pytest.mark.parametrize(("value", "met"), [(3.5, "yes"), (3.4, "no")])
def test_a_figure_measured_in_a_process_of_its_own_is_a_row(
    bench: Path, capsys: pytest.CaptureFixture[str], value: float, met: str
) -> None:
    bench.write_text(MODULE.format(value=value))
    figures = list(measured("bench_toy"))
    assert figures == [Figure("speed of light", value, ">= 3.5", "in a vacuum")]
    assert (
        f"| speed of light | {value} x | >= 3.5 | {met} | in a vacuum |" in markdown(figures, "a machine").splitlines()
    )
    show(figures, "a machine")
    row = next(line for line in capsys.readouterr().out.splitlines() if "speed of light" in line)
    assert [cell.strip().lower() for cell in row.strip("│").split("│")][1:4] == [f"{value} x", ">= 3.5", met]


def test_a_benchmark_that_fails_is_told_after_what_it_measured(bench: Path) -> None:
    bench.write_text(MODULE.format(value=1) + "    raise SystemExit(3)\n")
    figures = measured("bench_toy")
    assert next(figures).value == 1
    with pytest.raises(BenchFailed, match="bench_toy ended with exit status 3"):
        next(figures)


def test_programs_get_one_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    figure = Figure("speed of light", 4, ">= 3.5", "in a vacuum")
    monkeypatch.setattr("tests.bench.__main__.measured", lambda module: iter([figure]))
    assert main(["--json", "text"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["figures"] == [
        {"name": "speed of light", "value": 4, "target": ">= 3.5", "detail": "in a vacuum", "unit": "x", "met": True}
    ]
    assert f"Python {sys.version.split()[0]}" in said["machine"]


def test_a_document_is_renewed_between_its_marks(tmp_path: Path) -> None:
    file = tmp_path / "bench.md"
    file.write_text("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n")
    for table in ("new", "newer"):
        renew(file, table)
    assert file.read_text() == "before\n<!-- bench: begin -->\nnewer\n<!-- bench: end -->\nafter\n"
    file.write_text("no marks")
    with pytest.raises(SystemExit, match="it must hold"):
        renew(file, "lost")


def test_a_figure_without_a_target_is_neither_met_nor_missed() -> None:
    figure = Figure("speed of light", 4, "", "in a vacuum")
    assert figure.met is None
    assert markdown([figure], "here").endswith("| speed of light | 4 x |  |  | in a vacuum |")
    with pytest.raises(ValueError, match="does not begin like"):
        assert Figure("speed of light", 4, "fast", "in a vacuum").met


def test_it_runs_as_make_bench_does() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.bench", "--help"], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in names())
