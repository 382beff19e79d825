"""What the documents say is so: links and files that they name are there, formats and messages are the code's."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from otzyv.tasks.alerts.kinds import KINDS
from otzyv.tasks.media.audio import CHANNELS, RATES, SECONDS
from otzyv.tasks.media.children import MAX_AUDIO, MAX_IMAGE
from otzyv.tasks.media.image import MAX_JPEG_PIXELS, MAX_PIXELS
from otzyv.tasks.sources.formats import FORMATS
from otzyv.tasks.sources.packing import MOST_RATIO, PACKED
from otzyv.tasks.sources.reasons import REASONS, RECORD_BYTES

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
EXAMPLE = "NAME|loudness"
"""In the names of files that a reader makes by the documents."""
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


def spans(text: str) -> list[str]:
    """What stands between backticks, blocks aside."""
    return re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def block(document: str, language: str) -> str:
    """The one block of a language in a document."""
    said = (ROOT / "docs" / document).read_text()
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", said, re.DOTALL | re.MULTILINE)
    return str(found)


def anchors(text: str) -> set[str]:
    """The headings of a document as links name them."""
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


def test_the_readme_is_for_newcomers() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@each_document
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if re.match("https?:", target):
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.is_file(), target
        assert not anchor or anchor in anchors(there.read_text()), target


@each_document
def test_files_that_are_named_are_there(path: Path) -> None:
    for span in spans(path.read_text()):
        if re.match(r"(docs|flows|infra|schemas|tasks|tests)/[\w./*-]+$", span) and not re.search(EXAMPLE, span):
            assert list(ROOT.glob(span)), span


def test_ten_things_and_more_can_be_looked_for() -> None:
    _, _, listed = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where do I look for …")
    rows = re.findall(r"^\| (.+) \| (.+) \|$", listed, re.MULTILINE)[2:]
    assert len(rows) >= 10
    for asked, files in rows:
        assert any((ROOT / file).is_file() for file in spans(files)), asked


def test_every_document_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)", (ROOT / "README.md").read_text()))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_every_kind_of_alert_has_its_part_of_the_operators_page() -> None:
    said = (ROOT / "docs" / "operating.md").read_text()
    for kind in KINDS.values():
        path, _, anchor = kind.anchor.partition("#")
        assert path == "docs/operating.md"
        assert anchor in anchors(said), kind.name
        assert f"`{kind.event}`" in said


def test_the_table_of_formats_has_every_ending_and_the_limits() -> None:
    said = (ROOT / "docs" / "formats.md").read_text()
    rows = {
        row[0].partition(",")[0]: row for row in re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", said, re.M)
    }
    for each in FORMATS:
        assert tuple(re.findall(r"`(\.\w+)`", rows[each.name][1])) == each.endings
    assert set(re.findall(r"`(\.\w+)`", rows["packed"][1])) == set(PACKED)
    assert {name: rows[name][3] for name in ("packed", "pictures", "sound")} == {
        "packed": f"{MOST_RATIO} times its size",
        "pictures": f"{MAX_IMAGE >> 20} MiB, {MAX_PIXELS // 10**6} megapixels; "
        f"JPEG {MAX_JPEG_PIXELS // 10**6} megapixels, decoded at a scale",
        "sound": f"{MAX_AUDIO >> 20} MiB, {SECONDS // 60} minutes, {RATES[0] // 1000} to {RATES[-1] // 1000} kHz, "
        f"{CHANNELS[-1]} channels",
    }
    for name in ("JSON", "CSV"):
        assert rows[name][3].startswith(f"a record {RECORD_BYTES >> 20} MiB")


READ = """
import sys
import tomllib
from zoneinfo import ZoneInfo
from otzyv.tasks.sources import Record, files, read
from otzyv.tasks.sources.again import Kept, again
how = {"mapping": {"review_id": "id"}, "timezone": ZoneInfo("UTC")}
for one in read(files(sys.argv[1])[0], **how):
    if isinstance(one, Record):
        print(one.offset, one.review_id, one.created_at, one.text, one.rating)
        continue
    print(one.offset, one.reason)
    if one.rule == "encoding":
        kept = Kept("reviews.ltsv", one.offset, one.raw, one.raw_sha256, one.context)
        print("read again:", *(each.text for each in again(kept, encoding="cp1251", **how)))
"""


def test_a_format_by_the_document_is_one_file(tmp_path: Path) -> None:
    for part in ("schemas", "tasks", "flows", "infra"):
        shutil.copytree(
            ROOT / part, tmp_path / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "demo", "*.bin")
        )
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "tasks" / "sources" / "formats" / "ltsv.py").write_text(block("add-a-format.md", "python"))
    records = [
        "id:r1\tcreated_at:2026-03-01\ttext:Курс: отличный\trating:4,5\tmore:x\r\n\n".encode(),
        b"id:r2\tcreated_at:01.03.2026 12:30\ttext:\n",
        b"id:r3\tcreated_at:2026-03-01\ttext:" + "Спасибо\n".encode("cp1251"),
        b"id:r4\tcreated_at:2026-03-01\ttext:" + b"a" * RECORD_BYTES + b"\n",
    ]
    (tmp_path / "reviews.ltsv").write_bytes(b"".join(records))
    (tmp_path / "read.py").write_text(READ)
    done = subprocess.run(
        [sys.executable, tmp_path / "read.py", tmp_path / "reviews.ltsv"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "infra" / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    second, third, fourth = (len(b"".join(records[:count])) for count in (1, 2, 3))
    assert done.stdout.splitlines() == [
        "0 r1 2026-03-01 00:00:00+00:00 Курс: отличный 4.5",
        f"{second} r2 2026-03-01 12:30:00+00:00 None None",
        f"{third} the bytes are not UTF-8",
        "read again: Спасибо",
        f"{fourth} the record is larger than 16 MiB",
    ]


def test_a_measure_by_the_document_is_a_figure() -> None:
    room: dict[str, object] = {}
    exec(block("add-a-measure.md", "python"), room)
    zeros = room["zeros"]
    assert callable(zeros)
    assert list(zeros("chars", np.array([0.0, 1.0, 0.0, 4.0]))) == [("chars.zeros", 0.5)]


def literals() -> Iterator[str]:
    """Every text in the code, with … for what is filled in."""
    for top in ("flows", "schemas", "tasks"):
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
    yield from REASONS


def test_the_messages_of_the_troubleshooting_are_those_of_the_code() -> None:
    _, _, ours = (ROOT / "docs" / "troubleshooting.md").read_text().partition("## Bringing reviews in")
    messages = [span for cell in re.findall(r"^\| (`.*?) \| ", ours, re.MULTILINE) for span in spans(cell)]
    assert len(messages) >= 30
    said = list(literals())
    for message in messages:
        assert any(message in text for text in said), message


def test_make_without_a_target_lists_them_all() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  make (\w+) +\S", done.stdout, re.MULTILINE) == phony.split()


def test_the_changelog_has_this_version_below_what_is_not_released() -> None:
    heads = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert heads[:2] == ["Unreleased", version]
