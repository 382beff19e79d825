"""A day of reviews with pictures whose every row tells its edition, and what readers see of it by another way.

``edition_seen`` shares no code with the lake's own readers: it reads the files that a release names with pyarrow.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from otzyv.schemas.tables import ATTACHMENTS, REVIEWS
from otzyv.tasks.extractors import Card, Extractor, Run, Weights
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.records.blobs import put_blob
from otzyv.tasks.lake.records.upsert import upsert

DAY = date(2026, 3, 1)
COUNT = 6


def text(number: int, edition: int) -> str:
    return f"отзыв {number}" + " правка" * edition


@cache
def picture(number: int, edition: int) -> bytes:
    """A small PNG; each is another one."""
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), (number, edition % 256, edition // 256), np.uint8)).save(file, "PNG")
    return file.getvalue()


def sha(content: bytes | str) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def bring(lake: Lake, edition: int) -> None:
    """Ingest the day's reviews, each with another text and another picture than in the edition before."""
    reviews, attached = [], []
    for number in range(COUNT):
        data = picture(number, edition)
        put_blob(lake.storage, data, sha(data))
        reviews.append(
            {
                **dict.fromkeys(REVIEWS.names),
                "review_id": str(number),
                "text": text(number, edition),
                "created_at": datetime.combine(DAY, time(12), UTC),
                "updated_at": datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=edition),
                "attachments": 1,
                "source_file": "made-up.jsonl",
                "source_sha256": sha(text(number, edition)),
                "day": DAY,
            }
        )
        attached.append(
            {
                **dict.fromkeys(ATTACHMENTS.names),
                "review_id": str(number),
                "position": 0,
                "kind": "image",
                "content_sha256": sha(data),
                "bytes": len(data),
                "media_type": "image/png",
                "status": "ok",
                "source_sha256": sha(text(number, edition)),
                "day": DAY,
                "record": number,
            }
        )
    schema = ATTACHMENTS.arrow.append(pa.field("record", pa.int64()))
    upsert(lake.storage, pa.Table.from_pylist(reviews, REVIEWS.arrow), pa.Table.from_pylist(attached, schema))


def _load(card: Card, weights: Weights | None) -> Run:
    def run(contents: Sequence[str]) -> np.ndarray:
        return np.array([[len(content), int(content.split()[1])] for content in contents], np.float32)

    return run


LENGTHS = Extractor(
    Card(name="text_lengths", version=1, modality="plain", doc="lengths", licence="none", source="a test", dim=2), _load
)


def edition_seen(lake: Lake, editions: Sequence[int]) -> tuple[int, frozenset[str]] | None:
    """Of the day as it is released: the one edition that all rows are of, and the tables; None before its release.

    Raises AssertionError where rows are missing, doubled, or of two editions.
    """
    release = lake.releases([DAY]).get(DAY)
    if release is None:
        return None
    of_text = {sha(text(n, e)): (str(n), e) for n in range(COUNT) for e in editions}
    of_picture = {sha(picture(n, e)): (str(n), e) for n in range(COUNT) for e in editions}
    found: dict[str, set[int]] = {}
    for table in release.tables:
        rows = pa.concat_tables([pq.read_table(f"{lake.uri}/{path}", partitioning=None) for path in table.files])
        told = of_picture if "position" in rows.column_names else of_text
        hashes = map(sha, rows["text"].to_pylist()) if table.table == "reviews" else rows["content_sha256"].to_pylist()
        seen = [told[each] for each in hashes]
        assert [review for review, _ in seen] == rows["review_id"].to_pylist()
        assert sorted(review for review, _ in seen) == [str(n) for n in range(COUNT)], table.table
        found[table.table] = {edition for _, edition in seen}
        if table.table == "text_lengths":
            lengths = [vector[0] for vector in rows["embedding"].to_pylist()]
            assert lengths == [len(text(int(review), edition)) for review, edition in seen]
    assert len(set().union(*found.values())) == 1, f"a mixed day: {found}"
    return found["reviews"].pop(), frozenset(found)
