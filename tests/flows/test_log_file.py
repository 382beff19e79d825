"""The log file of ``otzyv serve``: each line with its time, for its owner alone, and never without bound."""

from __future__ import annotations

import io
import re
import stat
from pathlib import Path

import pytest

from otzyv.flows.serving import log_file
from otzyv.flows.serving.log_file import LogFile


def test_lines_are_written_whole_with_their_time_beside_what_is_shown(tmp_path: Path) -> None:
    shown, path = io.StringIO(), tmp_path / "logs" / "serve.log"
    stream = LogFile(path, shown)
    for text in ("first", " half\nsecond\n", "third"):
        assert stream.write(text) == len(text)
    assert shown.getvalue() == "first half\nsecond\nthird"
    stream.close()
    lines = path.read_text().splitlines()
    assert [re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (.*)", line)[1] for line in lines] == [  # type: ignore[index]
        "first half",
        "second",
    ]


def test_files_are_rotated_and_are_for_their_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MOST", 1_000)
    stream = LogFile(tmp_path / "serve.log", io.StringIO())
    for number in range(1_000):
        stream.write(f"line {number}\n")
    stream.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["serve.log", *(f"serve.log.{n}" for n in range(1, log_file.KEPT + 1))]
    assert max(file.stat().st_size for file in files) <= 1_000
    assert "line 999" in files[0].read_text()
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
