"""How each feature of a review came about, and whether it comes out the same again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otzyv.schemas.derived import rules
from otzyv.schemas.errors import NotFound
from otzyv.schemas.table import Table
from otzyv.schemas.tables import ATTACHMENTS, QUARANTINE, REVIEWS, RUNS, WHY
from otzyv.tasks.extractors import Card, Extractor, get
from otzyv.tasks.extractors.loop import Content, extract
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.snapshot import DataFile, Snapshot, published_in, read_batches, read_table
from otzyv.tasks.lake.delta.storage import DamagedFile, Storage
from otzyv.tasks.lake.features.artefacts import identity
from otzyv.tasks.lake.features.contents import DayContents, day_contents, source, vector_contents
from otzyv.tasks.lake.lake import NotReleased
from otzyv.tasks.lake.records.blobs import read_blob
from otzyv.tasks.lake.releases import Release, ReleasedTable
from otzyv.tasks.media.children import refusal
from otzyv.tasks.media.inputs import AudioInput, ImageInput
from otzyv.tasks.media.refused import IN_WORDS, STATUS, Reason
from otzyv.tasks.pipeline.attempts import last_failures
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.configure import configured

Outcome = Literal["equal", "within", "beyond", "not compared"]
"""Of computing it again: bit for bit, within the card's tolerance, beyond it."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """``difference``: the largest absolute one of all numbers; ``why``: of what was not compared, or is no number."""

    outcome: Outcome
    difference: float | None = None
    tolerance: float | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """A row of a feature table, without its values.

    ``why``: where its status is not ``ok``, one of ``ATTACHMENT_REASONS`` of a file that was not taken, of
    ``decode.IN_WORDS`` of one that its decoder refuses (it is asked again), else of ``WHY``.
    ``made_of``: all that its fingerprint stands for, as the lake keeps it: name, code version, weights with their
    sha256, settings. ``table_version``: the table's version that published it, None where the log has forgotten.
    ``checks``: what its columns were held to; ``failed``: the one it failed.
    """

    table: str
    position: int | None
    status: str
    why: str | None
    content_sha256: str | None
    fingerprint: str
    made_of: Mapping[str, Any] | None
    run_key: str
    table_version: int | None
    run: Mapping[str, Any] | None
    checks: tuple[str, ...]
    failed: str | None
    recomputed: Recomputed | None


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A row of ``attachments``, by the same names."""

    position: int
    kind: str
    status: str
    reason: str | None
    uri: str | None
    media_type: str | None
    bytes: int | None
    content_sha256: str | None


@dataclass(frozen=True, slots=True)
class Explained:
    """``failed``: tables of its day whose last attempt failed, and how: readers see them as they were before."""

    review_id: str
    day: date
    release_id: str
    verdict: str
    released_at: datetime
    attachments: tuple[AttachedFile, ...]
    features: tuple[Feature, ...]
    failed: Mapping[str, str]


def explain(lake: Lake, review_id: str, day: date | None = None, *, recompute: bool = False) -> Explained:
    """Explain what readers see of a review; ``recompute`` computes each feature again from the released contents.

    Raises LookupError where there is no such review, NotReleased where no reader sees its day.
    """
    day = day or _day(lake, review_id)
    release, failed = lake.releases([day]).get(day), last_failures(lake, [day]).get(day, {})
    if release is None:
        told = "".join(f"; {table} failed: {error}" for table, error in failed.items())
        raise NotReleased(
            f"no release of {day}{told}; `otzyv releases --lake {lake.uri} --day {day}` tells whether it is held"
        )
    reviews = read_table(lake.storage, REVIEWS, _files(release, REVIEWS.name), ["review_id"])
    if review_id not in reviews["review_id"].to_pylist():
        raise NotFound(f"no review {review_id!r} in the release of {day}")
    runs = lake.read(RUNS)
    names = [field.name for field in fields(AttachedFile)]
    attached = _rows(lake, ATTACHMENTS, _files(release, ATTACHMENTS.name), review_id)
    attachments = tuple(AttachedFile(**{name: row[name] for name in names}) for row in attached)
    reasons = {file.position: file.reason for file in attachments}
    refused = _Refused(lake.storage)
    features = tuple(
        feature
        for released in release.tables
        if released.fingerprint is not None
        for feature in _features(lake, release, released, review_id, runs, reasons, refused, recompute=recompute)
    )
    seen = (release.release_id, release.verdict, release.created_at)
    return Explained(review_id, day, *seen, attachments, features, failed)


@dataclass(frozen=True)
class _Refused:
    """Why decoders refuse a review's attached files. Rows do not tell, so each file is decoded once more, once."""

    storage: Storage
    _found: dict[tuple[ImageInput | AudioInput, str], tuple[str, Reason | None]] = field(default_factory=dict)

    def why(self, extractor: Extractor | None, row: Mapping[str, Any]) -> str | None:
        """In words; None where no decoder of today gives the row its status."""
        if extractor is not None and extractor.card.reads is not None:  # components of what another reads
            extractor = _extractor(extractor.card.reads.name)
        spec = extractor.card.input if extractor else None
        if spec is None or row["status"] not in STATUS.values() or row["content_sha256"] is None:
            return None
        key = (spec, row["content_sha256"])
        if key not in self._found:
            try:
                data = read_blob(self.storage, row["content_sha256"])
            except (FileNotFoundError, DamagedFile):  # the doctor tells of it
                return None
            self._found[key] = refusal(spec, data)
        status, reason = self._found[key]
        return IN_WORDS[reason] if reason and status == row["status"] else None


