"""Files of a source that hold nothing new, by what an earlier ingest noted of them: they need not be read again.

A file is known if its bytes are those that were read, it would be read as it was, and the days that have its reviews
are what they were then. All that can't be told so is read: notes spare work, and decide nothing.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.tables import ATTACHMENTS, QUARANTINE, REVIEWS
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import Snapshot, read_table
from otzyv.tasks.lake.records.blobs import blob_path, put_blob
from otzyv.tasks.lake.records.gone import file_of
from otzyv.tasks.lake.records.upsert import CONTENT, Upserted
from otzyv.tasks.pipeline.web_attachments import as_row
from otzyv.tasks.sources import AttachmentRef, Names, Reason, SourceFile, fetch
from otzyv.tasks.sources.attachments import Attachment, stamp
from otzyv.tasks.sources.beneath import NotPlainError, open_beneath

FEWER = "{n} records fewer than when it was read before, which stay; copy it again if it was cut short"
CUT = "shorter than when it was read before, and without a last line break; copy it again if it was cut short"
FOLDER = "_known"
"""Where the notes lie in the lake: a file for each source."""
_LIBRARIES = ("charset-normalizer", "deltalake", "phonenumbers", "pyarrow", "python-calamine", "razdel")
"""What files are read with, beside our own code."""
Told = tuple[Mapping[str, int], tuple[Reason, ...]]
"""What is to be said of a file, with counts, and why records of it were refused."""
_CODE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What is noted of a file that was read whole: the lake has all that it tells, in quarantine what was refused.

    ``name``: as reviews name it. ``sha256`` is of its bytes. ``attached``: digest of what its records name as files,
    and of these files' stamps; empty where it names none, None where those do not tell. ``days``:
    those that its records lie in, and those that their reviews lay in before. ``made_of``: day -> digest of the data
    files of ``reviews`` and ``attachments``, of each day that has a review of the file; ``quarantine``: the same of
    each day of arrival of what was refused. ``reasons``: why. ``notes``: what is to be said of it, with counts.
    ``size``: in bytes, 0 where a former otzyv noted none.
    """

    name: str
    sha256: str
    records: int
    attached: str | None
    days: tuple[str, ...]
    made_of: Mapping[str, str]
    quarantine: Mapping[str, str] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    size: int = 0

    @property
    def taken(self) -> int:
        """How many of the records were not refused."""
        return self.records - sum(reason.count for reason in self.reasons)

    @property
    def touched(self) -> set[date]:
        return {date.fromisoformat(day) for day in self.days}


