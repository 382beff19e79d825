"""Who asked to be forgotten is in no file of the lake any more, and does not come back; all others are as they were."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, MODELS, QUARANTINE, REVIEWS
from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.contract.contents import image
from otzyv.tasks.lake.features.journal import Journal
from otzyv.tasks.lake.records.blobs import blob_path, put_blob
from otzyv.tasks.lake.records.suppression import keyed
from tests.flows.command import Otzyv, command, review
from tests.tasks.lake.decoded import decoded

pytestmark = pytest.mark.usefixtures("without_prefect")

KEY = "a key of tests"
AUTHOR = "Иван Забывающий"
TEXT = "Неповторимый текст о том, как я учился по ночам"
AFRESH = ("quality", "pages")
"""What the next run may write: figures measured on the others alone."""
EXTRACTORS = "sentiment_mini,text_tfidf,text_navec,pca_text_navec,image_pixels"


@pytest.fixture
def otzyv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Otzyv:
    monkeypatch.setenv("OTZYV_AUTHOR_KEY", KEY)
    monkeypatch.setenv("OTZYV_REFUSED_SHARE", "1")  # many records are refused here, and that is no failure
    lake = Otzyv(tmp_path / "lake", tmp_path / "source")
    for name, seed in (("theirs.png", 1), ("shared.png", 2)):
        (lake.source / "files").mkdir(parents=True, exist_ok=True)
        (lake.source / "files" / name).write_bytes(image("PNG", seed=seed))
    return lake


def records(edition: int = 0) -> list[Any]:
    attached = [{"kind": "image", "uri": f"files/{name}.png"} for name in ("theirs", "shared")]
    others = [review(f"other-{n}", f"Курс номер {n} понравился", author=f"другой {n}") for n in range(40)]
    others[0]["attachments"] = attached[1:]
    return [
        *others,
        review("theirs-1", f"{TEXT} {edition}", author=AUTHOR, attachments=attached),
        review("theirs-2", TEXT, day="2026-03-02", author=AUTHOR),
        b'{"review_id": "theirs-3", "author": "' + AUTHOR.encode() + b'", "text": "' + TEXT.encode(),
        review("theirs-4", TEXT, author=AUTHOR, rating=7),
        review("other-9-theirs-1", "не тот", rating=9),
    ]


def words(lake: Path, wanted: list[str]) -> set[str]:
    return {word for said in decoded(lake) for word in wanted if word in said}


def others(otzyv: Otzyv) -> dict[str, Any]:
    """Each table's rows of the others, but for run keys."""
    lake = otzyv.opened()
    found = {}
    for name in lake.tables():
        table = lake.table(name)
        if "review_id" in table.names:
            rows = lake.read(table).to_pylist()
            left = [{k: v for k, v in row.items() if k != "run_key"} for row in rows if "other" in row["review_id"]]
            found[name] = sorted(left, key=lambda row: (row["review_id"], row.get("position", 0)))
    return found


def made(otzyv: Otzyv) -> list[str]:
    """A lake of two editions of the reviews, with fits; returns the words that name the one to be forgotten."""
    otzyv.write("reviews.jsonl", records())
    otzyv.run(extractors="text_navec")
    for name in ("text_tfidf", "pca_text_navec"):
        assert command("fit", name, "--lake", otzyv.lake).exit_code == 0
    otzyv.run(extractors=EXTRACTORS)
    edited = [r | {"updated_at": "2026-04-01"} if isinstance(r, dict) else r for r in records(1)]
    otzyv.write("reviews.jsonl", edited)
    otzyv.run(extractors=EXTRACTORS)
    otzyv.opened().storage.write("_staging/clean_text/2026-03-01/x/left.arrow", TEXT.encode())
    otzyv.opened().storage.write("clean_text/day=2026-03-01/.part-left", TEXT.encode())
    clean = otzyv.opened().read(CLEAN_TEXT).to_pylist()
    sha256 = next(hashlib.sha256(row["text"].encode()).hexdigest() for row in clean if row["review_id"] == "theirs-2")
    Journal(otzyv.opened().storage, "text_paid", "f" * 64).keep([sha256], np.ones((1, 2), np.float32))
    return [sha256, AUTHOR, TEXT, TEXT.lower().replace(",", ""), "theirs-2", "theirs-3", "theirs-4", keyed(KEY, AUTHOR)]


