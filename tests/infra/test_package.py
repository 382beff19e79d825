"""The installed package: one name at the top, whole without the repository, and blind to a user's own files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("schemas", "tasks", "flows", "infra/demo")
DECOY = "raise SystemExit('the file of a user was imported for one of ours')\n"


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return done  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since setuptools leaves folders where it builds."""
    copy = tmp_path_factory.mktemp("copy")
    for part in ("schemas", "tasks", "flows", "infra"):
        shutil.copytree(
            ROOT / part, copy / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    made = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    run(*pip, "--wheel-dir", made, copy)
    return next(made.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_parts_and_no_other_name_at_the_top(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"otzyv"}
    ours = {path for part in PARTS for path in (ROOT / part).rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {f"otzyv/{path.relative_to(ROOT)}" for path in ours} <= names


def test_it_runs_the_demo_beside_files_with_our_names(wheel: Path, prefect_server: None, tmp_path: Path) -> None:
    from prefect.settings import PREFECT_API_URL

    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    # What otzyv needs comes from here; an editable otzyv does not, since Python reads no .pth file of such a folder.
    (Path(packages) / "needed.pth").write_text(sysconfig.get_path("purelib"))
    notebook = tmp_path / "notebook"
    notebook.mkdir()
    for name in ("tasks", "flows", "schemas", "infra"):
        (notebook / f"{name}.py").write_text(DECOY)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTZYV_", "PYTHON"))}
    environment |= {"HOME": str(tmp_path), "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    run(python.with_name("otzyv"), "demo", cwd=notebook, env=environment)
    read = "import otzyv; lake = otzyv.Lake('demo-lake'); print(otzyv.__file__, len(lake.frame(None, ['text_navec'])))"
    said = run(python, "-c", read, cwd=notebook, env=environment).stdout.split()
    assert said[0].startswith(packages)
    assert int(said[1]) > 100
