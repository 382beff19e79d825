"""The whole command with a paid API: it ends with what was paid, and nobody is shown the key."""

from __future__ import annotations

import json
from datetime import date

import pytest

from otzyv.flows import backfill
from otzyv.flows.children import Ended
from otzyv.flows.daily import daily
from otzyv.schemas.tables import RUNS
from otzyv.tasks.extractors import get
from tests.flows.command import Otzyv, command, review
from tests.tasks.extractors.openai_server import DIM, KEY, Embeddings, serving


def test_a_run_ends_with_what_it_paid_and_shows_the_key_to_nobody(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    otzyv.write("reviews.jsonl", [review("a", "Отлично"), review("b", "Ужасно", "2026-03-02")])
    where = ("--source", otzyv.source, "--lake", otzyv.lake, "--extractors", "text_openai")
    monkeypatch.setenv("COLUMNS", "200")
    with serving() as server:
        pay(monkeypatch, server, budget=16)
        done = command("run", *where)
        pay(monkeypatch, server, budget=200)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
        refused = command("run", *where)
    assert done.exit_code == 0, done.output
    (told,) = (line.split() for line in done.output.splitlines() if "over_budget" in line)
    # One budget for the run of both days: it sufficed for one of them.
    assert told[-3:] == ["1", "over_budget", str(server.tokens)]
    assert sum(run["money"] for run in otzyv.opened().read(RUNS).to_pylist()) == server.tokens
    assert refused.exit_code == 1
    assert "does not know the key in OPENAI_API_KEY" in refused.output
    shown = done.output + refused.output + caplog.text
    kept = b"".join(path.read_bytes() for path in otzyv.lake.rglob("*") if path.is_file())
    for key in (KEY, "sk-another"):
        assert key not in shown
        assert key.encode() not in kept


def pay(monkeypatch: pytest.MonkeyPatch, server: Embeddings, *, budget: int) -> None:
    """Have text_openai ask this server, which takes one unit of money for each token."""
    said = {"base_url": server.url, "model": "toy", "dimensions": DIM, "price": "1000000", "budget": str(budget)}
    monkeypatch.setenv("OTZYV_OPENAI", json.dumps(said))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.mark.parametrize("job", ["daily", "backfill"])
def test_a_budget_is_one_for_all_days_that_a_daily_run_or_a_backfill_makes(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    monkeypatch.setattr(backfill, "CHUNK_SECONDS", 1.0)  # a child for each day
    otzyv.write("reviews.jsonl", [review("a", "Отлично"), review("b", "Ужасно", "2026-03-02")])
    otzyv.run()
    with serving() as server:
        pay(monkeypatch, server, budget=16)
        if job == "daily":
            daily(str(otzyv.lake), date(2026, 3, 2), [backfill.ExtractorName("text_openai")])
        else:
            done = command("backfill", "--lake", otzyv.lake, "--extractors", "text_openai")
            assert done.exit_code == 0, done.output
    made = otzyv.opened().read(get("text_openai").card.table, columns=["status"])["status"].to_pylist()
    assert sorted(made) == ["ok", "over_budget"]


@pytest.mark.parametrize(("spent", "ended"), [(0, ["ok", "over_budget"]), (16, ["over_budget", "over_budget"])])
def test_a_child_of_a_backfill_pays_no_more_than_the_backfill_has_left(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch, spent: float, ended: list[str]
) -> None:
    otzyv.write("reviews.jsonl", [review("a", "Отлично"), review("b", "Ужасно", "2026-03-02")])
    otzyv.run()
    with serving() as server:
        pay(monkeypatch, server, budget=200)
        orders = [backfill.DayOrder(day=date(2026, 3, day), extractors=["text_openai"]) for day in (1, 2)]
        backfill.backfill_days(str(otzyv.lake), orders, budget=16, spent=spent)
    made = otzyv.opened().read(get("text_openai").card.table, columns=["status"])["status"].to_pylist()
    assert sorted(made) == ended


def test_a_budget_where_no_price_is_known_yet_is_begun_with_one_day_that_tells(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = ("2026-03-01", "2026-03-02", "2026-03-03")
    otzyv.write("reviews.jsonl", [review(day, f"{'отличный курс ' * 9}{day}", day) for day in days])
    otzyv.run()
    job = ("backfill", "--lake", otzyv.lake, "--extractors", "text_openai", "--budget")
    with serving() as server:
        pay(monkeypatch, server, budget=10_000)
        none = command(*job, "0")
        assert (none.exit_code, server.tokens) == (1, 0)
        assert "3 days were not begun, as what they ask for would pass the budget of 0" in none.output
        server.count = lambda text: 240
        assert (command(*job, "1").exit_code, server.tokens) == (0, 0), "rows that nothing was paid for tell no price"
        first = command(*job, "400")
        assert (first.exit_code, server.tokens) == (1, 240)
        assert "2 days were not begun, as what they ask for would pass the budget of 400" in first.output
        assert command(*job, "600").exit_code == 0
        assert server.tokens == 720
    made = otzyv.opened().frame(None, ["text_openai"])
    assert list(made["status"]) == ["ok"] * 3


def test_what_a_dead_child_may_have_paid_counts_as_spent(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def dies(*_: object, spent: float, **__: object) -> Ended:
        told.append(spent)
        return Ended.BADLY

    monkeypatch.setattr(backfill, "run_child", dies)
    with serving() as server:
        pay(monkeypatch, server, budget=200)
        otzyv.write("first.jsonl", [review("a", "Отлично")])
        otzyv.run(extractors="text_openai")  # tells what a row costs
        otzyv.write("second.jsonl", [review("b", "Ужасно", "2026-03-02")])
        otzyv.run()
        request = backfill.Backfill(extractors=[backfill.ExtractorName("text_openai")])
        with pytest.raises(backfill.BackfillIncomplete) as left:
            backfill.backfill(str(otzyv.lake), request)
    money = left.value.report.plan.money
    assert money
    assert told == [0, money, 2 * money]
