"""text_openai: what it asks an API for, what it may cost, and what becomes of an API that fails."""

from __future__ import annotations

import inspect
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import count, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiktoken_ext import openai_public  # type: ignore[import-untyped]

from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.budget import charged, spending
from otzyv.tasks.extractors.contract.contents import contents
from otzyv.tasks.extractors.errors import ExtractorFailed, Unavailable
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.extractors.settings import WrongSettings, extractor_settings
from otzyv.tasks.extractors.text import embeddings_api
from tests.tasks.extractors.openai_server import DIM, KEY, Embeddings, serving, vector

Configure = Callable[..., None]


class Clock:
    """Time that passes by sleeping alone, and begins an hour after the one before: no host need be spared any more."""

    perf_counter, time = staticmethod(time.perf_counter), staticmethod(time.time)
    begins = count(10**9, 3600)

    def __init__(self) -> None:
        self.now = float(next(self.begins))
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(embeddings_api, "time", made)
    return made


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Embeddings]:
    with serving() as running:
        yield running


@pytest.fixture
def server(shared_server: Embeddings) -> Embeddings:
    shared_server.__dict__.update({**Embeddings().__dict__, "url": shared_server.url})
    return shared_server


@pytest.fixture
def configure(server: Embeddings, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Settings for the server, with a price and a budget that suffices unless told otherwise."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def configure(**other: Any) -> None:
        said = {"base_url": server.url, "model": "toy", "dimensions": DIM, "price": "1", "budget": "1000", **other}
        monkeypatch.setenv("OTZYV_OPENAI", json.dumps(said))

    configure()
    return configure


def rows(texts: Sequence[str]) -> pa.Table:
    return pa.Table.from_batches(list(extract(get("text_openai"), None, contents(texts))))


def test_each_distinct_text_is_asked_for_once_in_batches(configure: Configure, server: Embeddings) -> None:
    texts = [f"отзыв {number % 300}" for number in range(600)]
    run = embeddings_api.text_openai(get("text_openai").card, None)
    found = run(texts)
    assert isinstance(found, pa.RecordBatch)
    np.testing.assert_array_equal(found["embedding"].to_pylist(), [vector(text) for text in texts])
    assert set(server.charged.values()) == {1}
    assert [len(request["input"]) for request in server.requests] == [128, 128, 44]
    assert {(request["model"], request["dimensions"]) for request in server.requests} == {("toy", DIM)}


def test_models_of_one_length_are_not_asked_for_it(configure: Configure, server: Embeddings) -> None:
    configure(ask_dimensions=False)
    assert rows(["отлично"])["status"].to_pylist() == ["ok"]
    assert "dimensions" not in server.requests[0]


@pytest.mark.parametrize("ways", [
    ["429"], ["429", "429 3"], ["500", "502", "503"], ["hang"], ["cut"], ["partial"], ["nonsense"],
    ["cut", "429 1", "500", "partial"],
], ids=" ".join)  # fmt: skip
def test_an_api_that_fails_in_passing_changes_no_row(configure: Configure, server: Embeddings, ways: list[str]) -> None:
    configure(timeout=0.3)
    texts = ["отлично", "ужасно", "так себе"]
    server.script.extend(ways)
    found = rows(texts)
    assert found["status"].to_pylist() == ["ok"] * 3
    np.testing.assert_array_equal(found["embedding"].to_pylist(), [vector(text) for text in texts])
    assert not server.script


def test_it_waits_as_long_as_it_is_asked_and_longer_each_time_else(
    configure: Configure, server: Embeddings, clock: Clock
) -> None:
    server.script.extend(["429 7", "500", "500", "500"])
    rows(["отлично"])
    asked, *own = clock.slept
    assert asked == 7
    assert all(later > before for before, later in pairwise(own))


def test_an_api_that_stays_away_can_be_tried_again_later(configure: Configure, server: Embeddings) -> None:
    server.script.extend(["503"] * embeddings_api.TRIES)
    with pytest.raises(Unavailable, match="status 503, 6 times in a row"):
        rows(["отлично"])
    server.script.append("429 3600")
    with pytest.raises(Unavailable, match="asks to wait 3,600 s"):
        rows(["отлично"])


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("403", "may not do this"),
        ("404", "no model 'toy'"),
        ("400", "ask_dimensions"),
        ("429 insufficient_quota", "no money left"),
        ("wrong_dimension", "vectors of 9 numbers; the settings say dimensions = 8"),
        ("overcharge", "with it no budget can be kept"),
    ],
)
def test_a_refusal_is_told_once_and_quotes_nothing(
    configure: Configure, server: Embeddings, way: str, said: str
) -> None:
    server.script.append(way)
    with pytest.raises(ExtractorFailed, match=said) as refused:
        rows(["секретный отзыв"])
    assert len(server.requests) == 1
    shown = f"{refused.value!r} {refused.value.__cause__!r}"
    assert KEY not in shown
    assert "секретный" not in shown