def test_an_author_is_gone_from_every_byte_and_the_others_are_as_they_were(otzyv: Otzyv) -> None:
    wanted = made(otzyv)
    assert words(otzyv.lake, wanted) == set(wanted), "the search finds what is there"
    before, seen = others(otzyv), otzyv.opened().frame(None, ["reviews", "text_tfidf", "pca_text_navec"])

    said = json.loads(command("forget", "--author", AUTHOR, "--lake", otzyv.lake, "--json", "--yes").stdout)
    assert (said["reviews"], said["blobs"], said["days"]) == (2, 1, ["2026-03-01", "2026-03-02"])
    assert not words(otzyv.lake, wanted)
    assert others(otzyv) == before
    left = otzyv.opened().frame(None, ["reviews", "text_tfidf", "pca_text_navec"])
    kept = seen[seen["review_id"].str.startswith("other")].reset_index(drop=True)
    columns = [name for name in kept.columns if not name.endswith("run_key")]
    assert left[columns].astype(str).equals(kept[columns].astype(str)), "readers see all the others"
    refused = [json.loads(raw)["review_id"] for raw in otzyv.opened().read(QUARANTINE)["raw"].to_pylist()]
    assert set(refused) == {"other-9-theirs-1"}, "a longer id is another's"
    assert {f.removesuffix(" version 1") for f in said["stale"]} == {"text_tfidf", "pca_text_navec"}
    assert all("forgotten" in on for on in otzyv.opened().read(MODELS)["fitted_on"].to_pylist() if '"from"' in on)

    again = json.loads(command("forget", "--author", AUTHOR, "--lake", otzyv.lake, "--json", "--yes").stdout)
    assert (again["reviews"], again["tables"], again["new"]) == (0, [], False)
    files = otzyv.files()
    run = otzyv.run(extractors=EXTRACTORS)
    assert run["suppressed"] == 4, "their refused records do not come in again either"
    assert not words(otzyv.lake, wanted)
    assert {name: table["computed"] for name, table in run["tables"].items()} == dict.fromkeys(run["tables"], 0)
    assert others(otzyv) == before
    changed = {name for name in otzyv.files().keys() ^ files.keys() if name.split("/")[0] not in AFRESH}
    assert not changed, "the next run finds the days as it would have made them"


def test_a_name_is_the_same_however_it_is_written(otzyv: Otzyv) -> None:
    written = [unicodedata.normalize(form, f"{blank}Андрей Ёлкин") for form in ("NFC", "NFD") for blank in ("", " ")]
    theirs = [review(f"theirs-{n}", author=name) for n, name in enumerate(written)]
    broken = [json.dumps(r | {"rating": 9}, ensure_ascii=False).encode()[:end] for r in theirs for end in (None, -1)]
    source = [*theirs, *broken, review("other", author="Андрей Елкин")]
    otzyv.write("reviews.jsonl", source)
    otzyv.run()
    authors = otzyv.opened().read(REVIEWS).to_pylist()
    assert len({row["author"] for row in authors if row["review_id"] != "other"}) == 1
    said = json.loads(command("forget", "--author", written[0], "--lake", otzyv.lake, "--json", "--yes").stdout)
    assert said["reviews"] == 4
    assert otzyv.opened().read(REVIEWS)["review_id"].to_pylist() == ["other"]
    assert not otzyv.opened().read(QUARANTINE).num_rows
    assert otzyv.run()["suppressed"] == len(source) - 1


@pytest.mark.parametrize("who", ["--review", "--author"])
def test_nobody_is_forgotten_by_an_empty_name(otzyv: Otzyv, who: str) -> None:
    otzyv.write("reviews.jsonl", [review("a"), review("b", rating=9)])
    otzyv.run()
    before = otzyv.files()
    refused = command("forget", who, "", "--lake", otzyv.lake, "--yes")
    assert (refused.exit_code, refused.stderr) == (1, "Error: name a review or an author: an empty name is nobody's\n")
    assert otzyv.files() == before


def adapted(store: Path, name: str, **said: object) -> None:
    """What the record of an encoder that ``otzyv adapt`` made tells of what it learned from."""
    (store / name).mkdir(parents=True)
    record = {"job": "", "base": "", "licence": "", "pooling": "cls", "max_tokens": 1, "files": {}, "curve": {}}
    record |= {"days": ["2026-02-01", "2026-03-01"], **said}
    (store / name / "adapted.json").write_text(json.dumps(record))


