"""Whatever a source holds, every record and every expected row is accounted for, and nothing else suffers."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otzyv.schemas.tables import QUARANTINE, REVIEWS
from otzyv.tasks.extractors.contract.contents import audio, image
from otzyv.tasks.ingest import ingest
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.ingest import Source
from tests.flows.command import Otzyv, command, review

pytestmark = pytest.mark.usefixtures("without_prefect")

SHARED = Path(__file__).parents[3] / "shared"
ALL = "sentiment_mini,image_layout,audio_mfcc"

LINES: dict[str, tuple[Any, str]] = {
    "half a line": (b'{"review_id": "x1", "text": "', "json"),
    "not an object": (b'["x2"]', "type"),
    "a key twice": (b'{"review_id": "x3", "review_id": "y", "text": "t", "created_at": "2026-03-01"}', "json"),
    "Infinity": (b'{"review_id": "x4", "rating": Infinity, "text": "t", "created_at": "2026-03-01"}', "range"),
    "nested deep": (b"[" * 5000 + b"]" * 5000, "json"),
    "invalid UTF-8": (b'{"review_id": "x5", "text": "\xff\xfe", "created_at": "2026-03-01"}', "encoding"),
    "a lone surrogate": (b'{"review_id": "x6", "text": "\\ud800", "created_at": "2026-03-01"}', "encoding"),
    "NUL in a text": (review("x7", "до\0после"), "control"),
    "NUL byte": (b'{"review_id": "x8"\0}', "control"),
    "no id": ({"text": "t", "created_at": "2026-03-01"}, "missing_field"),
    "a blank id": (review("  "), "missing_field"),
    "no time": ({"review_id": "x9", "text": "t"}, "missing_field"),
    "a text that is a number": (review("x10", 5), "type"),  # type: ignore[arg-type]
    "a rating in words": (review("x11", rating="пять"), "type"),
    "six stars": (review("x12", rating=6), "range"),
    "a day that is none": ({"review_id": "x13", "text": "t", "created_at": "2026-02-30"}, "timestamp"),
    "the far future": (review("x14", day="2999-01-01"), "timestamp"),
    "attachments that are a number": (review("x15", attachments=7), "type"),
    "17 MiB": (review("x16", "я" * (9 * 2**20)), "too_large"),
}
"""Lines that are refused, each with its rule."""

TEXTS: dict[str, tuple[str | None, str]] = {
    "t1": ("Отличный курс!", "ok"),
    "t2": (None, "empty"),
    "t3": (" \u200b\t\n ", "empty"),
    "t4": ("😀" * 50, "empty"),
    "t5": ("слово " * 900_000, "too_large"),
    "t6": ("<b>Жирно</b> &lt;script&gt;", "ok"),
    "t7": ("а\u0301" * 3000, "ok"),
    "t8": ("строка\u2028другая", "ok"),
}
"""Texts that are kept, each with the status that sentiment gives it: it reads words alone."""


def bomb() -> bytes:
    """A PNG of 30,000 × 30,000 pixels in a few bytes."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 1000))]
    chunks = [
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in (*parts, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


FILES: dict[str, tuple[str, bytes | None, str]] = {
    "good.png": ("image", image("PNG"), "ok"),
    "same.png": ("image", image("PNG"), "ok"),
    "cut.png": ("image", image("PNG")[:-300], "undecodable"),
    "head.jpg": ("image", image("JPEG")[:40], "undecodable"),
    "empty.png": ("image", b"", "unsupported"),
    "bomb.png": ("image", bomb(), "too_large"),
    "text.jpg": ("image", b"<html>not an image</html>", "unsupported"),
    "sound.jpg": ("image", audio("WAV"), "unsupported"),
    "photo.wav": ("audio", image("PNG"), "unsupported"),
    "huge.png": ("image", image("PNG") + b"\0" * (30 * 10**6), "too_large"),
    "gone.png": ("image", None, "missing"),
    "../outside.png": ("image", None, "unsupported"),
    "linked.png": ("image", None, "unsupported"),
    "/etc/hostname": ("image", None, "unsupported"),
    "https://example.org/a.png": ("image", None, "unsupported"),
    "folder": ("image", None, "unsupported"),
    "pipe": ("image", None, "unsupported"),
    "good.ogg": ("audio", audio("OGG"), "ok"),
    "cut.wav": ("audio", audio("WAV")[:30], "undecodable"),
    "noise.flac": ("audio", b"fLaC" + bytes(range(256)) * 20, "undecodable"),
    "gone.ogg": ("audio", None, "missing"),
}
"""Attached files with the status that their row gets; None: no such regular file of the source."""


def test_every_kind_of_bad_input_in_one_source_is_accounted_for(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_REFUSED_SHARE", "1")
    source = otzyv.source
    for name, (_, data, _) in FILES.items():
        if data is not None:
            (source / name).write_bytes(data)
    (source.parent / "outside.png").write_bytes(image("PNG"))
    (source / "linked.png").symlink_to(source / "good.png")
    (source / "folder").mkdir()
    os.mkfifo(source / "pipe")
    attached = [
        review(f"f{n}", "С файлом", attachments=[{"kind": kind, "uri": name}])
        for n, (name, (kind, _, _)) in enumerate(FILES.items())
    ]
    texts = [review(name, text) for name, (text, _) in TEXTS.items()]
    otzyv.write("a.jsonl", [*texts, *(line for line, _ in LINES.values()), *attached, texts[0], attached[0]])
    packed = "\n".join(json.dumps(review(f"g{n}")) for n in range(3)) + "\nbroken"
    (source / "b.jsonl.gz").write_bytes(gzip.compress(packed.encode()))
    (source / "c.csv").write_bytes(
        b'review_id,text,created_at\nc1,a,2026-03-01\nc2,b\nc3,"open,2026-03-01\nc4,d,2026-03-01\n'
    )
    rows = [review("p1"), {**review("p2"), "created_at": "never"}, review("t1", "Отличный курс!")]
    pq.write_table(pa.Table.from_pylist(rows), source / "d.parquet")

    said = otzyv.run(extractors=ALL)
    rules = Counter(rule for _, rule in LINES.values()) + Counter(["json", "row_format", "row_format", "timestamp"])
    assert otzyv.rules() == rules
    good = len(TEXTS) + len(FILES) + 3 + 2 + 1
    assert (said["accepted"], said["quarantined"], said["deduplicated"]) == (good, rules.total(), 3)
    assert said["records_in"] == good + rules.total() + 3

    lake = otzyv.opened()
    sentiment = lake.read(lake.table("sentiment_mini")).to_pylist()
    statuses = {row["review_id"]: row["status"] for row in sentiment}
    assert {name: statuses[name] for name in TEXTS} == {name: status for name, (_, status) in TEXTS.items()}
    found: dict[str, tuple[str, str]] = {}
    for kind, table in (("image", "image_layout"), ("audio", "audio_mfcc")):
        found |= {row["review_id"]: (kind, row["status"]) for row in lake.read(lake.table(table)).to_pylist()}
    wanted = {name: (kind, status) for name, (kind, _, status) in FILES.items()}
    assert {name: found[f"f{n}"] for n, name in enumerate(FILES)} == wanted

    before = otzyv.files()
    again = otzyv.run(extractors=ALL)
    assert (again["records_in"], again["accepted"]) == (said["records_in"], 0)
    assert {table["computed"] for table in again["tables"].values()} == {0}
    assert otzyv.files() == before


NOT_A_SOURCE = {
    "binary.jsonl": (bytes(range(256)) * 100, "binary"),
    "zip.csv": (b"PK\x03\x04" + b"\0" * 100, "zip archive"),
    "cut.jsonl.gz": (gzip.compress(json.dumps(review("a")).encode() * 2000)[:-20], "cut short"),
    "plain.jsonl.gz": (b"{}", "is not gzip"),
    "text.parquet": (b"review_id,text", "text.parquet"),
    "head.csv": (b"id,body\n1,2\n", "the header must name review_id"),
    "empty.csv": (b"", "is empty"),
}


@pytest.mark.parametrize("name", NOT_A_SOURCE)
def test_a_file_that_is_not_what_it_claims_is_one_error_that_names_it(otzyv: Otzyv, name: str) -> None:
    data, why = NOT_A_SOURCE[name]
    (otzyv.source / name).write_bytes(data)

    def failure(said: str, source: Path) -> None:
        done = command("ingest", "--source", source, "--lake", otzyv.lake)
        assert done.exit_code == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(said)]
        assert line.startswith(f"{said}{name}")
        assert why in line

    failure("Error: ", otzyv.source)
    failure("Error: ", otzyv.source / name)
    assert not otzyv.lake.exists()
    otzyv.write("a.jsonl", [review("a")])
    failure("failed: ingest: ", otzyv.source)
    assert otzyv.opened().read(REVIEWS)["review_id"].to_pylist() == ["a"]
    failure("failed: ingest: ", otzyv.source)
    failure("Error: ", otzyv.source / name)


def test_beside_a_damaged_file_a_run_makes_the_features_of_what_came_in(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [review("a"), review("b")])
    (otzyv.source / "f.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    run = ("run", "--source", otzyv.source, "--lake", otzyv.lake, "--extractors", "sentiment_mini", "--json")
    done = command(*run)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("failed: ingest: f.jsonl.zst is broken Zstandard or cut short; ")
    said = json.loads(done.stdout)
    otzyv.holds(said)
    assert (said["records_in"], said["accepted"], said["tables"]["sentiment_mini"]["rows"]) == (2, 2, 2)


def test_what_is_left_aside_in_a_folder_is_named_once_with_the_reason(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [review("a")])
    for name in ("_sheet1.csv", *(f"part{n}.xml" for n in range(7)), "photo.jpg", "_SUCCESS"):
        (otzyv.source / name).write_bytes(b"")
    for arguments in (("ingest",), ("run", "--extractors", "sentiment_mini", "--json")):
        done = command(*arguments, "--source", otzyv.source, "--lake", otzyv.lake)
        assert done.exit_code == 0
        hidden, unknown = [line for line in done.stderr.splitlines() if "not read" in line]
        assert hidden == "_sheet1.csv: not read, because its name begins with . or _"
        assert unknown.startswith("part0.xml, part1.xml, part2.xml, part3.xml, part4.xml and 2 more: not read, because")


def test_settings_say_how_a_source_is_written_and_findings_are_told(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "review_id;text;created_at\nr1;Отличный курс, спасибо преподавателю;01/03/2026 12:30\n"
    (otzyv.source / "a.csv").write_bytes(rows.encode("koi8-r"))
    (otzyv.source / "b.csv").write_bytes(rows.replace("r1;", "r2;").encode("utf-16"))
    run = ("ingest", "--source", otzyv.source, "--lake", otzyv.lake)
    monkeypatch.setenv("OTZYV_DATES", "day first")
    found = command(*run)
    assert "a.csv: its bytes look like koi8_r, so it is read as that" in found.stderr
    assert otzyv.opened().read(REVIEWS)["text"].to_pylist() == ["Отличный курс, спасибо преподавателю"] * 2
    assert {str(day) for day in otzyv.opened().snapshot(REVIEWS).days} == {"2026-03-01"}
    monkeypatch.setenv("OTZYV_ENCODING", "koi8-r")
    assert "look like" not in command(*run).stderr
    for name, value in (("OTZYV_ENCODING", "klingon"), ("OTZYV_ENCODING", "rot13"), ("OTZYV_DATES", "any")):
        with monkeypatch.context() as wrong:
            wrong.setenv(name, value)
            assert name.removeprefix("OTZYV_").lower() in command(*run).stderr


def test_a_linked_file_is_refused_before_a_lake_is_made(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [review("a")])
    (otzyv.source / "b.jsonl").symlink_to(otzyv.source / "a.jsonl")
    done = command("run", "--source", otzyv.source, "--lake", otzyv.lake)
    assert done.exit_code == 1
    assert "b.jsonl is a link" in done.stderr
    assert not otzyv.lake.exists()


def test_a_source_of_which_nothing_is_accepted_says_why_and_what_would_work(otzyv: Otzyv) -> None:
    rows = "review_id,text,created_at\nr1,déjà,2026-03-01\nr2,vécu,2026-03-02\nr3,short\n"
    (otzyv.source / "a.csv").write_bytes(rows.encode("cp1252"))
    for arguments in (("ingest",), ("run", "--extractors", "sentiment_mini", "--json")):
        done = command(*arguments, "--source", otzyv.source, "--lake", otzyv.lake)
        assert done.exit_code == 1
        first, second, failed = done.stderr.splitlines()[-3:]
        assert "no record was accepted: 3 of 3 were refused, 2 of them because the bytes are not UTF-8" in first
        assert first.endswith("save the source as UTF-8, or name its encoding by the setting encoding")
        assert second == f"next: otzyv quarantine --lake {otzyv.lake}"
        assert failed.startswith("failed: ingest: 3 of 3 records were refused: 2 as the bytes are not UTF-8 (a.csv, ")
    otzyv.write("b.jsonl", [review("a")])
    for _ in range(2):
        assert "no record" not in command("ingest", "--source", otzyv.source, "--lake", otzyv.lake).stderr


def test_a_run_names_each_reason_with_a_place_and_fails_where_too_much_was_refused(otzyv: Otzyv) -> None:
    ingest = ("ingest", "--source", otzyv.source, "--lake", otzyv.lake)
    good = [review(f"g{n}") for n in range(10)]
    otzyv.write("a.jsonl", [*good, review("x", rating=0), review("y", rating=7)])
    (otzyv.source / "b.csv").write_text("review_id,text,created_at\nc1,a,2026-03-01\nc2,b,yesterday\n")
    told = command(*ingest)
    assert told.exit_code == 1
    assert (
        "failed: ingest: 3 of 14 records were refused, more than 20% of them (the setting refused_share)" in told.stderr
    )
    byte = sum(len(json.dumps(each, ensure_ascii=False).encode()) + 1 for each in good)
    assert f"2 refused: rating is not from 1 to 5, as in a.jsonl, byte {byte}" in told.stdout
    assert "1 refused: created_at is no date or time that can be read, as in b.csv, record 2" in told.stdout
    (otzyv.source / "b.csv").unlink()
    quiet = command(*ingest, "--json")
    assert quiet.exit_code == 0
    assert json.loads(quiet.stdout)["refused"] == [
        {"reason": "rating is not from 1 to 5", "rule": "range", "count": 2, "example": f"a.jsonl, byte {byte}"}
    ]


def test_quarantine_is_pointed_to_where_something_was_refused(otzyv: Otzyv) -> None:
    run = ("run", "--source", otzyv.source, "--lake", otzyv.lake, "--extractors", "sentiment_mini")
    for records, pointed in (([review("a")], False), ([*map(review, "abcd"), b"{"], True)):
        otzyv.write("a.jsonl", records)
        done = command(*run)
        assert "next: otzyv show sentiment_mini" in done.stdout
        assert ("otzyv quarantine" in done.stdout) is pointed


def test_a_source_without_records_makes_nothing(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [b"", b"  "])
    said = otzyv.run()
    assert (said["records_in"], said["days"], said["tables"]) == (0, [], {})


PIECES = st.one_of(
    st.sampled_from([line for name, (line, _) in LINES.items() if name != "17 MiB"]),
    st.builds(
        review,
        st.sampled_from(["a", "b", "c", "d"]),
        st.one_of(st.none(), st.text(max_size=20)),
        st.sampled_from(["2026-03-01", "2026-03-02"]),
        updated_at=st.sampled_from([None, "2026-04-01", "2026-04-02"]),
        rating=st.one_of(st.none(), st.integers(0, 6)),
        author=st.sampled_from(["автор", "забытый", None]),
    ),
    st.binary(max_size=40).filter(lambda line: b"\n" not in line and line.strip() != b""),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, max_size=12), st.randoms(use_true_random=False))
def test_any_mixture_in_any_order_adds_up_and_gives_the_same_lake(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Any], shuffled: Any
) -> None:
    stands = []
    for _ in range(2):
        place = Otzyv(tmp_path_factory.mktemp("lake"), tmp_path_factory.mktemp("source"))
        place.write("a.jsonl", [b"{}", *lines])
        lake = Lake.create(place.lake)
        lake.storage.write(f"suppressed/author-{keyed('забытый')}", b"")
        first = ingest.fn(str(place.lake), Source(str(place.source)), KEY)
        again = ingest.fn(str(place.lake), Source(str(place.source)), KEY)
        assert first.records_in == 1 + len(lines)
        assert first.quarantined == place.rules().total()
        assert first.accepted == lake.read(REVIEWS).num_rows
        assert (again.records_in, again.accepted, again.quarantined, again.suppressed) == (
            first.records_in, 0, first.quarantined, first.suppressed,
        )  # fmt: skip
        assert keyed("забытый") not in lake.read(REVIEWS)["author"].to_pylist()
        stands.append([lake.read(REVIEWS, day) for day in lake.snapshot(REVIEWS).days])
        assert place.rules() == Counter(lake.read(QUARANTINE)["rule"].to_pylist())
        lines = [*lines]
        shuffled.shuffle(lines)
    assert stands[0] == stands[1]


KEY = "a key for tests"


def keyed(author: str) -> str:
    return hmac.new(KEY.encode(), author.encode(), hashlib.sha256).hexdigest()
