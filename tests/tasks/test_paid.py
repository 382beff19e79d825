"""A day made by a paid API: nothing is paid for twice, nothing beyond the budget, and the run tells what it cost."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from otzyv.schemas.tables import RUNS
from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.budget import spending
from otzyv.tasks.extractors.errors import ExtractorFailed
from otzyv.tasks.extractors.text import embeddings_api
from otzyv.tasks.lake import Lake
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import failed, make
from otzyv.tasks.plan import plan
from otzyv.tasks.record import record
from tests.tasks.extractors.openai_server import DIM, KEY, Embeddings, serving
from tests.tasks.reviews import bring

DAY = date(2026, 3, 1)
TEXTS = {f"r{number}": f"Отзыв номер {number}" for number in range(40)}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Embeddings]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(embeddings_api, "FIRST_DELAY", 0)
    with serving() as running:
        configure(monkeypatch, running)
        yield running


def configure(monkeypatch: pytest.MonkeyPatch, server: Embeddings, **other: Any) -> None:
    said = {"base_url": server.url, "model": "toy", "dimensions": DIM, "price": "2", "budget": "1", **other}
    monkeypatch.setenv("OTZYV_OPENAI", json.dumps(said))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path / "lake")
    bring(made, {DAY: {**TEXTS, "again": "Отзыв номер 1", "none": None}})
    make(made, CLEANING, DAY)
    return made


def journalled(lake: Lake) -> list[str]:
    return lake.storage.files("_journal", recursive=True)


def test_the_run_tells_what_it_cost_and_how_long_answers_took(lake: Lake, server: Embeddings) -> None:
    server.script.extend(["429", "partial"])
    run = make(lake, get("text_openai"), DAY)
    assert run.status == {"ok": 41, "empty": 1}
    assert run.money == pytest.approx(server.tokens * 2 / 1_000_000)
    record.fn(lake.uri, [run])
    (told,) = lake.read(RUNS).to_pylist()
    assert told["money"] == run.money
    assert 0 < told["answer_p50"] <= told["answer_p95"]
    assert not journalled(lake)
    again = make(lake, get("text_openai"), DAY)
    assert (again.state, again.money, again.answer_p50) == ("unchanged", 0, None)


def test_what_a_run_could_not_afford_the_next_one_takes_up(
    lake: Lake, server: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, server, budget="0.0005")
    first = make(lake, get("text_openai"), DAY)
    assert first.status["over_budget"] > 10
    assert first.status["ok"] > 10
    assert first.money <= 0.0005
    asked = set(server.charged)
    configure(monkeypatch, server)
    second = make(lake, get("text_openai"), DAY)
    assert (second.state, second.status) == ("published", {"ok": 41, "empty": 1})
    assert asked < set(server.charged)
    assert set(server.charged.values()) == {1}


def test_a_run_that_fails_tells_what_it_paid_and_the_next_pays_for_the_rest_alone(
    lake: Lake, server: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings_api, "REQUEST_TEXTS", 10)
    server.script.extend(["ok", "ok", "403"])
    with spending():
        with pytest.raises(ExtractorFailed):
            make(lake, get("text_openai"), DAY)
        run = failed("text_openai", DAY, "refused")
    assert run.money == pytest.approx(server.tokens * 2 / 1_000_000)
    assert len(journalled(lake)) == 2
    assert make(lake, get("text_openai"), DAY).status == {"ok": 41, "empty": 1}
    assert set(server.charged.values()) == {1}
    assert not journalled(lake)


def test_answers_of_a_dead_run_that_another_day_needs_too_are_kept_for_it(
    lake: Lake, server: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script.extend(["partial", "403"])
    with pytest.raises(ExtractorFailed):
        make(lake, get("text_openai"), DAY)
    other = DAY + timedelta(days=1)
    (common,) = list(server.charged)[-1:]
    bring(lake, {other: {"x": common}})
    make(lake, CLEANING, other)
    make(lake, get("text_openai"), other)
    assert len(journalled(lake)) == 1
    before = server.charged.total()
    make(lake, get("text_openai"), DAY)
    assert server.charged.total() - before == 20
    assert not journalled(lake)


PROGRAM = """
import sys
from datetime import date
from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.text import embeddings_api
from otzyv.tasks.pipeline.make import make
from otzyv.tasks.lake import Lake
embeddings_api.REQUEST_TEXTS = 5
make(Lake(sys.argv[1]), get("text_openai"), date.fromisoformat(sys.argv[2]))
"""


@pytest.mark.parametrize("answered", [0, 3])
def test_a_run_killed_half_way_pays_twice_for_the_request_under_way_at_most(
    lake: Lake, server: Embeddings, monkeypatch: pytest.MonkeyPatch, answered: int
) -> None:
    server.script.extend([*["ok"] * answered, "hang"])
    with subprocess.Popen([sys.executable, "-c", PROGRAM, lake.uri, str(DAY)], stderr=subprocess.DEVNULL) as victim:
        while len(server.requests) <= answered and victim.poll() is None:
            time.sleep(0.01)
        os.kill(victim.pid, signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL
    assert make(lake, get("text_openai"), DAY).status == {"ok": 41, "empty": 1}
    twice = {text for text, times in server.charged.items() if times > 1}
    assert twice == set(server.requests[answered]["input"])
    assert max(server.charged.values()) == 2


@pytest.fixture
def encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small encoding in the model store, in tiktoken's own form: single bytes and the halves of Cyrillic letters."""
    ranks = [bytes([byte]) for byte in range(256)] + [letter.encode() for letter in "отзывнмер"]
    told = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(ranks))
    path = tmp_path / "models" / "text_openai" / "cl100k_base.tiktoken"
    path.parent.mkdir(parents=True)
    path.write_bytes(told)
    file = replace(embeddings_api.ENCODING.files[0], sha256=hashlib.sha256(told).hexdigest())
    monkeypatch.setattr(embeddings_api, "ENCODING", replace(embeddings_api.ENCODING, files=(file,)))
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "models"))
    return path


def test_where_tokens_can_be_counted_the_plan_tells_the_price_to_the_last_token(
    lake: Lake, server: Embeddings, encoding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, server, model="text-embedding-3-small")
    server.count = lambda text: len(text.encode()) - sum(letter in "отзывнмер" for letter in text)
    monkeypatch.setattr(embeddings_api, "REQUEST_TEXTS", 10)

    def planned() -> float | None:
        return next(t for t in plan.fn(lake.uri, ["text_openai"]).days[0].tables if t.table == "text_openai").money

    whole = planned()
    server.script.extend(["ok", "ok", "403"])
    with spending():
        with pytest.raises(ExtractorFailed):
            make(lake, get("text_openai"), DAY)
        paid = failed("text_openai", DAY, "refused").money
    left = planned()
    assert whole is not None
    assert left is not None
    assert left == pytest.approx(whole - paid)
    configure(monkeypatch, server, model="text-embedding-3-small", budget=str(round(left, 9)))
    run = make(lake, get("text_openai"), DAY)
    assert run.status == {"ok": 41, "empty": 1}  # the budget sufficed to the last token
    assert run.money == pytest.approx(left)
    assert planned() == 0
