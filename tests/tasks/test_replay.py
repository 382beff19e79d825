"""Refused records are shown with their fault, and come in once what refused them was changed; none over a newer one."""

from __future__ import annotations

import hashlib
import json
import random
import tracemalloc
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from otzyv.schemas.tables import ATTACHMENTS, QUARANTINE, REVIEWS
from otzyv.tasks.extractors.contract.contents import image
from otzyv.tasks.ingest import ingest
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import LakeConfig, key_check
from otzyv.tasks.lake.delta.publish import commit, write_file
from otzyv.tasks.lake.records.quarantine import Wanted, first, key_of, quarantine, refused, remove
from otzyv.tasks.lake.records.suppression import keyed, suppress
from otzyv.tasks.pipeline.ingest import Source
from otzyv.tasks.pipeline.replay import Replayed, replay
from otzyv.tasks.sources import REASONS, RejectedRecord, find, read
from otzyv.tasks.sources.again import Kept
from otzyv.tasks.sources.faults import parts
from tests.flows.command import Otzyv, command, review
from tests.tasks.sources.reviews import UTC

KEY = "a key made up for tests"
ALL = Wanted()
APRIL, MAY = "2026-04-01", "2026-05-01"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Otzyv:
    monkeypatch.setenv("OTZYV_AUTHOR_KEY", KEY)
    (tmp_path / "source").mkdir()
    Lake.create(tmp_path / "lake", LakeConfig(author_key_check=key_check(KEY)))
    return Otzyv(tmp_path / "lake", tmp_path / "source")


def bring(place: Otzyv, **how: Any) -> Any:
    return ingest.fn(str(place.lake), Source(str(place.source), **how), KEY)


def again(place: Otzyv, wanted: Wanted = ALL, path: str = "", **how: Any) -> Replayed:
    return replay(str(place.lake), Source(path, **how), KEY, wanted)


def texts(place: Otzyv) -> dict[str, str]:
    return {row["review_id"]: row["text"] for row in place.opened().read(REVIEWS).to_pylist()}


COLUMNS = ("review_id", "text", "created_at", "stars", "points")


def write(place: Otzyv, form: str, rows: list[tuple[Any, ...]]) -> None:
    path = place.source / f"a.{form}"
    if form == "csv":
        lines = [COLUMNS, *rows]
        path.write_text("".join(";".join(f'"{cell}"' for cell in line) + "\n" for line in lines))
    elif form == "jsonl":
        place.write(path.name, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    else:
        pq.write_table(pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows]), path)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_what_a_wrong_mapping_refused_comes_in_by_the_right_one_or_says_why_it_can_not(place: Otzyv, form: str) -> None:
    write(place, form, [(f"r{n}", f"Текст; {n}", "2026-03-01", 5, 10 * n) for n in range(4)])
    done = bring(place, mapping={"rating": "points"})
    assert (done.quarantined, done.accepted) == (4, 0)
    replayed = again(place, mapping={"rating": "stars"})
    if form == "parquet":  # of which the columns that are asked for alone are read
        assert replayed.not_replayable == {"its file was not read for stars; bring its source in again": 4}
        return
    counted = replayed.accounting
    assert (counted.records_in, counted.accepted, replayed.left, replayed.not_replayable) == (4, 4, 4, {})
    assert texts(place) == {f"r{n}": f"Текст; {n}" for n in range(4)}
    assert place.opened().read(QUARANTINE).num_rows == 0
    assert again(place, mapping={"rating": "stars"}).accounting.records_in == 0
    assert bring(place, mapping={"rating": "stars"}).deduplicated == 4


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_what_a_setting_refused_comes_in_by_another(place: Otzyv, form: str) -> None:
    write(place, form, [("r1", "Текст", "13/03/2026", 5, 1), ("r2", "Другой", "03/14/2026", 5, 1)])
    assert bring(place).quarantined == 2
    first = again(place, dates="day first")
    assert (first.accounting.accepted, first.accounting.quarantined, first.left) == (1, 1, 1)
    second = again(place, dates="month first")
    assert (second.accounting.accepted, second.accounting.quarantined, second.left) == (1, 0, 1)
    days = {row["review_id"]: str(row["day"]) for row in place.opened().read(REVIEWS).to_pylist()}
    assert days == {"r1": "2026-03-13", "r2": "2026-03-14"}


