"""Taking refused records in again, after the mapping, the settings or a rule was changed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.records.blobs import attaching
from otzyv.tasks.lake.records.quarantine import Key, Wanted, key_of, refused, remove
from otzyv.tasks.lake.records.suppression import Suppressed, suppressed
from otzyv.tasks.lake.records.upsert import upsert
from otzyv.tasks.pipeline.incoming import Incoming
from otzyv.tasks.pipeline.ingest import Accounting, Source
from otzyv.tasks.sources import RejectedRecord, SourceError, SourceFile, Tally
from otzyv.tasks.sources.again import Kept, NotReplayable, again
from otzyv.tasks.sources.listing import root_of
from otzyv.tasks.sources.web import Web

ROW_CHECK = "row_check"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of refused records that were read again. ``left``: how many are in quarantine no more.

    ``not_replayable``: of how many it can't be tried, by the reason; they are not counted among the records in.
    """

    accounting: Accounting
    left: int
    not_replayable: Mapping[str, int]


def replay(lake_uri: str, source: Source, author_key: str, wanted: Wanted) -> Replayed:
    """Read the wanted records of quarantine again, as records of ``source``, and bring in what is good now.

    Those without any fault left leave quarantine. A review that the lake holds in a newer state stays, and so does one
    of which nothing tells that it is older. The newest arrivals come first. ``source.path`` is where attached files
    lie; empty, records that name some can't be tried. A run that died is completed by running again.
    """
    lake = Lake(lake_uri)
    lake.constants.check_author_key(author_key)
    with attaching(lake.storage):
        return _replay(lake, source, author_key, wanted)


def _replay(lake: Lake, source: Source, author_key: str, wanted: Wanted) -> Replayed:
    began = time.perf_counter()
    forgotten = suppressed(lake.storage)
    tally = Tally()
    counts: Counter[str] = Counter()
    hindered: Counter[str] = Counter()
    days: set[date] = set()
    accepted_on: Counter[date] = Counter()
    for _, rows in groupby(refused(lake.storage, wanted), key=lambda row: row["day"]):
        incoming = Incoming(lake, author_key, forgotten, source.redact, Web(frozenset(source.hosts)))
        done: list[Key] = []
        for row in rows:
            try:
                if _read_again(lake, row, source, incoming, tally, counts, forgotten, author_key):
                    done.append(key_of(row))
            except NotReplayable as hindrance:
                hindered[str(hindrance)] += 1
        reviews, attachments = incoming.tables()
        if reviews.num_rows:
            brought = upsert(lake.storage, reviews, attachments, yields=True, on_the_web=incoming.on_the_web)
            counts["accepted"] += brought.accepted
            counts["deduplicated"] += brought.deduplicated
            accepted_on.update(brought.accepted_on)
            days |= {*brought.changed, *brought.left}
        counts["left"] += remove(lake.storage, done)
    accounting = Accounting(
        records_in=counts["records_in"],
        accepted=counts["accepted"],
        quarantined=counts["quarantined"],
        deduplicated=counts["deduplicated"],
        suppressed=counts["suppressed"],
        days=tuple(sorted(days)),
        seconds=time.perf_counter() - began,
        accepted_on=dict(accepted_on),
        reasons=tally.reasons,
    )
    return Replayed(accounting, counts["left"], dict(hindered))


def _read_again(
    lake: Lake,
    row: Mapping[str, Any],
    source: Source,
    incoming: Incoming,
    tally: Tally,
    counts: Counter[str],
    forgotten: Suppressed,
    author_key: str,
) -> bool:
    """Whether nothing of a refused record is left to be kept. Raises NotReplayable."""
    if row["rule"] == ROW_CHECK:
        raise NotReplayable(
            "it is no record of a source, but a row of features that failed a check of its table: "
            f"otzyv features --lake {lake.uri} makes the day again once its extractor is right"
        )
    if forgotten.covers_refused(author_key, row["raw"], row["record_id"]):
        counts.update(records_in=1, suppressed=1)
        return True
    name = str(row["source"])
    file = name.rpartition("//")[2]
    log = json.loads(row["context"] or "{}").get("log")  # by which reviews of a Delta table are known
    came_from = name.removesuffix(file) + (log or file)
    kept = Kept(file, row["offset"], row["raw"], row["raw_sha256"], row["context"])
    try:
        found = again(
            kept,
            mapping=source.mapping or {},
            timezone=lake.constants.zone,
            encoding=source.encoding,
            dates=source.dates,
        )
    except SourceError:
        counts.update(records_in=1, quarantined=1)
        tally.refuse(
            RejectedRecord(
                file, row["offset"], row["rule"], row["reason"], row["raw"], row["raw_sha256"], row["record_id"]
            )
        )
        return False
    if not source.path and any(not isinstance(item, RejectedRecord) and item.attachments for item in found):
        raise NotReplayable("it names attached files; say by --files where its source lies")
    refusals = 0
    for item in found:
        counts["records_in"] += 1
        if isinstance(item, RejectedRecord):
            refusals += 1
            counts["quarantined"] += 1
            tally.refuse(item)
        elif not incoming.take(item, SourceFile(root_of(source.path or "."), file, ""), came_from):
            counts["suppressed"] += 1
    return not refusals
