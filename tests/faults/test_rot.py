"""Bytes that are not those that were written are found before anybody reads them as data."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from otzyv.flows.command.main import main
from otzyv.schemas.tables import ATTACHMENTS, CLEAN_TEXT, REVIEWS
from otzyv.tasks.extractors.extractor import REGISTERED
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.config import FILE, DamagedConstants, FormerFormat, NoLake
from otzyv.tasks.lake.delta import snapshot
from otzyv.tasks.lake.delta.publish import commit
from otzyv.tasks.lake.delta.snapshot import BrokenSeal, CorruptFile, TornLog, open_snapshot, read_table
from otzyv.tasks.lake.delta.storage import DamagedFile, Storage
from otzyv.tasks.lake.features import artefacts
from otzyv.tasks.lake.features.journal import Journal
from otzyv.tasks.lake.records.blobs import blob_path, put_blob, read_blob
from otzyv.tasks.lake.upkeep.doctor import constants_of, examine
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import make
from otzyv.tasks.release import release
from tests.faults.counts import detail, turns
from tests.faults.editions import DAY as EDITED
from tests.faults.editions import LENGTHS, bring, sha
from tests.tasks.lake.test_publish import DAY, staged

NAMED = (TornLog, CorruptFile, DamagedFile, DamagedConstants, NoLake)
"""What a reader may be told of a lake that is not as it was written."""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path / "lake")
    for seed in (1, 2):
        commit(made.storage, open_snapshot(made.storage, CLEAN_TEXT), [DAY], staged(made.storage, seed))
    return made


def moved(folder: Path) -> Path:
    """The lake at a new address, of which this process remembers nothing: as another process would find it."""
    name, _, number = folder.name.partition("-")
    return folder.rename(folder.with_name(f"{name}-{int(number or 0) + 1}"))


def test_every_flipped_bit_in_a_data_file_is_found(lake: Lake) -> None:
    (file,) = lake.snapshot(CLEAN_TEXT).files
    folder = lake.storage.root
    whole = (folder / file.path).read_bytes()
    bits = len(whole) * 8
    flips = random.Random(4).sample(range(bits), bits)
    for turn in turns("bit flipped in a data file", bits // 20, 5000):
        flip = flips[turn]
        broken = bytearray(whole)
        broken[flip // 8] ^= 1 << flip % 8
        (folder / file.path).write_bytes(broken)
        folder = moved(folder)
        with pytest.raises(CorruptFile, match=Path(file.path).name):
            read_table(Storage(folder), CLEAN_TEXT, [file], ["review_id"])
    (folder / file.path).write_bytes(whole)
    assert read_table(Storage(moved(folder)), CLEAN_TEXT, [file]).num_rows == file.rows


def test_a_log_cut_anywhere_is_refused(lake: Lake) -> None:
    log = Path(lake.storage.at("clean_text/_delta_log"))
    newest = log / f"{2:020}.json"
    whole = newest.read_bytes()
    lines = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    cuts = [0, *lines, *(place + 1 for place in lines), *random.Random(5).sample(range(len(whole)), len(whole))]
    for turn in turns("log cut off", 50, 800):
        newest.write_bytes(whole[: cuts[turn]])
        with pytest.raises(TornLog, match=newest.name):
            lake.snapshot(CLEAN_TEXT)
    newest.write_bytes(whole)
    (log / f"{1:020}.json").write_bytes(b"")
    with pytest.raises(TornLog, match=f"{1:020}"):
        lake.snapshot(CLEAN_TEXT)


def test_a_flipped_bit_in_an_attached_file_is_found(lake: Lake) -> None:
    sha256 = sha(b"a photo")
    put_blob(lake.storage, b"a photo", sha256)
    assert read_blob(lake.storage, sha256) == b"a photo"
    Path(lake.storage.at(blob_path(sha256))).write_bytes(b"a pxoto")
    with pytest.raises(DamagedFile, match="ingest its source again"):
        read_blob(lake.storage, sha256)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a file of every kind: two editions, a checkpoint, an artefact, paid answers, pictures."""
    lake = Lake.create(tmp_path_factory.mktemp("rot") / "lake")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(REGISTERED, LENGTHS.card.name, LENGTHS)
        for edition in range(3):
            bring(lake, edition)
            runs = [make(lake, CLEANING, EDITED), make(lake, LENGTHS, EDITED)]
            release.fn(lake.uri, [EDITED], runs)[EDITED]
            if edition == 1:
                for table in (CLEAN_TEXT, REVIEWS):
                    snapshot.open_delta(lake.storage, lake.snapshot(table)).create_checkpoint()
    learned = b"learned" * 20
    artefacts.add(lake.storage, "text_lengths", sha(learned), {"from": str(EDITED), "to": str(EDITED)})
    lake.storage.write(artefacts.artefact_path(sha(learned)), learned)
    Journal(lake.storage, "text_paid", "f" * 64).keep(["a" * 64], np.ones((1, 3), np.float32))
    return lake.storage.root