class KnownFiles:
    """The notes of a source: ``path`` and ``name`` tell it from others, ``read_as`` says how its files are read."""

    def __init__(self, lake: Lake, path: Path, name: str | None, read_as: Mapping[str, Any]) -> None:
        self._lake = lake
        told = hashlib.sha256(json.dumps([str(path.absolute()), name]).encode()).hexdigest()
        self._name = name
        self._place = f"{FOLDER}/{told}.json"
        self._read_as = hashlib.sha256(json.dumps([_program(), read_as], sort_keys=True).encode()).hexdigest()
        self._known, self._snapshot = self._noted()
        self._bytes: dict[SourceFile, str | None] = {}

    def unread(self, files: Sequence[SourceFile], *, all_or_none: bool = False) -> dict[SourceFile, KnownFile]:
        """Those of the files that need not be read; their attached files are looked at, and are in the lake."""
        found: dict[SourceFile, KnownFile] = {}
        reviews, refused = _digests_of_reviews(self._lake), _Digests([self._lake.snapshot(QUARANTINE)])
        for file in files:
            known = self._known.get(file.name)
            if all_or_none and not known:
                return {}
            sha256 = self.sha256(file)  # of one that is to be read as well: it may change while it is
            if known and known.sha256 == sha256 and reviews.stand(known.made_of) and refused.stand(known.quarantine):
                found[file] = known
            elif all_or_none:
                return {}
        for file in _attached_elsewise(self._lake, found):
            del found[file]
        return found

    def sha256(self, file: SourceFile) -> str | None:
        """Digest of the file's bytes as they were when first asked for; None where it can't be read."""
        if file not in self._bytes:
            self._bytes[file] = _sha256(file)
        return self._bytes[file]

    def shrunk(self, file: SourceFile, records: int) -> tuple[str, int] | None:
        """What is to be said of a file that holds less than when it was read before, and of how many records.

        One that was cut between two records, or within the last cell of a CSV file, is sound in itself.
        """
        if (known := self._known.get(file.name)) is None:
            return None
        if records < known.records:
            return FEWER, known.records - records
        with suppress(OSError), file.path.open("rb") as stream:
            size = stream.seek(0, io.SEEK_END)
            if records == known.records and 0 < size < known.size:
                stream.seek(-1, io.SEEK_END)
                return None if stream.read() == b"\n" else (CUT, 1)
        return None

    def none_gone(self, files: Collection[SourceFile], aside: Collection[str]) -> bool:
        """Whether it is known that of a snapshot that consists of these files no review is gone from the lake."""
        return self._snapshot == self._whole(files, aside, self._lake.snapshot(REVIEWS))

    def note(
        self,
        read: Mapping[SourceFile, Told],
        rows: pa.Table,
        attachments: pa.Table,
        done: Upserted,
        *,
        unread: Mapping[SourceFile, KnownFile],
        listed: Collection[SourceFile],
        whole: bool,
        none_gone_of: Collection[str] | None,
    ) -> None:
        """Note what an ingest has read, and what it left unread.

        ``read``: files of which nothing is to be forgotten, with what is to be said of each; ``rows`` and
        ``attachments``: what their records were brought in as, by ``done``. ``listed``: the files that the source
        has, ``whole``: all of them. ``none_gone_of``: what was left aside, of a snapshot that was read whole and of
        which nothing stays that it does not hold.
        """
        names = {file.name for file in listed}
        kept = {} if whole else {name: known for name, known in self._known.items() if name not in names}
        kept |= {file.name: known for file, known in unread.items()}
        kept |= {file.name: known for file, known in self._settled(read, rows, attachments, done)}
        snapshot = None
        if none_gone_of is not None:
            snapshot = self._whole(listed, none_gone_of, done.after[REVIEWS.name])
        if (kept, snapshot) != (self._known, self._snapshot):
            with suppress(OSError):  # what was brought in is in: the next ingest reads the files again
                self._write(kept, snapshot)

    def _settled(
        self,
        read: Mapping[SourceFile, Told],
        rows: pa.Table,
        attachments: pa.Table,
        done: Upserted,
    ) -> Iterator[tuple[SourceFile, KnownFile]]:
        """The files all of whose records are now the state of a review of that file, or older than the one it has."""
        assert done.states is not None
        names = {file: file_of(self._name, file.known_as) for file in read}
        file_names = rows["source_file"]
        now = done.states.take(pc.index_in(rows["review_id"], value_set=done.states["review_id"].combine_chunks()))
        mine = pc.and_(pc.equal(rows["source_sha256"], now["source_sha256"]), pc.equal(file_names, now["source_file"]))
        older = pc.fill_null(pc.less(rows["updated_at"], now["updated_at"]), False)
        unsure = {*file_names.filter(pc.invert(pc.or_(mine, older))).unique().to_pylist()}
        files_of = file_names.take(attachments["record"])  # of each attachment
        unsure |= {*files_of.filter(attachments["cut"]).unique().to_pylist()}
        if done.files_kept or done.files_lost:  # the lake has, or had, what can't be read of the source now
            unsure |= {*files_of.filter(pc.not_equal(attachments["status"], "ok")).unique().to_pylist()}
        attached = Counter(files_of.to_pylist())
        stamps = _stamps_by_file(files_of, attachments, mine.take(attachments["record"]))
        named_files = pa.table({"file": file_names, "files": rows["attachments"]}).group_by("file")
        told = named_files.aggregate([("files", "sum"), ("files", "count")]).to_pylist()
        counted = {row["file"]: row["files_sum"] for row in told}
        records = Counter({row["file"]: row["files_count"] for row in told})
        made_of = _by_file(file_names, now["day"])
        days = _by_file(file_names, rows["day"], now["day"], now["former_day"])
        digests = _digests_of_reviews(self._lake, done.after)
        arrived = self._quarantined({names[file] for file, (_, reasons) in read.items() if reasons})
        for file, (notes, reasons) in read.items():
            name, sha, refused = names[file], self.sha256(file), sum(reason.count for reason in reasons)
            if name in unsure or file.log or attached[name] != counted.get(name, 0) or not records[name] + refused:
                continue
            if sha is None or sha != _sha256(file):  # it has changed while it was read
                continue
            yield (
                file,
                KnownFile(
                    name,
                    sha,
                    records[name] + refused,
                    _digest_of_stamps(stamps.get(name, {})) if attached[name] else "",
                    tuple(days.get(name, ())),
                    {day: digests.of(day) for day in made_of.get(name, ())},
                    arrived.get(name, {}),
                    reasons,
                    notes,
                    file.path.stat().st_size,
                ),
            )

    def _quarantined(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Of files (as reviews name them) the days of arrival of what was refused of them, each with its digest."""
        if not names:
            return {}
        snapshot = self._lake.snapshot(QUARANTINE)
        rows = read_table(self._lake.storage, QUARANTINE, snapshot.files, ["source", "day"])
        rows = rows.filter(pc.is_in(rows["source"], pa.array(sorted(names), pa.string())))
        digests = _Digests([snapshot])
        found: dict[str, dict[str, str]] = {}
        for row in rows.group_by(["source", "day"]).aggregate([]).to_pylist():
            found.setdefault(row["source"], {})[str(row["day"])] = digests.of(str(row["day"]))
        return found

    def _whole(self, files: Collection[SourceFile], aside: Collection[str], reviews: Snapshot) -> str | None:
        shas = sorted((file.name, self.sha256(file) or "") for file in files)
        told = [shas, sorted(aside), sorted(file.path for file in reviews.files)]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def _noted(self) -> tuple[dict[str, KnownFile], str | None]:
        """What is noted; nothing where there is none, it is damaged, or files were read otherwise then."""
        try:
            digest, _, data = self._lake.storage.read(self._place).partition(b"\n")
            if digest.decode() != hashlib.sha256(data).hexdigest():
                return {}, None
            told = json.loads(data)
        except (OSError, ValueError):
            return {}, None
        if told["read_as"] != self._read_as:
            return {}, None
        return {name: _known(known) for name, known in told["files"].items()}, told["snapshot"]

    def _write(self, known: Mapping[str, KnownFile], snapshot: str | None) -> None:
        files = {name: asdict(file) for name, file in known.items()}
        data = json.dumps({"read_as": self._read_as, "files": files, "snapshot": snapshot}, ensure_ascii=False).encode()
        self._lake.storage.write(self._place, hashlib.sha256(data).hexdigest().encode() + b"\n" + data)


def _known(told: Mapping[str, Any]) -> KnownFile:
    reasons = tuple(Reason(**reason) for reason in told["reasons"])
    return KnownFile(**{**told, "days": tuple(told["days"]), "reasons": reasons})


class _Digests:
    """Digests of the data files that days have in some tables."""

    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._snapshots = snapshots
        self._known: dict[str, str] = {}

    def of(self, day: str) -> str:
        if day not in self._known:
            parts = [[file.path for file in each.of(date.fromisoformat(day))] for each in self._snapshots]
            self._known[day] = hashlib.sha256(json.dumps([sorted(part) for part in parts]).encode()).hexdigest()
        return self._known[day]

    def stand(self, made_of: Mapping[str, str]) -> bool:
        return all(self.of(day) == digest for day, digest in made_of.items())


def _digests_of_reviews(lake: Lake, after: Mapping[str, Snapshot] | None = None) -> _Digests:
    """Of ``reviews`` and ``attachments``, as they stand or as they were ``after`` something."""
    return _Digests([(after or {}).get(table.name) or lake.snapshot(table) for table in (REVIEWS, ATTACHMENTS)])


Stamps = dict[str, dict[int, tuple[str | None, str | None]]]
"""Review -> position of a file that it names -> how it names it, and the file's stamp."""


def _stamps_by_file(files: pa.ChunkedArray, attachments: pa.Table, mine: pa.ChunkedArray) -> dict[str, Stamps]:
    """By the name of the file whose records name them; of the records that are a review's state in the lake."""
    found: dict[str, Stamps] = {}
    rows = attachments.select(["review_id", "position", "uri", "stamp"]).append_column("file", files).filter(mine)
    for row in rows.to_pylist():
        found.setdefault(row["file"], {}).setdefault(row["review_id"], {})[row["position"]] = row["uri"], row["stamp"]
    return found


def _by_file(files: pa.ChunkedArray, *days: pa.ChunkedArray) -> dict[str, list[str]]:
    """The days that stand beside each file's name in any of the columns, in their order."""
    pairs = pa.concat_tables([pa.table({"file": files, "day": each.cast(pa.date32())}) for each in days])
    found: dict[str, list[str]] = {}
    for row in pairs.drop_null().group_by(["file", "day"]).aggregate([]).sort_by("day").to_pylist():
        found.setdefault(row["file"], []).append(str(row["day"]))
    return found


def _digest_of_stamps(stamps: Stamps) -> str | None:
    told = [[review, at, *stamps[review][at]] for review in sorted(stamps) for at in sorted(stamps[review])]
    return None if any(None in each for each in told) else hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _attached_elsewise(lake: Lake, known: Mapping[SourceFile, KnownFile]) -> list[SourceFile]:
    """The files one of whose reviews names a file that is read otherwise now than the lake has it.

    Of those whose stamps are as they were, nothing is read.
    """
    naming = {known[file].name: file for file in known if known[file].attached != ""}
    days = sorted({date.fromisoformat(day) for file in naming.values() for day in known[file].made_of})
    reviews, attachments = (
        read_table(lake.storage, table, [file for day in days for file in lake.snapshot(table).of(day)], columns)
        for table, columns in (
            (REVIEWS, ["review_id", "source_file"]),
            (ATTACHMENTS, ["review_id", "position", "uri", *CONTENT]),
        )
    )
    files = dict(zip(reviews["review_id"].to_pylist(), reviews["source_file"].to_pylist(), strict=True))
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in naming}
    for row in attachments.to_pylist():
        if (name := files.get(row["review_id"], "")) in rows:
            rows[name].append(row)
    names = Names()
    return [
        file
        for name, file in naming.items()
        if not _stand(lake, file, known[file], rows[name], names) and not _read_alike(lake, file, rows[name], names)
    ]