def test_a_replay_never_takes_the_place_of_a_review_that_may_be_newer(place: Otzyv) -> None:
    place.write(
        "a.jsonl", [review("same", "старое", stars=0), review("edited", "новое", stars=0, updated_at="2026-05-01")]
    )
    assert bring(place, mapping={"rating": "stars"}).quarantined == 2
    (place.source / "a.jsonl").unlink()
    place.write("b.jsonl", [review("same", "новое"), review("edited", "старое", updated_at=APRIL)])
    bring(place)
    done = again(place)
    assert (done.accounting.accepted, done.accounting.deduplicated, done.left) == (1, 1, 2)
    assert texts(place) == {"same": "новое", "edited": "новое"}


def test_of_states_that_were_refused_the_one_that_came_last_counts(place: Otzyv) -> None:
    for day, text in ((2, "второе"), (3, "третье"), (1, "первое")):
        place.write("a.jsonl", [review("r", text, stars=0)])
        bring(place, mapping={"rating": "stars"})
        rows = place.opened().read(QUARANTINE).to_pylist()
        came = [row | ({"day": date(2026, 4, day)} if row["day"] > date(2026, 4, 30) else {}) for row in rows]
        _rewrite(place, pa.Table.from_pylist(came, schema=QUARANTINE.arrow))
    assert place.opened().read(QUARANTINE).num_rows == 3
    assert again(place).accounting.accepted == 1
    assert texts(place) == {"r": "третье"}


def test_what_can_not_be_read_again_stays_and_is_told(place: Otzyv) -> None:
    photo = [{"kind": "image", "uri": "1.png"}]
    (place.source / "1.png").write_bytes(image("PNG"))
    place.write(
        "a.jsonl", [review("photo", stars=0, attachments=photo), review("large", "я" * 600_000, stars=0), b"{]"]
    )
    (place.source / "b.csv").write_text("review_id,text,created_at,stars\nold,a,2026-03-01,0\n")
    assert bring(place, mapping={"rating": "stars"}).quarantined == 4
    rows = place.opened().read(QUARANTINE)
    emptied = [None if row["source"] == "b.csv" else row["context"] for row in rows.to_pylist()]
    _rewrite(place, rows.set_column(rows.column_names.index("context"), "context", pa.array(emptied, pa.string())))
    suppress(place.opened().storage, "review", keyed(KEY, "nobody"))
    done = again(place)
    assert (done.accounting.records_in, done.accounting.quarantined, done.left) == (1, 1, 0)
    assert set(done.not_replayable) == {
        "it names attached files; say by --files where its source lies",
        "it is larger than the 1 MB of it that is kept; bring its source in again",
        "it was kept before the names of its columns were; bring its source in again",
    }
    found = again(place, Wanted(rule="range", source="a.jsonl"), str(place.source))
    assert (found.accounting.accepted, found.left) == (1, 1)
    assert place.opened().read(ATTACHMENTS)["status"].to_pylist() == ["ok"]


def _rewrite(place: Otzyv, rows: pa.Table) -> None:
    """Make these the rows of quarantine."""
    lake = place.opened()
    days = sorted({*rows["day"].to_pylist(), *lake.snapshot(QUARANTINE).days})
    files = [write_file(lake.storage, QUARANTINE, day, rows.filter(pc.equal(rows["day"], day))) for day in days]
    commit(lake.storage, lake.snapshot(QUARANTINE), days, [file for file in files if file], allow_empty=True)


def test_a_record_of_somebody_who_was_forgotten_does_not_come_in_and_is_kept_no_longer(place: Otzyv) -> None:
    place.write("a.jsonl", [review("r", stars=0), review("s", stars=0)])
    bring(place, mapping={"rating": "stars"})
    suppress(place.opened().storage, "review", keyed(KEY, "r"))
    done = again(place)
    assert (done.accounting.suppressed, done.accounting.accepted, done.left) == (1, 1, 2)
    assert texts(place).keys() == {"s"}


def test_any_mixture_replayed_is_what_the_source_would_have_brought(tmp_path: Path, place: Otzyv) -> None:
    chance = random.Random(3)
    for turn in range(6):
        folder = tmp_path / f"s{turn}"
        folder.mkdir()
        lakes = [Otzyv(tmp_path / f"{turn}{name}", folder) for name in ("mended", "right")]
        for each in lakes:
            Lake.create(each.lake, LakeConfig(author_key_check=key_check(KEY)))
        stars = [chance.randint(0, 6) for _ in range(12)]
        rows = [
            (f"r{n}", f'Он сказал "{n}", да', "2026-03-01", star, chance.choice([star, 9]))
            for n, star in enumerate(stars)
        ]
        for form in ("jsonl", "csv"):
            lines = [dict(zip(COLUMNS, (form[0] + row[0], *row[1:]), strict=True)) for row in rows]
            if form == "jsonl":
                lakes[0].write("a.jsonl", [*lines, b"{]"])
            else:
                cells = [",".join('"' + str(cell).replace('"', '""') + '"' for cell in line.values()) for line in lines]
                (folder / "b.csv").write_text("\n".join([",".join(COLUMNS), *cells]) + "\n")
        wrong, right = ({"rating": "points"}, {"rating": "stars"})
        first = bring(lakes[0], mapping=wrong)
        done = again(lakes[0], mapping=right)
        assert done.accounting.records_in == first.quarantined
        whole = bring(lakes[1], mapping=right)
        bad = sum(1 for star in stars if not 1 <= star <= 5)
        assert whole.quarantined == 2 * bad + 1
        assert done.left == done.accounting.accepted
        good = {f"{form}r{n}" for form in "jc" for n, star in enumerate(stars) if 1 <= star <= 5}
        assert good <= texts(lakes[0]).keys()
        assert {each: texts(lakes[0])[each] for each in good} == texts(lakes[1])


