"""Which files a source is made of."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from otzyv.tasks.sources import ENDINGS, Aside, SourceError, files, find, read
from otzyv.tasks.sources.listing import HIDDEN, LINK, UNKNOWN
from tests.tasks.sources.reviews import UTC, line


def put(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(path: Path | str, day: date | None = None) -> list[str]:
    return [file.name for file in files(path, day)]


def test_a_folder_is_all_its_files_in_one_order(tmp_path: Path) -> None:
    wanted = sorted(["a.CSV", "b.jsonl", "b/c/d.jsonl.gz", "я.jsonl", *(f"b/x{ending}" for ending in ENDINGS)])
    aside = {
        "._b.jsonl": HIDDEN, ".hidden": HIDDEN, "_sheet1.csv": HIDDEN, "b/_old.jsonl.gz": HIDDEN,
        "b/dump.xml": UNKNOWN, "notes.txt": UNKNOWN, "link": LINK,
    }  # fmt: skip
    neither = ["photo.jpg", "b/voice.OGG", "b/_SUCCESS", ".DS_Store", "~$book.xlsx", ".git/config", "_x/y/z.bin"]
    places = [name for name in aside if name not in (".hidden", "link")]
    for name in [".hidden/x/a.jsonl", *neither, *places, *wanted]:
        put(tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path / "b")
    assert names(tmp_path) == wanted
    assert find(tmp_path).aside == tuple(Aside(name, aside[name]) for name in sorted(aside))
    assert {file.ending for file in files(tmp_path)} == set(ENDINGS)
    assert all(file.path.is_file() for file in files(tmp_path))
    assert names(tmp_path / "b" / "x.parquet") == ["x.parquet"]
    assert files(tmp_path / "b" / "x.parquet")[0].root == tmp_path / "b"


def test_a_day_in_the_path_is_that_day_or_every_day_found(tmp_path: Path) -> None:
    for name in ("2024-05-01/in/a.jsonl", "2024-05-02/in/a.jsonl", "2024-05-03/out/a.jsonl", "2024-13-01/in/a.jsonl",
                 "x2024-05-01/in/a.jsonl"):  # fmt: skip
        put(tmp_path / name)
    for name in ("r-2024-05-01.csv", "r-2024-05-02.csv", "r-latest.csv"):
        put(tmp_path / name)
    assert names(tmp_path / "{day}" / "in", date(2024, 5, 2)) == ["2024-05-02/in/a.jsonl"]
    assert names(tmp_path / "{day}" / "in") == ["2024-05-01/in/a.jsonl", "2024-05-02/in/a.jsonl"]
    assert names(str(tmp_path / "r-{day}.csv"), date(2024, 5, 1)) == ["r-2024-05-01.csv"]
    assert names(tmp_path / "r-{day}.csv") == ["r-2024-05-01.csv", "r-2024-05-02.csv"]
    put(tmp_path / "both" / "2024-05-01" / "r-2024-05-01.csv")
    put(tmp_path / "both" / "2024-05-01" / "r-2024-05-02.csv")
    assert names(tmp_path / "both" / "{day}" / "r-{day}.csv") == ["2024-05-01/r-2024-05-01.csv"]
    assert {file.root for file in files(tmp_path / "{day}" / "in")} == {tmp_path}
    assert names(tmp_path / "r-2024-05-01.csv", date(2030, 1, 1)) == ["r-2024-05-01.csv"]
    with pytest.raises(SourceError, match=r"2024-06-01.* is not there"):
        files(tmp_path / "{day}" / "in", date(2024, 6, 1))
    with pytest.raises(SourceError, match="no such path for any day"):
        files(tmp_path / "q-{day}.csv")


def test_what_can_not_be_read_is_an_error_that_names_the_endings(tmp_path: Path) -> None:
    all_endings = r"\.csv, .*\.xlsx, .*\.jsonl, .*\.parquet .*with \.gz, \.bz2, \.zst"
    put(tmp_path / "reviews.xml")
    for path, what in ((tmp_path / "no", "not there"), (tmp_path, "no file to read"), (tmp_path / "reviews.xml", "")):
        with pytest.raises(SourceError, match=rf"{path.name}.*{what}.*{all_endings}"):
            files(path)


def test_links_and_special_files_are_refused(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside" / "reviews.jsonl", line())
    source = tmp_path / "source"
    put(source / "a.jsonl", line())
    (source / "folder").symlink_to(outside.parent)
    assert names(source) == ["a.jsonl"]
    (source / "b.jsonl").symlink_to(outside)
    for path in (source, source / "b.jsonl", source / "folder"):
        with pytest.raises(SourceError, match="is a link"):
            files(path)
    (source / "b.jsonl").unlink()
    os.mkfifo(source / "b.jsonl")
    with pytest.raises(SourceError, match="no regular file"):
        files(source)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_swapped_for_a_link_after_listing_is_not_followed(tmp_path: Path, ending: str) -> None:
    put(tmp_path / "outside" / f"reviews{ending}", line())
    inner = put(tmp_path / "source" / "inner" / f"reviews{ending}")
    (file,) = files(tmp_path / "source")
    inner.unlink()
    with pytest.raises(SourceError, match="not any more"):
        list(read(file, mapping={}, timezone=UTC))
    inner.symlink_to(tmp_path / "outside" / f"reviews{ending}")
    with pytest.raises(SourceError, match="is a link"):
        list(read(file, mapping={}, timezone=UTC))
    inner.unlink()
    inner.parent.rmdir()
    inner.parent.symlink_to(tmp_path / "outside")
    with pytest.raises(SourceError, match="is a link"):
        list(read(file, mapping={}, timezone=UTC))


@pytest.mark.parametrize("path", ["", " "])
def test_no_path_is_not_the_folder_where_one_happens_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    put(tmp_path / "a.jsonl", line())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="none is named"):
        files(path)
    assert names(".") == ["a.jsonl"]