def _day(lake: Lake, review_id: str) -> date:
    snapshot = lake.snapshot(REVIEWS)
    for batch in read_batches(lake.storage, REVIEWS, snapshot.files, ["review_id", "day"]):
        found = batch.filter(pc.equal(batch["review_id"], review_id))
        if found.num_rows:
            day: date = found["day"][0].as_py()
            return day
    raise NotFound(f"no review {review_id!r} in {lake.uri}; `otzyv show reviews --lake {lake.uri}` shows some")


def _files(release: Release, table: str) -> list[DataFile]:
    known = release.by_name.get(table)
    if known is None:
        return []
    return [DataFile(path, 0, 0, release.day, known.run_key, known.fingerprint) for path in known.files]


def _features(
    lake: Lake,
    release: Release,
    released: ReleasedTable,
    review_id: str,
    runs: pa.Table,
    reasons: Mapping[int, str | None],
    refused: _Refused,
    *,
    recompute: bool,
) -> Iterator[Feature]:
    table, files = lake.table(released.table), _files(release, released.table)
    extractor = _extractor(released.table)
    told = identity(lake.storage, str(released.fingerprint))
    made_of = json.loads(told) if told is not None else None
    version = published_in(lake.storage, released.files[0]) if released.files else None
    for row in _rows(lake, table, files, review_id):
        key = [row[name] for name in table.keys]
        yield Feature(
            table=table.name,
            position=row.get("position"),
            status=row["status"],
            why=reasons.get(row.get("position", -1)) or refused.why(extractor, row) or WHY.get(row["status"]),
            content_sha256=row["content_sha256"],
            fingerprint=row["fingerprint"],
            made_of=made_of,
            run_key=row["run_key"],
            table_version=version,
            run=_run(runs, table.name, release.day, row["run_key"]),
            checks=_checks(extractor.card.table) if extractor else (),
            failed=_failed(lake, table.name, key) if row["status"] == "invalid" else None,
            recomputed=_again(lake, release, extractor, table, row) if recompute else None,
        )


def _rows(lake: Lake, table: Table, files: Sequence[DataFile], review_id: str) -> list[dict[str, Any]]:
    rows = [
        row
        for batch in read_batches(lake.storage, table, files)
        for row in batch.filter(pc.equal(batch["review_id"], review_id)).to_pylist()
    ]
    return sorted(rows, key=lambda row: row.get("position") or 0)


def _extractor(name: str) -> Extractor | None:
    """None where this process does not know it."""
    if name == CLEANING.card.name:
        return CLEANING
    try:
        return get(name)
    except LookupError:
        return None