def seen(folder: Path) -> list[Any]:
    """All that anybody reads of a lake."""
    lake = Lake(folder)
    said: list[Any] = [lake.constants, lake.tables(), lake.history()]
    for name in lake.tables():
        table = lake.table(name)
        said += [table, lake.snapshot(table).files, lake.read(table).sort_by(table.keys[0])]
    said.append(lake.frame(None, ["reviews"], "arrow"))
    said.append(lake.frame(None, ["reviews", "clean_text", "text_lengths"], "arrow"))
    for row in lake.read(ATTACHMENTS).to_pylist():
        said.append(read_blob(lake.storage, row["content_sha256"]))
    for name in (CLEAN_TEXT.name, LENGTHS.card.name):
        prints = {str(file.fingerprint) for file in lake.snapshot(lake.table(name)).files}
        said.append(artefacts.behind(lake.storage, prints))
    for model in artefacts.fitted(lake.storage):
        said.append(artefacts.artefact(lake.storage, model.sha256))
    found = Journal(lake.storage, "text_paid", "f" * 64).find(["a" * 64])
    said.append({key: list(vector) for key, vector in found.items()})
    return said


def kind(path: Path) -> str:
    """Which kind of file it is: flips are spread over the kinds alike."""
    if "_delta_log" in path.parts:
        return "checkpoint" if "checkpoint" in path.name else "log entry"
    return "data" if path.suffix == ".parquet" else path.parts[0]


def looked(folder: Path) -> tuple[list[Any], Exception | None]:
    """All that is read of a lake, or what readers are told instead."""
    try:
        return seen(folder), None
    except NAMED as error:
        return [], error


def test_every_flipped_bit_anywhere_in_a_lake_is_harmless_or_told_of(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "lake"))
    good = seen(folder)
    kinds: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size):
        within = path.relative_to(folder)
        kinds.setdefault(kind(within), []).append(within)
    assert {"log entry", "checkpoint", "data", "otzyv.json", "blobs", "artefacts", "fingerprints"} <= kinds.keys()
    chance, told, found, mended = random.Random(6), 0, 0, 0
    for turn in turns("bit flipped anywhere in a lake", 80, 5000):
        path = chance.choice(kinds[sorted(kinds)[turn % len(kinds)]])
        was = (folder / path).read_bytes()
        place, bit = chance.randrange(len(was)), chance.randrange(8)
        (folder / path).write_bytes(was[:place] + bytes([was[place] ^ 1 << bit]) + was[place + 1 :])
        folder = moved(folder)
        where = f"{path}, byte {place}, bit {bit}"
        now, error = looked(folder)
        if error is None:
            assert now[:-1] == good[:-1], f"believed: {where}"
            assert now[-1] in (good[-1], {}), f"believed: {where}"  # what was paid for is asked for again
        else:
            told += 1
            assert str(folder) in str(error), where
            if turn % 4 == 0:
                found += 1
                folder, whole_again = repaired(folder, good, where)
                mended += whole_again
                shutil.rmtree(folder)
                shutil.copytree(whole, folder)
        (folder / path).write_bytes(was)
    detail(f"{told} told of, the others harmless; of {found} the doctor found all and mended {mended} at once")
    assert told > turn / 4