def test_a_byte_that_its_encoding_lacks_makes_no_mojibake_of_a_record(place: Otzyv) -> None:
    line = json.dumps(review("a", "Игра отличная, спасибо"), ensure_ascii=False).encode("cp1251")
    (place.source / "a.jsonl").write_bytes(line.replace(b"\xff", b"\xff\x98", 1) + b"\n")
    short = json.dumps(review("b", "да"), ensure_ascii=False)
    (place.source / "b.jsonl").write_bytes(short.encode("cp1251") + b"\n")
    bring(place, refused_share=1.0)
    done = again(place, encoding="cp1251")
    assert (done.accounting.accepted, done.accounting.quarantined, done.left) == (1, 1, 1)
    assert texts(place) == {"b": "да"}


def test_a_replayed_row_of_a_delta_table_is_of_its_log(place: Otzyv) -> None:
    rows = {"review_id": ["a"], "created_at": ["01/03/2026"], "text": ["да"]}
    write_deltalake(str(place.source / "table"), pa.table(rows))
    bring(place, name="stepik", refused_share=1.0)
    assert again(place, dates="day first").left == 1
    assert place.opened().read(REVIEWS)["source_file"].to_pylist() == ["stepik//table/_delta_log"]


STARS = {"review_id": "id", "rating": "stars"}
LINES: list[tuple[str, bytes | Mapping[str, Any], Mapping[str, str], str, str]] = [
    # ending, record, mapping, text before the fault, the fault
    ("jsonl", {"id": "a", "created_at": "2026-03-01", "text": "t", "stars": 0}, STARS, '"stars": ', "0"),
    ("jsonl", {"note": {"rating": 3}, "review_id": "a", "created_at": "x y"}, {}, '"created_at": ', '"x y"'),
    ("jsonl", b'{"review_id": "a", "created_at": "2026-03-01" "text": 1}', {}, '"2026-03-01" ', '"'),
    ("jsonl", b'{"review_id": "a", "text": "\xff"}', {}, '"text": "', "\N{REPLACEMENT CHARACTER}"),
    ("csv", b'a,"x, ""y""",yesterday,5', {}, 'a,"x, ""y""",', "yesterday"),
    ("csv", b"a,b,2026-03-01,9", {}, "a,b,2026-03-01,", "9"),
    ("csv", b"a,b,2026-03-01,5,more,cells", {}, "a,b,2026-03-01,5,", "more,cells"),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "record", "mapping", "before", "fault"), LINES)
def test_the_place_of_the_fault_is_found(
    tmp_path: Path, ending: str, record: bytes | Mapping[str, Any], mapping: Mapping[str, str], before: str, fault: str
) -> None:
    raw = record if isinstance(record, bytes) else json.dumps(record).encode()
    head = b"review_id,text,created_at,rating\n" if ending == "csv" else b""
    (tmp_path / f"a.{ending}").write_bytes(head + raw + b"\n")
    (refusal,) = read(find(tmp_path).files[0], mapping=mapping, timezone=UTC)
    assert isinstance(refusal, RejectedRecord)
    kept = Kept(f"a.{ending}", refusal.offset, refusal.raw, refusal.raw_sha256, refusal.context)
    found = parts(kept, refusal.reason, mapping)
    assert found[0].endswith(before)
    assert found[1] == fault
    assert "".join(found) == refusal.raw.decode(errors="replace")