def _run(runs: pa.Table, table: str, day: date, run_key: str) -> Mapping[str, Any] | None:
    """The attempt that published it; None of a run that died before it was noted."""
    named = pc.and_(pc.equal(runs["table"], table), pc.equal(runs["run_key"], run_key))
    rows = runs.filter(pc.and_(named, pc.equal(runs["state"], "published"))).sort_by("started_at").to_pylist()
    names = ("run_id", "started_at", "rows", "computed", "reused", "seconds")
    return {name: rows[-1][name] for name in names} if rows else None


def _checks(table: Table) -> tuple[str, ...]:
    return tuple(f"{column.name} {rule}" for column in table.columns for rule in rules(column))


def _failed(lake: Lake, table: str, key: Sequence[object]) -> str | None:
    place = "/".join([table, *map(str, key)])
    rows = lake.read(QUARANTINE, columns=["source", "rule", "reason", "day"])
    found = rows.filter(pc.and_(pc.equal(rows["source"], place), pc.equal(rows["rule"], "row_check")))
    # A table's files come in no order: the newest day of arrival counts, and of one day nothing tells which was last.
    last = found.filter(pc.equal(found["day"], pc.max(found["day"])))["reason"].to_pylist()
    return ", ".join(sorted(set(last))) or None


def _again(
    lake: Lake, release: Release, extractor: Extractor | None, table: Table, row: Mapping[str, Any]
) -> Recomputed:
    if extractor is None:
        return Recomputed("not compared", why="this process does not know the extractor")
    extractor, weights = configured(lake, extractor)
    card = extractor.card
    if card.fingerprint(weights) != row["fingerprint"]:
        return Recomputed("not compared", why="the extractor's code, weights or settings are others now")
    if card.backend == "api":
        return Recomputed("not compared", why="asking the API again would cost money")
    contents = _contents(lake, release, card)
    keys = zip(*(contents.keys[name].to_pylist() for name in table.keys), strict=True)
    number = next((n for n, key in enumerate(keys) if key == tuple(row[name] for name in table.keys)), None)
    if number is None or contents.keys["content_sha256"][number].as_py() != row["content_sha256"]:
        return Recomputed("not compared", why="what it was made from is not in the release")
    if contents.keys["status"][number].as_py() != "ok":
        return Recomputed("equal", why="there is no content, and so no features")
    content = Content(str(row["content_sha256"]), contents.sizes[number], lambda: contents.read(number))
    (batch,) = extract(extractor, weights, [content], workers=1)
    return compare(card, row, batch.to_pylist()[0])


def _contents(lake: Lake, release: Release, card: Card) -> DayContents:
    """What the card reads, as the release has it."""
    if card.modality == "vector":
        assert card.reads is not None
        return vector_contents(lake.storage, card.reads.table, _files(release, card.reads.name), release.day)
    table = source(card.modality)
    return day_contents(
        lake.storage, card.modality, release.day, Snapshot(table, -1, tuple(_files(release, table.name)))
    )


def compare(card: Card, stored: Mapping[str, Any], computed: Mapping[str, Any]) -> Recomputed:
    """Numbers by their largest absolute difference; all else has to be equal."""
    if stored["status"] != computed["status"]:
        return Recomputed("beyond", None, card.tolerance, f"status {stored['status']}, now {computed['status']}")
    most = 0.0
    for column in card.value_columns:
        then, now = stored[column.name], computed[column.name]
        if then is None or now is None or not _numbers(column.type):
            if then != now:
                return Recomputed("beyond", None, card.tolerance, f"another {column.name}")
            continue
        one, other = np.atleast_1d(np.asarray(then, np.float64)), np.atleast_1d(np.asarray(now, np.float64))
        if one.shape != other.shape:
            return Recomputed("beyond", None, card.tolerance, f"{column.name} has another length")
        most = max(most, float(np.abs(one - other).max(initial=0.0)))
    outcome: Outcome = "equal" if most == 0 else "within" if most <= card.tolerance else "beyond"
    return Recomputed(outcome, most, card.tolerance)


def _numbers(type_: pa.DataType) -> bool:
    inner = type_.value_type if pa.types.is_list(type_) else type_
    return bool(pa.types.is_floating(inner))
