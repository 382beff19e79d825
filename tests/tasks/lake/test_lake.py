"""Readers see whole released days, on disk and on S3."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from otzyv.schemas.sample import sample
from otzyv.schemas.table import Column, Table
from otzyv.schemas.tables import MODELS, QUARANTINE, RELEASES, REVIEWS, RUNS, feature_table
from otzyv.tasks.lake import Lake, releases
from otzyv.tasks.lake.config import LakeConfig, NoLake, WrongKey, key_check
from otzyv.tasks.lake.delta.publish import append, commit, write_file
from otzyv.tasks.lake.delta.storage import Storage, StorageError
from otzyv.tasks.lake.lake import MixedFingerprints, NotReleased
from otzyv.tasks.lake.releases import release_day

DAYS = (date(2026, 3, 1), date(2026, 3, 2))
VECTOR = Column(name="embedding", type=pa.list_(pa.float32()), required=False, value=True, dim=4, doc="four numbers")
TEXTS = feature_table("text_toy", [VECTOR], row="a toy", attached=False)
IMAGES = feature_table("image_toy@layer1.0", [VECTOR], row="a toy", attached=True)


@pytest.fixture(params=["disk", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "disk":
        return Lake.create(tmp_path / "lake")
    bucket = request.getfixturevalue("s3")
    return Lake.create(f"{bucket}/{tmp_path.name}")


def rows(table: Table, seed: int, day: date, count: int = 6, fingerprint: str = "f") -> pa.Table:
    made = sample(table, count, seed)
    said = {"day": pa.array([day] * count, pa.date32()), "fingerprint": pa.array([fingerprint * 64] * count)}
    for name, column in said.items():
        if name in table.names:
            made = made.set_column(made.column_names.index(name), table.arrow.field(name), column)
    return made


def put(lake: Lake, table: Table, made: pa.Table) -> None:
    day = made["day"][0].as_py()
    file = write_file(lake.storage, table, day, made)
    assert file is not None
    assert commit(lake.storage, lake.snapshot(table), [day], [file]) == "published"


def test_a_day_is_seen_only_once_it_is_released_and_then_as_it_was_released(lake: Lake) -> None:
    put(lake, TEXTS, rows(TEXTS, 1, DAYS[0]))
    with pytest.raises(NotReleased, match="2026-03-01"):
        lake.frame([DAYS[0]], ["text_toy"])
    assert release_day(lake.storage, DAYS[0], [TEXTS]) is not None
    seen = lake.frame([DAYS[0]], ["text_toy"], "arrow")
    put(lake, TEXTS, rows(TEXTS, 2, DAYS[0]))
    assert lake.frame([DAYS[0]], ["text_toy"], "arrow").equals(seen), "a publication alone changes nothing for readers"
    release_day(lake.storage, DAYS[0], [TEXTS])
    assert not lake.frame([DAYS[0]], ["text_toy"], "arrow").equals(seen)
    assert release_day(lake.storage, DAYS[0], [TEXTS]) is None, "nothing new to release"


def test_a_stale_writer_is_refused_on_s3_as_on_disk(lake: Lake) -> None:
    old = lake.snapshot(TEXTS)
    put(lake, TEXTS, rows(TEXTS, 1, DAYS[0]))
    late = write_file(lake.storage, TEXTS, DAYS[0], rows(TEXTS, 2, DAYS[0]))
    assert late is not None
    assert commit(lake.storage, old, [DAYS[0]], [late]) == "superseded"


def test_releases_of_one_day_made_at_once_leave_the_newest_state(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    put(lake, TEXTS, rows(TEXTS, 1, DAYS[0]))
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: release_day(lake.storage, DAYS[0], [TEXTS]), range(4)))
    assert sum(release is not None for release in made) == 1
    assert lake.frame(None, ["text_toy"], "arrow").num_rows == 6


def test_a_folder_that_comes_while_it_is_listed_is_no_error(tmp_path: Path) -> None:
    storage = Lake.create(tmp_path).storage
    names = [f"folder-{number}" for number in range(300)]
    with ThreadPoolExecutor(1) as pool:
        coming = pool.map(Path.mkdir, [tmp_path / name for name in names])
        for name in names:
            while not (tmp_path / name).is_dir():
                assert storage.sizes(name) == {}
        list(coming)


def test_releases_lie_in_few_files_and_none_is_forgotten(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "MOST_FILES", 3)
    for number in range(1, 9):
        put(lake, TEXTS, rows(TEXTS, number, DAYS[number % 2]))
        release_day(lake.storage, DAYS[number % 2], [TEXTS])
        assert len(lake.snapshot(RELEASES).files) <= 3
    history = [(row["released_day"], row["sequence"]) for row in lake.read(RELEASES).to_pylist()]
    assert sorted(history) == [(day, sequence) for day in DAYS for sequence in (1, 2, 3, 4)]
    assert {release.sequence for release in lake.releases().values()} == {4}


def test_several_tables_are_joined_by_review_and_attachments_come_as_lists(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    put(lake, REVIEWS, rows(REVIEWS, 1, DAYS[0]))
    text = rows(TEXTS, 1, DAYS[0])
    text = text.set_column(0, "review_id", lake.read(REVIEWS)["review_id"])
    put(lake, TEXTS, text)
    images = rows(IMAGES, 1, DAYS[0])
    first = lake.read(REVIEWS)["review_id"][0].as_py()
    images = images.set_column(0, "review_id", pa.array([first] * 6))
    images = images.set_column(1, "position", pa.array([5, 3, 4, 0, 1, 2], pa.int32()))
    put(lake, IMAGES, images)
    release_day(lake.storage, DAYS[0], [REVIEWS, TEXTS, IMAGES])
    frame = lake.frame(DAYS[:1], ["reviews", "text_toy", "image_toy@layer1.0"]).set_index("review_id")
    assert len(frame) == 6
    assert list(frame.loc[first, "image_toy@layer1.0.position"]) == [0, 1, 2, 3, 4, 5]
    wanted = {row["review_id"]: row["embedding"] for row in text.to_pylist()}
    for review_id, vector in frame["text_toy.embedding"].items():
        assert (vector is None) == (wanted[review_id] is None)
        assert vector is None or np.array_equal(vector, np.float32(wanted[review_id]))
    others = [review_id for review_id in frame.index if review_id != first]
    assert frame.loc[others, "image_toy@layer1.0.position"].isna().all()


def test_two_vector_spaces_are_never_put_into_one_column(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    for day, made_by in zip(DAYS, "ab", strict=True):
        put(lake, TEXTS, rows(TEXTS, 1, day, fingerprint=made_by))
        release_day(lake.storage, day, [TEXTS])
    with pytest.raises(MixedFingerprints, match=r"2026-03-01.*2026-03-02.*otzyv features"):
        lake.frame(DAYS, ["text_toy"])
    assert len(lake.frame(DAYS[1:], ["text_toy"])) == 6


def test_what_is_fixed_when_a_lake_is_made_stays(tmp_path: Path) -> None:
    made = Lake.create(tmp_path, LakeConfig("Asia/Tokyo", "f32", key_check("one key")))
    assert Lake.create(tmp_path, LakeConfig("UTC")).constants == made.constants
    made.constants.check_author_key("one key")
    with pytest.raises(WrongKey, match="OTZYV_AUTHOR_KEY"):
        made.constants.check_author_key("another key")


def test_errors_say_what_would_have_worked(tmp_path: Path) -> None:
    with pytest.raises(NoLake, match="otzyv run --source"):
        Lake(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="s3://bucket/path"):
        Lake("ftp://place")
    with pytest.raises(ValueError, match="Europe/Moscow"):
        Lake.create(tmp_path, LakeConfig("Mars/Olympus"))
    for write in (Storage("/sys").write, Storage("/sys").write_new):  # where not even root may
        with pytest.raises(StorageError, match=r"can't write to /sys/kernel: .* let this user write there"):
            write("kernel/file", b"")
    lake = Lake.create(tmp_path)
    put(lake, TEXTS, rows(TEXTS, 1, DAYS[0]))
    with pytest.raises(LookupError, match=r"there are: .*text_toy"):
        lake.frame(None, ["text_tpy"])
    with pytest.raises(LookupError, match=r"there are: .*text_toy"):
        lake.read("text_tpy")


def test_a_tables_name_stands_for_it(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    put(lake, TEXTS, rows(TEXTS, 1, DAYS[0]))
    assert lake.read("text_toy", DAYS[0]).equals(lake.read(TEXTS))
    assert lake.head("text_toy", None, 2).equals(lake.read(TEXTS).slice(0, 2))


@pytest.mark.parametrize("table", [RUNS, QUARANTINE, MODELS], ids=lambda table: table.name)
def test_the_first_rows_are_those_by_day_and_keys_whatever_their_files_are_called(tmp_path: Path, table: Table) -> None:
    lake = Lake.create(tmp_path)
    for seed in range(6):
        made = sample(table, 3, seed)
        if table.partition:
            days = pa.array([DAYS[seed % 2]] * 3, pa.date32())
            made = made.set_column(made.column_names.index("day"), table.arrow.field("day"), days)
        append(lake.storage, table, made, DAYS[seed % 2] if table.partition else None)
    order = [table.partition, *table.keys] if table.partition else [*table.keys]
    wanted = sorted(lake.read(table).to_pylist(), key=lambda row: [row[name] for name in order])
    assert len(wanted) == 18
    for limit in (1, 2, 10, 18, 30):
        assert lake.head(table, None, limit).to_pylist() == wanted[:limit]
    if table.partition:
        assert lake.head(table, DAYS[1], 4).to_pylist() == [row for row in wanted if row["day"] == DAYS[1]][:4]


@pytest.mark.parametrize("name", ["a%20b", "a\\b", "a\nb", "a\udcffb", "_delta_log/lake"])
def test_a_folder_that_deltalake_would_misread_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="give a folder without it"):
        Lake.create(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a b", "50%", "курс №1", "#?&;'*[x]", "{day}"])
def test_a_lake_lies_in_a_folder_of_any_other_name(tmp_path: Path, name: str) -> None:
    lake = Lake.create(tmp_path / name)
    put(lake, TEXTS, rows(TEXTS, 1, DAYS[0]))
    assert lake.read(TEXTS).num_rows == 6


def test_a_lake_has_one_address_by_whatever_way_it_is_reached(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake")
    (tmp_path / "link").symlink_to(tmp_path / "lake")
    assert Lake(tmp_path / "link").uri == Lake(tmp_path / "lake" / ".." / "lake").uri == lake.uri