def _stand(lake: Lake, file: SourceFile, known: KnownFile, rows: Sequence[dict[str, Any]], names: Names) -> bool:
    """Whether the attached files have the stamps that were noted, and the lake has their bytes."""
    stamps: Stamps = {}
    for row in rows:
        if row["uri"] is None:
            return False
        if row["status"] == "ok" and lake.storage.size(blob_path(row["content_sha256"])) != row["bytes"]:
            return False
        stamps.setdefault(row["review_id"], {})[row["position"]] = row["uri"], stamp(file, row["uri"], names)
    return known.attached is not None and _digest_of_stamps(stamps) == known.attached


def _read_alike(lake: Lake, file: SourceFile, rows: Sequence[dict[str, Any]], names: Names) -> bool:
    """Whether the attached files are read as the lake has them; their bytes then are in the lake."""
    for row in rows:
        content = io.BytesIO()
        if row["uri"] is None or not _same(
            row, fetch(file, AttachmentRef(row["kind"], row["uri"]), content, names=names)
        ):
            return False
        if row["status"] == "ok":
            put_blob(lake.storage, content.getvalue(), row["content_sha256"])
    return True


def _same(row: Mapping[str, Any], found: Attachment) -> bool:
    told = as_row(found)
    return all(row[name] == told[name] for name in CONTENT)


def _sha256(file: SourceFile) -> str | None:
    try:
        with open_beneath(file.root, file.name.split("/")) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    except (OSError, NotPlainError):
        return None


@functools.cache
def _program() -> str:
    """Digest of what decides how a file is read: our code, and the libraries that it reads with."""
    digest = hashlib.sha256(sys.version.encode())
    for part in ("schemas", "tasks"):
        for path in sorted((_CODE / part).rglob("*.py")):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    for name in _LIBRARIES:
        digest.update(f"{name} {version(name)}".encode())
    return digest.hexdigest()