def test_the_key_is_in_no_log_and_a_wrong_one_in_no_error(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        rows(["отлично"])
        monkeypatch.setenv("OPENAI_API_KEY", "sk-another-secret")
        with pytest.raises(ExtractorFailed, match="it does not know the key in OPENAI_API_KEY") as refused:
            rows(["ужасно"])
    assert KEY not in caplog.text
    assert "secret" not in f"{caplog.text} {refused.value}"
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(embeddings_api.MissingKey, match="OPENAI_API_KEY"):
        rows(["ужасно"])


def test_requests_are_spread_over_the_minute(configure: Configure, clock: Clock) -> None:
    configure(requests_per_minute=30)
    rows([f"отзыв {number}" for number in range(400)])
    assert clock.slept == [0, 2, 2, 2]


texts = st.lists(st.text("абв ", min_size=1, max_size=40).filter(str.strip), min_size=1, max_size=60, unique=True)
ways = st.lists(st.sampled_from(["ok", "429", "500", "cut", "partial", "ok"]), max_size=8)
money = st.decimals("0.0001", "50", places=4)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=texts, ways=ways, price=money, share=st.integers(0, 12), largest=st.integers(1, 20), tight=st.booleans())
def test_no_budget_is_ever_passed(
    configure: Configure,
    server: Embeddings,
    monkeypatch: pytest.MonkeyPatch,
    texts: list[str],
    ways: list[str],
    price: Decimal,
    share: int,
    largest: int,
    tight: bool,
) -> None:
    """Whatever it costs and however the API fails; failed requests are charged, as the worst of APIs would."""
    server.__dict__.update({**Embeddings().__dict__, "url": server.url, "script": type(server.script)(ways)})
    monkeypatch.setattr(embeddings_api, "REQUEST_TEXTS", largest)
    monkeypatch.setattr(embeddings_api, "TRIES", 9)
    if tight:
        server.count = lambda text: len(text.encode()) + embeddings_api.MARKS
    tokens = sum(len(text.encode()) + embeddings_api.MARKS for text in texts) * share // 8
    budget = price * tokens / 1_000_000
    configure(price=str(price), budget=str(budget))
    with spending(), charged("a table") as account:
        found = rows(texts)
    assert server.tokens * price / 1_000_000 <= budget
    assert account.money <= server.tokens * price / 1_000_000
    statuses = found["status"].to_pylist()
    assert set(statuses) <= {"ok", "over_budget"}
    assert {text for text, status in zip(texts, statuses, strict=True) if status == "ok"} <= set(server.charged)
    if not ways:
        assert account.money == server.tokens * price / 1_000_000
        left = budget - account.money
        dearest = [
            price * (len(text.encode()) + 2) / 1_000_000 for text, s in zip(texts, statuses, strict=True) if s != "ok"
        ]
        assert all(left < cost for cost in dearest)  # nothing is left over that the rest would have paid for


def test_one_budget_counts_for_all_that_a_run_makes(configure: Configure, server: Embeddings) -> None:
    server.count = lambda text: len(text.encode()) + embeddings_api.MARKS
    configure(price="1000000", budget="40")
    with spending():
        for name in ("monday", "tuesday"):
            with charged(name):
                statuses = [*rows([f"{name} а", f"{name} б"])["status"].to_pylist()]
    assert statuses == ["ok", "over_budget"]
    assert server.tokens <= 40


def test_a_text_too_long_for_the_model_harms_no_other(
    configure: Configure, server: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its bytes it may be too long, so it goes alone; what the API refuses is not charged."""
    configure(max_tokens=50)
    server.script.extend(["ok", "400"])
    found = rows(["short in bytes, longer in letters", "длиннее всех в байтах отзыв", "короткий"])
    assert found["status"].to_pylist() == ["ok", "too_large", "ok"]
    assert [len(request["input"]) for request in server.requests] == [1, 1, 1]


def test_what_decides_the_vectors_decides_the_fingerprint(configure: Configure) -> None:
    def fingerprint(**other: Any) -> str:
        configure(**other)
        return get("text_openai").card.fingerprint()

    first = fingerprint()
    assert first == fingerprint(price="7", budget="0", requests_per_minute=5, timeout=1)
    others: list[dict[str, Any]] = [{"base_url": "https://api.example.org/v1"}, {"model": "other"}, {"dimensions": 9}]
    assert len({first, *(fingerprint(**other) for other in others)}) == 4


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"base_url": "http://api.example.org/v1"}, "https://"),
        ({"base_url": "https://me:secret@api.example.org/v1"}, "OPENAI_API_KEY"),
        ({"base_url": "https://api.example.org:x/v1"}, "no address"),
        ({"budget": "-1"}, "greater than or equal to 0"),
        ({"api_key": "secret"}, "no setting 'openai.api_key'; there are: base_url, model, "),
        ({"max_token": 9}, "no setting 'openai.max_token'; is max_tokens meant?"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(configure: Configure, other: dict[str, Any], said: str) -> None:
    configure(**other)
    with pytest.raises(WrongSettings, match=said) as refused:
        extractor_settings()
    assert "secret" not in str(refused.value)


def test_the_encoding_is_the_one_that_tiktoken_knows_by_that_name() -> None:
    told = inspect.getsource(openai_public.cl100k_base)
    (file,) = embeddings_api.ENCODING.files
    assert all(fact in told for fact in (file.sha256, str(file.url), embeddings_api._PATTERN))


def test_without_a_price_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTZYV_OPENAI", raising=False)
    monkeypatch.delenv("OTZYV_SETTINGS", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(WrongSettings, match=r"lack \[openai\]; say at least price"):
        rows(["отлично"])
