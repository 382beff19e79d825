"""Released rows side by side, and out of the lake as files that give them again."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otzyv.schemas.tables import REVIEWS, feature_table
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.publish import append
from otzyv.tasks.lake.frame import Pool, joined
from otzyv.tasks.lake.lake import MixedFingerprints, NotReleased
from otzyv.tasks.lake.releases import release_day
from otzyv.tasks.lake.upkeep.export import export, plain
from tests.tasks.lake.test_lake import DAYS, TEXTS, VECTOR, put, rows

IMAGES = feature_table("image_toy", [VECTOR], row="a toy", attached=True)


def with_images(lake: Lake, day: date, seed: int = 1) -> pa.Table:
    """Three reviews: one with four images, one with two, one with none."""
    put(lake, REVIEWS, rows(REVIEWS, seed, day, 3))
    ids = lake.read(REVIEWS, day)["review_id"].to_pylist()
    images = rows(IMAGES, seed, day)
    images = images.set_column(0, "review_id", pa.array([ids[0]] * 4 + [ids[1]] * 2))
    images = images.set_column(1, "position", pa.array([2, 0, 3, 1, 1, 0], pa.int32()))
    put(lake, IMAGES, images)
    release_day(lake.storage, day, [REVIEWS, IMAGES])
    return images


def test_attachments_are_pooled_over_those_that_have_features(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    images = with_images(lake, DAYS[0]).to_pylist()
    ids = lake.read(REVIEWS)["review_id"].to_pylist()
    frame = lake.frame(DAYS[:1], ["reviews", "image_toy"], pool="mean").set_index("review_id")
    alone = lake.frame(DAYS[:1], ["image_toy"], pool="mean").set_index("review_id")
    for review_id in ids[:2]:
        good = [row["embedding"] for row in images if row["review_id"] == review_id and row["status"] == "ok"]
        np.testing.assert_allclose(frame.loc[review_id, "image_toy.embedding"], np.mean(good, axis=0), atol=1e-6)
        np.testing.assert_allclose(alone.loc[review_id, "embedding"], np.mean(good, axis=0), atol=1e-6)
        assert list(frame.loc[review_id, "image_toy.position"]) == sorted(range(len(alone.loc[review_id, "position"])))
    assert frame.loc[ids[2], "image_toy.embedding"] is None
    assert set(alone.index) == set(ids[:2])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_each_review_gets_its_own_attachments_whatever_the_ids_are(seed: int, count: int) -> None:
    random = Random(seed)
    ids = [str(UUID(int=random.getrandbits(128))) for _ in range(count)]
    attached = [(name, position) for name in ids for position in range(random.randrange(4) or name == ids[0])]
    random.shuffle(attached)
    images = rows(IMAGES, seed % 1000, DAYS[0], len(attached))
    images = images.set_column(0, "review_id", pa.array([name for name, _ in attached], pa.string()))
    images = images.set_column(1, "position", pa.array([position for _, position in attached], pa.int32()))
    texts = rows(TEXTS, seed % 1000, DAYS[0], count).set_column(0, "review_id", pa.array(ids))
    seen = joined([TEXTS, IMAGES], [texts, images]).to_pylist()
    assert [row["review_id"] for row in seen] == sorted(ids)
    own = {row["review_id"]: row for row in texts.to_pylist()}
    pictures = sorted(images.to_pylist(), key=lambda each: each["position"])
    for row in seen:
        mine = [each for each in pictures if each["review_id"] == row["review_id"]]
        for name in ("position", "content_sha256", "status", "embedding"):
            assert row[f"{IMAGES.name}.{name}"] == ([each[name] for each in mine] or None)
        for name in ("content_sha256", "status", "embedding", "day"):
            assert row[f"{TEXTS.name}.{name}"] == own[row["review_id"]][name]


def test_a_review_that_two_days_show_is_a_row_of_each(tmp_path: Path) -> None:
    """It has moved, and the day that it left was not released since."""
    lake = Lake.create(tmp_path)
    for seed, day in enumerate(DAYS, 1):
        with_images(lake, day, seed)
        made = rows(REVIEWS, seed, day, 3)
        put(lake, REVIEWS, made.set_column(0, "review_id", pa.array(["moved", f"{day} a", f"{day} b"])))
        made = rows(IMAGES, seed, day, 2).set_column(0, "review_id", pa.array(["moved", "moved"]))
        put(lake, IMAGES, made.set_column(1, "position", pa.array([0, 1], pa.int32())))
        release_day(lake.storage, day, [REVIEWS, IMAGES])
    pools: tuple[Pool | None, ...] = (None, "mean")
    for pool in pools:
        seen = pa.table(lake.frame(None, ["reviews", IMAGES.name], "arrow", pool=pool))
        alone = [pa.table(lake.frame(day, ["reviews", IMAGES.name], "arrow", pool=pool)) for day in DAYS]
        both = pa.concat_tables(alone).sort_by([("review_id", "ascending"), ("reviews.day", "ascending")])
        assert seen.num_rows == 6
        assert seen.to_pylist() == both.to_pylist()


def test_a_review_that_stands_twice_in_a_day_is_not_shown_as_if_once(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    for name in ("a", "a"):
        append(lake.storage, TEXTS, rows(TEXTS, 1, DAYS[0], 1).set_column(0, "review_id", pa.array([name])), DAYS[0])
    put(lake, REVIEWS, rows(REVIEWS, 1, DAYS[0]))
    release_day(lake.storage, DAYS[0], [REVIEWS, TEXTS])
    with pytest.raises(ValueError, match="twice"):
        lake.frame(None, ["reviews", "text_toy"])


def test_days_are_dates_or_their_texts_and_others_are_named_with_those_there_are(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    for day in DAYS[:2]:
        put(lake, TEXTS, rows(TEXTS, 1, day))
        release_day(lake.storage, day, [TEXTS])
    wanted = lake.frame([DAYS[0]], ["text_toy"], "arrow")
    for days in ([str(DAYS[0])], str(DAYS[0]), DAYS[0]):
        assert lake.frame(days, "text_toy", "arrow").equals(wanted)
    for wrong in ("1 марта", datetime(2026, 3, 1), 20260301):  # noqa: DTZ001
        with pytest.raises(ValueError, match=r"is not a day; give date\(2026, 3, 1\)"):
            lake.frame([wrong], ["text_toy"])  # type: ignore[list-item]
    with pytest.raises(NotReleased, match=f"no release of 2031-01-01; released days: {DAYS[0]} to {DAYS[1]}"):
        lake.frame("2031-01-01", "text_toy")


@pytest.mark.parametrize(
    ("asked", "there"), [({"kind": "polars"}, "'pandas', 'arrow'"), ({"pool": "max"}, "None, 'mean'")]
)
def test_what_no_frame_can_come_as_is_refused(tmp_path: Path, asked: dict[str, str], there: str) -> None:
    lake = Lake.create(tmp_path)
    put(lake, TEXTS, rows(TEXTS, 1, DAYS[0]))
    release_day(lake.storage, DAYS[0], [TEXTS])
    with pytest.raises(ValueError, match=f"there are: {there}"):
        lake.frame(None, "text_toy", **asked)  # type: ignore[arg-type]


def test_a_release_is_read_by_its_id_whatever_came_after(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path)
    seen = {}
    for seed in (1, 2, 3):
        put(lake, TEXTS, rows(TEXTS, seed, DAYS[0]))
        release = release_day(lake.storage, DAYS[0], [TEXTS], held=lambda *_, seed=seed: "look" if seed == 3 else None)
        assert release is not None
        seen[release.release_id] = lake.read(TEXTS, DAYS[0])
    for release_id, wanted in seen.items():
        assert lake.frame(None, ["text_toy"], "arrow", release=release_id[:12]).equals(wanted)
    assert lake.frame(None, ["text_toy"], "arrow").equals([*seen.values()][1])
    with pytest.raises(LookupError, match="no id begins so"):
        lake.frame(None, ["text_toy"], release="feedbeef")
    with pytest.raises(NotReleased, match="2026-03-02"):
        lake.frame(DAYS[1:], ["text_toy"], release=next(iter(seen)))


def test_an_export_as_parquet_holds_what_the_frame_holds(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake")
    for day in DAYS:
        with_images(lake, day)
    wanted = pa.concat_tables([lake.frame([day], ["reviews", "image_toy"], "arrow") for day in DAYS])
    assert export(lake, None, ["reviews", "image_toy"], tmp_path / "out.parquet") == wanted.num_rows == 6
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.equals(wanted.cast(found.schema))
    with pytest.raises(ValueError, match=r"\.parquet or \.csv"):
        export(lake, None, ["reviews"], tmp_path / "out.xlsx")
    with pytest.raises(ValueError, match="no rows of reviews"):
        export(lake, None, ["quarantine"], tmp_path / "out.csv")
    with pytest.raises(ValueError, match="would lie in the lake"):
        export(lake, None, ["reviews"], Path(lake.uri) / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "out.parquet"], "no half a file is left"


@pytest.mark.parametrize("text", ["=1+1", "+7", "-x", "@A1", "\tx", "\r\nx", "\n", '"a", b', "так = себе", "'", ""])
def test_no_text_of_an_exported_csv_begins_as_a_formula_and_each_is_read_again(tmp_path: Path, text: str) -> None:
    from pyarrow import csv as pv

    pv.write_csv(plain(pa.table({"text": [text], "n": [-1.5]})), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["text"] == ("'" if text[:1] in {*"=+-@\t\r\n"} else "") + text
    assert row["n"] == "-1.5"


@pytest.mark.parametrize("column", ["review_id", "course_id"])
def test_ids_of_an_exported_csv_stay_equal_unless_they_could_call_something(tmp_path: Path, column: str) -> None:
    from pyarrow import csv as pv

    same = ["-1001234567890_17", "@user_17", "+79", "-", "5", "-курс.v2:1", "r1", "'x"]
    quoted = ["=A1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "-x y", "+a\n=b", "-2*3", "\t-1", "=HYPERLINK(1)", "-1\n"]
    pv.write_csv(plain(pa.table({column: [*same, *quoted]})), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        found = [row[column] for row in csv.DictReader(file)]
    assert found == [*same, *(f"'{one}" for one in quoted)]


def test_lists_of_an_exported_csv_are_json_that_gives_them_again() -> None:
    values: dict[str, Any] = {
        "vector": pa.array([[0.1, -2.5e-8], None, []], pa.list_(pa.float32())),
        "nested": pa.array([[[1.5], None], [], None], pa.list_(pa.list_(pa.float32()))),
        "texts": pa.array([['a"b', None], ["=x"], []], pa.list_(pa.string())),
        "days": pa.array([[date(2026, 3, 1)], None, []], pa.list_(pa.date32())),
    }
    said = plain(pa.table(values))
    for name, column in values.items():
        found = [None if text is None else json.loads(text) for text in said[name].to_pylist()]
        wanted = json.loads(json.dumps(column.to_pylist(), default=str))
        if name == "vector":
            assert said[name][0].as_py() == "[0.1,-2.5e-8]"
            assert found[0] == pytest.approx(wanted[0])
            found, wanted = found[1:], wanted[1:]
        assert found == wanted


def test_an_exports_memory_is_that_of_one_day_and_mixed_models_are_refused_before_a_row(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake")
    days = [DAYS[0] + timedelta(days=n) for n in range(12)]
    for day in days:
        put(lake, REVIEWS, rows(REVIEWS, 1, day, 2000))
        release_day(lake.storage, day, [REVIEWS])
    peaks = []
    for taken in (days[:2], days):
        pa.default_memory_pool().release_unused()
        before = pa.default_memory_pool().bytes_allocated()
        most = 0
        for frame in lake.frames(taken, ["reviews"]):
            most = max(most, pa.default_memory_pool().bytes_allocated() - before)
            del frame
        peaks.append(most)
    assert peaks[1] <= 1.1 * peaks[0]
    for day, made_by in zip(days[:2], "ab", strict=True):
        put(lake, TEXTS, rows(TEXTS, 1, day, fingerprint=made_by))
        release_day(lake.storage, day, [REVIEWS, TEXTS])
    with pytest.raises(MixedFingerprints):
        export(lake, days[:2], ["text_toy"], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