def test_a_review_alone_is_forgotten(otzyv: Otzyv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(otzyv)
    with monkeypatch.context() as patch:
        patch.setenv("OTZYV_MODELS", str(tmp_path / "models"))
        adapted(tmp_path / "models", "text_theirs", lake=str(otzyv.lake))
        adapted(tmp_path / "models", "text_later", lake=str(otzyv.lake), days=["2026-03-02", "2026-03-09"])
        adapted(tmp_path / "models", "text_elsewhere", lake="another")
        adapted(tmp_path / "models", "text_unknown", lake="another", days="broken")
        done = command("forget", "--review", "theirs-1", "--lake", otzyv.lake, "--yes")
        assert done.exit_code == 0
    told = [line.split()[0] for line in done.stdout.splitlines() if "in the model store" in line]
    assert told == ["text_theirs", "text_unknown"], "what learned from that day of this lake is named, or may have"
    rows = otzyv.opened().read(REVIEWS, columns=["review_id"])["review_id"].to_pylist()
    assert "theirs-2" in rows
    for table in (REVIEWS, ATTACHMENTS, CLEAN_TEXT, get("sentiment_mini").card.table):
        assert "theirs-1" not in otzyv.opened().read(table)["review_id"].to_pylist()
    assert not words(otzyv.lake, [f"{TEXT} 0", f"{TEXT} 1"])
    assert otzyv.run()["suppressed"] == 1


def test_of_what_lies_aside_all_that_may_be_theirs_is_emptied_and_still_missed(otzyv: Otzyv) -> None:
    made(otzyv)
    held = {
        row["review_id"]: row["content_sha256"]
        for row in otzyv.opened().read(ATTACHMENTS).sort_by([("position", "descending")]).to_pylist()
    }
    lost = "_aside/reviews/day=2026-05-05/part-0.parquet"
    theirs = [
        lost,
        "_aside/runs/part-1.parquet",
        f"_aside/{blob_path(held['theirs-1'])}",
        f"_aside/{blob_path('f' * 64)}",
    ]
    others = [
        "_aside/releases/part-2.parquet",
        "_aside/reviews/_delta_log/3.json-4",
        f"_aside/{blob_path(held['other-0'])}",
    ]
    for path in (*theirs, *others):
        otzyv.opened().storage.write(path, b"damaged")
    said = json.loads(command("forget", "--author", AUTHOR, "--lake", otzyv.lake, "--json", "--yes").stdout)
    assert said["aside"] == len(theirs)
    storage = otzyv.opened().storage
    left = {path: storage.read(path) for path in storage.files("_aside", recursive=True)}
    assert left == dict.fromkeys(theirs[:2], b"") | dict.fromkeys(others, b"damaged")
    doctor = json.loads(command("doctor", "--lake", otzyv.lake, "--json").stdout)
    assert {found["where"] for found in doctor} == {str(otzyv.lake / path) for path in (lost, others[0])}
    storage.write(lost, b"damaged once more")
    again = command("forget", "--author", AUTHOR, "--lake", otzyv.lake, "--yes").stdout
    assert again.startswith("1 damaged files set aside")


def test_another_key_forgets_nobody(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    otzyv.write("reviews.jsonl", records()[:3])
    otzyv.run()
    files = otzyv.files()
    monkeypatch.setenv("OTZYV_AUTHOR_KEY", "quite another key")
    done = command("forget", "--author", AUTHOR, "--lake", otzyv.lake, "--yes")
    assert done.exit_code == 1
    assert "OTZYV_AUTHOR_KEY" in done.stderr
    assert otzyv.files() == files


def test_the_doctor_finds_nothing_wrong_with_a_lake_that_forgot(otzyv: Otzyv) -> None:
    made(otzyv)
    assert command("forget", "--author", AUTHOR, "--lake", otzyv.lake, "--yes").exit_code == 0
    done = command("doctor", "--lake", otzyv.lake, "--deep")
    assert (done.exit_code, done.stdout) == (0, "Nothing is wrong.\n")
    (file,) = otzyv.opened().snapshot(CLEAN_TEXT).of(date(2026, 3, 1))
    (otzyv.lake / file.path).unlink()
    done = command("doctor", "--lake", otzyv.lake)
    assert done.exit_code == 1
    assert f"missing file: {otzyv.lake / file.path}" in done.stdout


def test_one_looks_first_and_is_asked_before_anything_goes(otzyv: Otzyv) -> None:
    otzyv.write("reviews.jsonl", records())
    otzyv.run()
    (otzyv.lake / "_locks/blobs").unlink()  # as in a lake that another machine copied
    before = otzyv.files()
    who = ("forget", "--author", AUTHOR.upper(), "--lake", otzyv.lake)
    seen = command(*who, "--dry-run")
    assert (seen.exit_code, seen.stderr) == (0, "")
    assert "2 reviews of 2026-03-01 and 2026-03-02, in " in seen.stdout
    assert "  reviews: 2 rows\n" in seen.stdout
    assert "  quarantine: 2 rows\n" in seen.stdout
    assert "  attached files that nobody else has, or that no row names: 1\n" in seen.stdout
    assert AUTHOR not in seen.stdout
    told = json.loads(command(*who, "--dry-run", "--json").stdout)
    assert (told["reviews"], told["refused"], told["blobs"], told["barred"]) == (2, 2, 1, False)
    unasked = command(*who)
    assert unasked.exit_code == 1
    assert "say --yes, or --dry-run to see what would go" in unasked.stderr
    assert otzyv.files() == before

    stranger = command("forget", "--author", "Иван", "--lake", otzyv.lake, "--yes")
    assert (stranger.exit_code, stranger.stdout) == (0, "")
    assert "never held anything of theirs, and nothing was noted: check the spelling, or say --bar" in stranger.stderr
    assert otzyv.files().items() - before.items() == {("_locks/blobs", hashlib.sha256(b"").hexdigest())}
    assert command("forget", "--review", "later", "--lake", otzyv.lake, "--yes", "--bar").exit_code == 0
    otzyv.write("reviews.jsonl", [*records(), review("later")])
    assert otzyv.run()["suppressed"] == 1

    assert command(*who, "--yes").exit_code == 0
    otzyv.write("reviews.jsonl", [{**record, "author": None} for record in records() if isinstance(record, dict)])
    assert otzyv.run()["suppressed"] == 3, "without the author's name, too"


def test_who_sits_at_the_terminal_is_asked(otzyv: Otzyv) -> None:
    otzyv.write("reviews.jsonl", [review("a"), review("b")])
    otzyv.run()
    before = otzyv.files()
    arguments = ["otzyv", "forget", "--review", "a", "--lake", str(otzyv.lake)]
    script = f"import sys; from otzyv.flows.command.main import main; sys.argv = {arguments!r}; main()"
    for answer, left in ((b"n\n", ["a", "b"]), (b"y\n", ["b"])):
        ours, theirs = pty.openpty()
        with subprocess.Popen([sys.executable, "-c", script], stdin=theirs, stdout=subprocess.PIPE) as asked:
            os.close(theirs)
            os.write(ours, answer)
            assert asked.stdout is not None
            said = asked.stdout.read().decode()
        os.close(ours)
        assert "1 reviews of 2026-03-01" in said
        assert "Erase it? [y/N]" in said
        assert otzyv.opened().read(REVIEWS)["review_id"].to_pylist() == left
        assert asked.returncode == (answer == b"n\n")
        assert answer == b"y\n" or otzyv.files() == before


def test_a_name_that_nobody_has_erases_nothing_unasked(otzyv: Otzyv) -> None:
    otzyv.write("reviews.jsonl", [review("a")])
    otzyv.run()
    put_blob(otzyv.opened().storage, b"nobody's", sha256 := hashlib.sha256(b"nobody's").hexdigest())
    arguments = ["otzyv", "forget", "--author", "misspelt", "--lake", str(otzyv.lake)]
    script = f"import sys; from otzyv.flows.command.main import main; sys.argv = {arguments!r}; main()"
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", script], stdin=theirs, stdout=subprocess.PIPE) as asked:
        os.close(theirs)
        os.write(ours, b"n\n")
        assert asked.stdout is not None
        said = asked.stdout.read().decode()
    os.close(ours)
    assert "or that no row names: 1" in said
    assert "Erase it? [y/N]" in said
    assert otzyv.opened().storage.exists(blob_path(sha256))
