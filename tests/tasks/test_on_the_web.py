"""Of files on the web an ingest fetches those of records that count, once, and keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otzyv.schemas.tables import ATTACHMENTS, REVIEWS
from otzyv.tasks.ingest import ingest
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.records.blobs import read_blob
from otzyv.tasks.pipeline.ingest import Accounting, Source
from otzyv.tasks.sources.web import FetchFailed, Web
from tests.flows.command import review
from tests.tasks.sources.web import HOST, PNG, Served, serving

KEY = "a key of tests"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as one:
        yield one


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.create(tmp_path / "lake")


def bring(lake: Lake, records: list[Any], web: Web | None) -> Accounting:
    source = lake.storage.root.parent / "source"
    source.mkdir(exist_ok=True)
    (source / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return ingest.fn(lake.uri, Source(str(source)), KEY, web=web)


def of(review_id: str, *paths: str, **more: Any) -> Any:
    return review(review_id, attachments=[{"kind": "image", "uri": f"https://{HOST}/{path}"} for path in paths], **more)


def stand(lake: Lake) -> dict[tuple[str, int], tuple[str, str | None]]:
    """What the lake says of each attached file, and its bytes."""
    rows = lake.read(ATTACHMENTS).to_pylist()
    for row in rows:
        if row["status"] == "ok":
            path = row["uri"].removeprefix(f"https://{HOST}")
            assert read_blob(lake.storage, row["content_sha256"]).startswith(PNG + path.encode())
    return {(row["review_id"], row["position"]): (row["status"], row["reason"]) for row in rows}


def test_each_file_is_fetched_once_and_none_of_records_that_do_not_count(lake: Lake, served: Served) -> None:
    first = of("a", "1.png?key=secret", "404", "words.png", updated_at="2026-03-02")
    records = [first, of("a", "former.png", updated_at="2026-03-01"), of("b", "1.png?key=secret", "huge")]
    done = bring(lake, records, served.web())
    assert (done.accepted, done.deduplicated) == (2, 1)
    right: dict[tuple[str, int], tuple[str, str | None]] = {
        ("a", 0): ("ok", None), ("a", 1): ("missing", "not found"), ("a", 2): ("unsupported", "no known type"),
        ("b", 0): ("ok", None), ("b", 1): ("too_large", "too large"),
    }  # fmt: skip
    assert stand(lake) == right
    assert sorted(served.asked) == ["/1.png?key=secret", "/404", "/huge", "/words.png"]
    assert not any("secret" in row["uri"] for row in lake.read(ATTACHMENTS).to_pylist())

    versions = [lake.snapshot(table).version for table in (REVIEWS, ATTACHMENTS)]
    served.asked.clear()
    bring(lake, records, served.web())
    assert served.asked == ["/404"], "what was not there may be there now"
    assert [lake.snapshot(table).version for table in (REVIEWS, ATTACHMENTS)] == versions

    served.asked.clear()
    for web in (served.web(hosts=frozenset()), None):
        bring(lake, records, web)
        assert stand(lake)["a", 0] == ("ok", None), "what was fetched stays once no host is allowed"
    assert not served.asked

    (lake.storage.root / f"blobs/{(sha := sha_of(lake, 'a'))[:2]}/{sha}").unlink()
    bring(lake, [first | {"updated_at": "2026-03-03"}, records[2]], served.web())
    assert stand(lake)["b", 0] == ("ok", None), "a file that is gone from the lake is fetched again"


def sha_of(lake: Lake, review_id: str) -> str:
    rows = lake.read(ATTACHMENTS).to_pylist()
    return next(str(row["content_sha256"]) for row in rows if (row["review_id"], row["position"]) == (review_id, 0))


def test_a_host_that_is_down_brings_nothing_in_by_halves(lake: Lake, served: Served) -> None:
    with pytest.raises(FetchFailed, match=HOST):
        bring(lake, [of("a", "1.png"), of("b", "500")], served.web(tries=1))
    assert lake.snapshot(REVIEWS).version == -1
    served.busy = 1
    bring(lake, [of("a", "1.png"), review("c")], served.web())
    assert sorted(lake.read(REVIEWS)["review_id"].to_pylist()) == ["a", "c"]


def test_few_files_are_fetched_at_once(lake: Lake, served: Served) -> None:
    bring(lake, [of(f"r{n}", f"slow/{n}", f"slow/{n}b") for n in range(12)], served.web(seconds=5, longest=20))
    assert set(stand(lake).values()) == {("ok", None)}
    assert 1 < served.most <= 4


def test_without_the_setting_a_url_is_only_told(lake: Lake) -> None:
    bring(
        lake, [of("a", "1.png"), review("b", attachments=[{"kind": "image", "uri": "http://example.org/1.png"}])], None
    )
    assert stand(lake) == {("a", 0): ("unsupported", "a URL"), ("b", 0): ("unsupported", "a URL")}


def test_an_edited_review_keeps_the_file_of_a_host_that_is_allowed_no_more(lake: Lake, served: Served) -> None:
    bring(lake, [of("a", "1.png", "gone.png"), of("b", "x?id=1")], served.web())
    before = sha_of(lake, "a")
    for hosts in (frozenset[str](), frozenset({"other.example.ru"})):
        edited = [of("a", "1.png", text=f"edited, {hosts}"), of("b", "x?id=1", text="b")]
        done = bring(lake, edited, served.web(hosts=hosts))
        assert sha_of(lake, "a") == before
        assert stand(lake)["a", 0] == ("ok", None)
        assert done.files_kept >= 1
    assert stand(lake)["b", 0] == ("unsupported", "host not allowed"), "x without its query may be any file"


def test_content_of_a_url_is_not_kept_for_another_query(lake: Lake, served: Served) -> None:
    bring(lake, [of("a", "x?id=1")], served.web())
    assert stand(lake)["a", 0] == ("ok", None)
    done = bring(lake, [of("a", "x?id=2", text="edited")], served.web(hosts=frozenset()))
    assert stand(lake)["a", 0] == ("unsupported", "a URL")
    assert (done.files_kept, done.files_lost) == (0, 1)
