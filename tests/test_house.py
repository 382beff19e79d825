"""The house's rules beyond import-linter's: which libraries are used where, and what may not happen at import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = ("infra/demo", "flows", "tasks", "schemas")
FILES = sorted(path for top in OURS for path in (ROOT / top).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module of ours, and every library, that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("otzyv.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = node.module.removeprefix("otzyv.")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_prefect_and_great_expectations_stay_where_they_belong() -> None:
    """Folders are plain Python that knows no Prefect, and one file imports Great Expectations."""
    for path in FILES:
        relative = path.relative_to(ROOT)
        libraries = {name.split(".")[0] for name in imports(path)}
        if relative.parts[0] == "schemas" or (relative.parts[0] == "tasks" and len(relative.parts) > 2):
            assert "prefect" not in libraries, relative
        if relative != Path("schemas/checks.py"):
            assert "great_expectations" not in libraries, relative


def test_nothing_unpickles_or_trusts_remote_code() -> None:
    for path in FILES:
        source = path.read_text()
        assert not {"pickle", "dill", "cloudpickle", "joblib"} & {name.split(".")[0] for name in imports(path)}, path
        assert "trust_remote_code" not in source, path
        for line in source.splitlines():
            assert "torch.load(" not in line or "weights_only=True" in line, path


def test_a_notebook_needs_one_import_and_no_model_library() -> None:
    heavy = "{'torch', 'prefect', 'transformers', 'openvino', 'great_expectations'}"
    said = f"import sys; from otzyv.tasks.lake import Lake; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_no_child_imports_what_lies_where_the_command_is_called() -> None:
    starting = [path for path in FILES if "sys.executable" in path.read_text()]
    assert starting
    for path in starting:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.List)]
        started = [call for call in calls if call.elts and ast.unparse(call.elts[0]) == "sys.executable"]
        assert all(ast.unparse(call.elts[1]) == "'-P'" for call in started), path
