"""What docs/add-an-extractor.md says is what happens: its example runs, in otzyv and as a package outside of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

import otzyv
from otzyv.tasks.extractors.contract.golden import compared, golden, write
from otzyv.tasks.extractors.extractor import REGISTERED
from otzyv.tasks.lake import Lake
from tests.tasks.extractors.golden import MADE_BY
from tests.tasks.extractors.ready import ready

DOCUMENT = Path(__file__).parents[2] / "docs" / "add-an-extractor.md"
INSIDE, OUTSIDE = "text_loudness", "text_volume"
"""The document's name, and another one for the same file outside, so that both can run beside each other."""
TEXTS = {
    "quiet": "курс как курс",
    "loud": "УЖАС!!! Верните деньги!",
    "mixed": "Ёлки, Python 3 за НЕДЕЛЮ!",
    "none": "10/10 ...",
}


def files() -> dict[str, str]:
    """The document's files by the path that their first line names."""
    blocks = re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    return dict(blocks)


def run(*command: object, env: Mapping[str, str], cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=env, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the document, its extractor named otherwise, as its author has it."""
    folder = tmp_path_factory.mktemp("package")
    written = {Path(path).name if path.startswith("tasks") else path: said for path, said in files().items()}
    assert written.keys() == {"loudness.py", "pyproject.toml", "tests/test_loudness.py"}
    for path, said in written.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(said.replace(INSIDE, OUTSIDE), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def environment(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Of processes that find the package installed, and before this otzyv a copy with the document's file in it."""
    target, copy = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("copy")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    run(*pip, "--target", target, package, env=os.environ, cwd=target)
    ours = Path(str(otzyv.__file__)).parent
    shutil.copytree(ours, copy / "otzyv", ignore=shutil.ignore_patterns("__pycache__", "reviews"))
    for path, said in files().items():
        if path.startswith("tasks"):
            (copy / "otzyv" / path).write_text(said, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTZYV_")}
    home = str(tmp_path_factory.mktemp("home"))
    return {**kept, "PYTHONPATH": f"{copy}{os.pathsep}{target}", "HOME": home, "OTZYV_AUTHOR_KEY": "a key of tests"}


def test_the_example_runs_in_otzyv_and_as_an_installed_package(
    environment: Mapping[str, str], prefect_server: None, tmp_path: Path
) -> None:
    from prefect.settings import PREFECT_API_URL

    lines = [{"review_id": name, "text": text, "created_at": "2026-03-01T12:00:00Z"} for name, text in TEXTS.items()]
    (tmp_path / "reviews.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ("--source", "reviews.jsonl", "--lake", "lake", "--extractors", f"{INSIDE},{OUTSIDE}", "--json")
    server = {**environment, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    said = run(sys.executable, "-P", "-m", "otzyv", "run", *arguments, env=server, cwd=tmp_path)
    tables = json.loads(said)["tables"]
    assert [tables[name]["status"] for name in (INSIDE, OUTSIDE)] == [{"ok": 4}] * 2

    rows = Lake(tmp_path / "lake").frame(None, [INSIDE, OUTSIDE]).set_index("review_id")
    assert set(rows.index) == set(TEXTS)
    for name in (INSIDE, OUTSIDE):
        for review, text in TEXTS.items():
            small, capital = len(re.findall("[a-zа-яё]", text)), len(re.findall("[A-ZА-ЯЁ]", text))
            share = capital / (small + capital) if small + capital else 0
            assert rows.loc[review, f"{name}.capitals"] == pytest.approx(share, abs=1e-6)
            assert rows.loc[review, f"{name}.exclamations"] == text.count("!")
    assert set(rows[f"{INSIDE}.fingerprint"]).isdisjoint(rows[f"{OUTSIDE}.fingerprint"])


def test_the_packages_own_tests_hold_it_to_the_contract(package: Path, environment: Mapping[str, str]) -> None:
    """In one process after another: golden values are required, written by the command, and then hold."""
    python = (sys.executable, "-P", "-m")
    tests = (*python, "pytest", "-q", "-p", "no:cacheprovider", "--color=no")
    command = ("otzyv.tasks.extractors.contract", OUTSIDE, "--folder", "tests/golden")
    assert " ".join(["python -m", *command]).replace(OUTSIDE, INSIDE) in DOCUMENT.read_text(encoding="utf-8")
    said = run(*python, *command, env=environment, cwd=package)
    assert said == f"{OUTSIDE}.json: 5 rows\n"
    assert "9 passed" in run(*tests, "tests", env=environment, cwd=package)


def test_within_otzyv_the_example_needs_golden_values_and_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = next(said for path, said in files().items() if path.startswith("tasks"))
    module = ModuleType("otzyv.tasks.extractors.text.loudness")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # no more of it: what is first imported here stays
    with patch.dict(REGISTERED):
        exec(code, module.__dict__)
        with ready(INSIDE, anywhere=True) as prepared:
            missing = compared(INSIDE, golden(prepared), tmp_path, MADE_BY)
            assert write(prepared, tmp_path, MADE_BY)
            assert compared(INSIDE, golden(prepared), tmp_path, MADE_BY) is None
    named = f"python -m tests.tasks.extractors.golden {INSIDE}"
    assert missing == f"{INSIDE} has no golden values: make them with `{named}`"
    assert named in DOCUMENT.read_text(encoding="utf-8")