def repaired(folder: Path, good: list[Any], where: str) -> tuple[Path, bool]:
    """The doctor finds a fault. Where the lake is then, and whether readers see at once what they saw."""
    folder = moved(folder)
    findings = list(constants_of(Storage(folder), repair=True))
    if all(each.repaired for each in findings):
        findings += examine(Lake(folder), repair=True, deep=True)
    assert findings, f"not found: {where}"
    assert all(each.repaired or each.todo for each in findings), where
    if not all(each.repaired for each in findings):
        return folder, False
    folder = moved(folder)
    assert seen(folder)[:-1] == good[:-1], where
    return folder, True


def unsealed(lake: Lake) -> None:
    """Make a lake as a former otzyv left it."""
    for path in lake.storage.root.rglob("_delta_log/*.json"):
        lines = path.read_text().splitlines()
        first = json.loads(lines[0])
        first["commitInfo"].pop(snapshot.SEAL)
        path.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    known = json.loads(lake.storage.read(FILE))
    lake.storage.write(
        FILE, json.dumps({**known, "format": 1, "checksum": None}).replace(', "checksum": null', "").encode()
    )


def test_a_lake_of_the_former_format_is_refused_until_the_doctor_has_sealed_it(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "lake"))
    good = seen(folder)
    unsealed(Lake(folder))
    folder = moved(folder)
    with pytest.raises(FormerFormat, match=f"otzyv doctor --repair --lake {folder}"):
        Lake(folder)
    done = CliRunner().invoke(main, ["doctor", "--lake", str(folder), "--repair", "--json"])
    assert (done.exit_code, "former format" in done.stdout) == (0, True), done.output
    folder = moved(folder)
    assert strip(seen(folder)) == strip(good)
    assert list(examine(Lake(folder), deep=True)) == []


def strip(said: list[Any]) -> list[Any]:
    """Without the order of files, which a checkpoint or a seal may change."""
    return [sorted(each, key=str) if isinstance(each, tuple) else each for each in said]


def test_a_former_lake_with_a_file_that_is_not_its_logs_is_not_sealed(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "lake"))
    (file,) = Lake(folder).snapshot(REVIEWS).files
    unsealed(Lake(folder))
    (folder / file.path).write_bytes(b"torn")
    folder = moved(folder)
    (told,) = constants_of(Storage(folder), repair=True)
    assert (told.what, told.repaired, file.path in told.todo) == ("damaged log", False, True)
    with pytest.raises(FormerFormat):
        Lake(folder)


def test_what_another_program_writes_to_a_table_is_told_of_and_sealed_by_the_doctor(
    whole: Path, tmp_path: Path
) -> None:
    lake = Lake(shutil.copytree(whole, tmp_path / "lake"))
    version = lake.snapshot(CLEAN_TEXT).version
    before = lake.read(CLEAN_TEXT)
    DeltaTable(lake.storage.at(CLEAN_TEXT.name)).alter.set_table_properties({"delta.appendOnly": "false"})
    with pytest.raises(BrokenSeal, match="otzyv doctor"):
        lake.snapshot(CLEAN_TEXT)
    assert [(each.what, each.repaired) for each in examine(lake)] == [("damaged log", False)]
    assert [(each.what, each.repaired) for each in examine(lake, repair=True)] == [("damaged log", True)]
    assert lake.snapshot(CLEAN_TEXT).version == version + 2
    assert lake.read(CLEAN_TEXT) == before