def test_no_bytes_make_the_search_for_a_fault_fail() -> None:
    chance = random.Random(1)
    for _ in range(500):
        raw = bytes(chance.choices(b'{}[]":,\\ a1\xff\0;\r', k=chance.randint(0, 40)))
        kept = Kept(chance.choice(["a.jsonl", "a.csv", "a.xlsx", "a"]), 0, raw, hashlib.sha256(raw).hexdigest(),
                    chance.choice([None, '{"columns": ["rating", "text"], "delimiter": ","}']))  # fmt: skip
        for reason in (*REASONS, "features.finite"):
            assert "".join(parts(kept, reason, {})) == raw.decode(errors="replace")


def test_the_command_lists_shows_and_replays(place: Otzyv) -> None:
    said = "Пишите ivan@example.org \x1b[31m"
    place.write("a.jsonl", [review("a", said, rating=0), review("b", rating=7), review("c", stars=1), b"{]"])
    bring(place, name="stepik")
    lake = ("--lake", place.lake)
    listed = json.loads(command("quarantine", *lake, "--json").stdout)
    assert [(row["records"], row["rule"], row["source"]) for row in listed] == [
        (2, "range", "stepik//a.jsonl"),
        (1, "json", "stepik//a.jsonl"),
    ]
    assert listed[0]["example"] == "stepik//a.jsonl, byte 0"
    (ranged,) = json.loads(command("quarantine", *lake, "--rule", "range", "--source", "stepik", "--json").stdout)
    assert ranged["reason"] == "rating is not from 1 to 5"
    assert "range" in command("quarantine", *lake, "--rule", "range", "--source", "stepik").stdout
    assert "no such record" in command("quarantine", *lake, "--reason", "too long").stdout
    assert "no rule 'x'" in command("quarantine", *lake, "--rule", "x").stderr
    assert f"quarantine replay --lake {place.opened().uri} takes" in " ".join(
        command("quarantine", *lake).stdout.split()
    )
    shown = command("quarantine", "show", *lake, "--rule", "range", "--limit", "1").stdout
    assert "\n1 of 2 shown; --limit 2 shows all\n" in shown
    again = command("quarantine", "replay", *lake)
    assert again.exit_code == 1, "all of them are refused again"
    assert "2 refused again: rating is not from 1 to 5, as in a.jsonl" in again.stdout
    assert command("quarantine", "replay", *lake, "--rule", "range", "--json").exit_code == 1
    assert '"rating": >>>0<<<' in shown
    assert "ivan@example.org" not in shown
    assert "\\u001b[31m" in shown
    assert "\x1b" not in shown
    assert "ivan@example.org" in (whole := command("quarantine", "show", *lake, "--unredacted").stdout)
    assert whole.endswith("\n3 of 3 shown\n")
    assert "write a column" in command("quarantine", "replay", *lake, "--mapping", "x").stderr
    done = command("quarantine", "replay", *lake, "--mapping", "rating=stars", "--rule", "range")
    assert done.exit_code == 0, done.stderr
    assert "2 records in = 2 accepted + 0 quarantined + 0 deduplicated + 0 suppressed" in done.stdout
    assert f"next: otzyv features --lake {place.opened().uri}" in done.stdout
    assert {row["source_file"] for row in place.opened().read(REVIEWS).to_pylist()} == {"stepik//a.jsonl"}
    assert json.loads(command("quarantine", "replay", *lake, "--json").stdout)["left"] == 0
    assert command("quarantine", "replay", *lake, "--rule", "range").exit_code == 0, "there was nothing to be done"


def test_a_day_of_refused_records_is_never_held_whole(place: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 records of 100 kB, in an order of their own, what is shown first is what stands first; few are held."""
    chance = random.Random(5)
    numbers = chance.sample(range(1000), 300)
    rows: list[dict[str, Any]] = [
        {"source": f"{n % 7}.jsonl", "offset": n, "rule": "range", "reason": "rating is not from 1 to 5",
         "raw": chance.randbytes(100_000), "raw_sha256": f"{n:064x}", "record_id": None, "context": None,
         "day": date(2026, 3, 1 + n % 2)}
        for n in numbers
    ]  # fmt: skip
    storage = place.opened().storage
    for day in (1, 2):
        of_day = [row for row in rows if row["day"] == date(2026, 3, day)]
        quarantine(storage, pa.Table.from_pylist(of_day, schema=QUARANTINE.arrow))
    tracemalloc.start()
    shown, total = first(storage, Wanted(), 5)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 * 200_000 + 5_000_000
    right = sorted(rows, key=lambda row: (-row["day"].toordinal(), row["source"], row["offset"]))[:5]
    assert (shown, total) == (right, 300)
    keys = [key_of(row) for row in chance.sample(rows, 250)]
    assert remove(storage, keys) == 250
    left = {key_of(row) for row in refused(storage, Wanted())}
    assert left == {key_of(row) for row in rows} - set(keys)
