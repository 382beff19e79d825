"""A backfill shows its plan, does exactly that, and leaves to the next one just what it could not do."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
)
from prefect.client.schemas.objects import Artifact, State
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.exceptions import CancelledRun, Pause, TerminationSignal
from prefect.flow_engine import run_flow
from prefect.states import Cancelled, Pending, Running, Suspended
from pydantic import ValidationError

import otzyv.flows.backfill
from otzyv.flows.backfill import (
    STRIKES,
    Backfill,
    BackfillIncomplete,
    BackfillReport,
    DayOrder,
    WeightsNotHere,
    backfill,
    backfill_days,
    ended_by,
)
from otzyv.flows.children import CALLED_OFF, TABLES_FAILED, Ended, run_child
from otzyv.flows.features import features
from otzyv.schemas.errors import InvalidInput
from otzyv.schemas.tables import RUNS
from otzyv.tasks.backfill_grid import Shown
from otzyv.tasks.extractors import Card, Run, Weights, get
from otzyv.tasks.extractors.extractor import REGISTERED, Extractor
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.storage import PAGES
from tests.flows.command import command
from tests.tasks.reviews import bring

pytestmark = pytest.mark.usefixtures("prefect_server")
DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(3)]
NAMES = ["sentiment_mini", "text_navec"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.create(tmp_path / "lake")
    bring(made, {day: {f"{day}-{n}": f"отличный курс {n}" for n in range(4)} for day in DAYS})
    return made


def files(lake: Lake) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path(lake.uri).rglob("*") if path.is_file()}


def ask(**fields: object) -> Backfill:
    return Backfill.model_validate({"extractors": NAMES, **fields})


def children() -> int:
    with get_client(sync_client=True) as client:
        return sum(run.name.startswith("backfill days") for run in client.read_flow_runs(limit=200))


def shown(key: str) -> Artifact:
    """What the backfill that showed one last has on its page."""
    with get_client(sync_client=True) as client:
        filters = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        (newest,) = client.read_artifacts(artifact_filter=filters, sort=ArtifactSort.UPDATED_DESC, limit=1)
    return newest


def states(report: BackfillReport) -> dict[str, int]:
    found = [outcome.state for outcome in report.outcomes]
    return {state: found.count(state) for state in found}


def test_a_backfill_does_its_plan_and_the_next_one_has_nothing_to_do(lake: Lake) -> None:
    shown = backfill(lake.uri, ask(dry_run=True, from_day=DAYS[1], to_day=DAYS[2]))
    assert shown.outcomes == ()
    assert lake.releases() == {}
    done = backfill(lake.uri, ask(from_day=DAYS[1], to_day=DAYS[2]))
    assert done.plan.digest == shown.plan.digest
    planned = {(t.table, t.day): (t.computed, t.reused) for day in shown.plan.work for t in day.tables}
    assert {(o.table, o.day): (o.computed, o.reused) for o in done.outcomes} == planned
    assert [day.day for day in done.plan.work] == [DAYS[2], DAYS[1]]
    assert set(lake.releases()) == {DAYS[1], DAYS[2]}
    (page,) = lake.storage.files(PAGES)
    assert f"{DAYS[1]} to {DAYS[2]}" in lake.storage.read(page).decode()

    before, begun = files(lake), children()
    again = backfill(lake.uri, ask(from_day=DAYS[1], to_day=DAYS[2]))
    assert (again.plan.work, again.outcomes) == ((), ())
    assert (files(lake), children()) == (before, begun)


def test_days_side_by_side_make_the_same_lake(lake: Lake) -> None:
    done = backfill(lake.uri, ask(days_at_once=3, order="oldest first"))
    assert states(done) == {"published": 9}
    assert {day: release.sequence for day, release in lake.releases().items()} == dict.fromkeys(DAYS, 1)
    assert len(lake.frame(DAYS, ["text_navec"])) == 12


def test_a_failed_day_stops_no_other_and_the_next_backfill_makes_just_that_one(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = get("text_navec")

    def broken(card: Card, weights: Weights | None) -> Run:
        run = known.load(card, weights)

        def fail_once(texts: list[str]) -> object:
            if any(text.endswith("плохо") for text in texts):
                raise ValueError("no")
            return run(texts)

        return fail_once  # type: ignore[return-value]

    bring(lake, {DAYS[1]: {"x": "совсем плохо"}})
    with monkeypatch.context() as patch:
        patch.setitem(REGISTERED, "text_navec", Extractor(known.card, broken))
        with pytest.raises(BackfillIncomplete, match=r"1 tables failed: text_navec 2026-03-02") as stopped:
            backfill(lake.uri, ask())
    assert states(stopped.value.report) == {"published": 8, "failed": 1}
    with get_client(sync_client=True) as client:
        (child,) = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_="backfill days")),
            sort=FlowRunSort.START_TIME_DESC,
            limit=1,
        )
    assert child.state
    assert (child.state.type.value, child.state.name) == ("FAILED", TABLES_FAILED)
    assert str(child.state.message).startswith("1 tables failed: text_navec 2026-03-02: ")
    assert shown("backfill-progress").data == pytest.approx(200 / 3), "of three days one is not made"
    assert set(lake.releases()) == {DAYS[0], DAYS[2]}
    mended = backfill(lake.uri, ask(what="failed"))
    assert [(o.table, o.day, o.state) for o in mended.outcomes if o.state != "unchanged"] == [
        ("text_navec", DAYS[1], "published")
    ]
    assert set(lake.releases()) == set(DAYS)


def test_a_backfill_loads_each_model_once_for_all_its_days(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    known, loads = get("text_navec"), []

    def noted(card: Card, weights: Weights | None) -> Run:
        loads.append(card.name)
        return known.load(card, weights)

    monkeypatch.setitem(REGISTERED, "text_navec", Extractor(known.card, noted))
    backfill(lake.uri, ask())
    assert loads == ["text_navec"]


@pytest.mark.parametrize("what", [("plan",), ("backfill", "--dry-run")], ids=lambda what: what[0])
def test_days_that_the_lake_has_not_are_named(lake: Lake, what: tuple[str, ...]) -> None:
    bring(lake, {date(2026, 3, 6): {"late": "поздно"}})
    asked = (*what, "--lake", lake.uri, "--extractors", "text_navec", "--from")
    some = command(*asked, "2026-02-27", "--to", "2026-03-07", "--json")
    assert some.exit_code == 0
    said = json.loads(some.stdout)
    planned = said if what == ("plan",) else said["plan"]
    assert [day["day"] for day in planned["days"]] == ["2026-03-06", *map(str, reversed(DAYS))]
    missing = ["2026-02-27", "2026-02-28", "2026-03-04", "2026-03-05", "2026-03-07"]
    assert planned["missing"] == missing
    there = f"in {lake.uri}; it has 2026-03-01 to 2026-03-03, 2026-03-06\n"
    assert some.stderr.endswith(f"no reviews of 2026-02-27 to 2026-02-28, 2026-03-04 to 2026-03-05, 2026-03-07 {there}")
    assert "days have something to do" in command(*asked, "2026-02-28", "--to", "2026-03-01").stdout
    for more in ((), ("--json",), ("--what", "failed")):
        none = command(*asked, "2026-04-01", "--to", "2026-04-30", *more)
        assert (none.exit_code, none.stdout) == (1, "")
        assert none.stderr.endswith(f"Error: no reviews of 2026-04-01 to 2026-04-30 {there}")
    assert "no reviews of" not in command(*asked, "2026-03-01", "--to", "2026-03-03").stderr


@pytest.mark.parametrize("what", [("plan",), ("backfill", "--dry-run")], ids=lambda what: what[0])
def test_weights_that_a_plan_needs_and_that_are_not_here_are_named(
    lake: Lake, what: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "empty"))
    asked = (*what, "--lake", lake.uri, "--extractors", "text_rubert_tiny2,text_navec,image_resnet50")
    said = command(*asked).stderr
    assert "text_rubert_tiny2: its weights are not here. Run `otzyv models pull text_rubert_tiny2`, or put it" in said
    assert "text_navec" not in said, "it comes with a package"
    assert "image_resnet50" not in said, "it has nothing to compute"
    told = json.loads(command(*asked, "--json").stdout)
    assert [*(told if what == ("plan",) else told["plan"])["missing_weights"]] == ["text_rubert_tiny2"]
    if what != ("plan",):
        assert "text_rubert_tiny2: its weights are not here. Run `otzyv models pull" in str(
            shown("backfill-plan").description
        )


def test_a_day_that_a_daily_run_makes_meanwhile_still_gets_its_other_tables(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def child(flow: Flow[..., None], key: str, **parameters: Any) -> Ended:
        if not lake.releases():
            features(lake.uri, DAYS[:1], ["sentiment_mini"])
        return run_child(flow, key, **parameters)

    monkeypatch.setenv("OTZYV_SPAN_SECONDS", "0")
    monkeypatch.setattr(otzyv.flows.backfill, "CHUNK_SECONDS", 1.0)  # a child for each day
    monkeypatch.setattr(otzyv.flows.backfill, "run_child", child)
    backfill(lake.uri, ask())
    assert len(lake.frame(DAYS, ["text_navec"])) == 12


def test_a_child_that_was_called_off_before_it_began_is_no_strike(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def child(flow: Flow[..., Any], key: str, **parameters: Any) -> Ended:
        called.append(key)
        return Ended.CALLED_OFF if len(called) <= 2 * STRIKES else run_child(flow, key, **parameters)

    monkeypatch.setattr(otzyv.flows.backfill, "PAUSE", 0.0)
    monkeypatch.setattr(otzyv.flows.backfill, "run_child", child)
    backfill(lake.uri, ask())
    assert sorted(lake.releases()) == DAYS
    assert called == [str(n) for n in range(2 * STRIKES + 1)]

    called.clear()
    monkeypatch.setattr(otzyv.flows.backfill, "PATIENCE", 2)
    with pytest.raises(BackfillIncomplete, match="daily runs wait for their place, and 2 times in a row"):
        backfill(lake.uri, ask(what="again"))
    assert len(called) == 2


def test_a_grid_that_can_not_be_shown_stops_no_day(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(Shown, "grid", refused)
    backfill(lake.uri, ask())
    assert sorted(lake.releases()) == DAYS


def test_all_again_computes_what_stands(lake: Lake) -> None:
    backfill(lake.uri, ask(days=[DAYS[0]]))
    again = backfill(lake.uri, ask(days=[DAYS[0]], what="again"))
    assert {(o.table, o.computed, o.reused) for o in again.outcomes} == {
        (name, 4, 0) for name in ("clean_text", *NAMES)
    }


@pytest.mark.parametrize(
    ("then", "why"),
    [
        (Cancelled(), "its backfill has ended, or was begun again"),
        (Running(), "its backfill has ended, or was begun again"),
        (Suspended(timeout_seconds=300), "its backfill is paused"),
    ],
    ids=["cancelled", "begun anew", "paused"],
)
def test_a_child_begins_no_day_once_its_backfill_is(lake: Lake, then: State, why: str) -> None:
    with get_client(sync_client=True) as client:
        parent = client.create_flow_run(backfill, parameters={}, state=Running())
        orders = [DayOrder(day=day, extractors=NAMES) for day in DAYS]
        attempt = str(client.read_flow_run(parent.id).state_id)
        backfill_days(lake.uri, orders[:1], parent=str(parent.id), attempt=attempt)
        client.set_flow_run_state(parent.id, then, force=True)
    ended = backfill_days(lake.uri, orders, parent=str(parent.id), attempt=attempt, return_state=True)
    assert (ended.type.value, ended.name, ended.message) == ("CANCELLED", CALLED_OFF, why)
    assert set(lake.releases()) == {DAYS[0]}


def test_a_child_that_leaves_days_to_another_one_does_not_end_well(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [None, "a daily run goes first", "a daily run goes first"]
    monkeypatch.setattr(otzyv.flows.backfill, "called_off", lambda parent, attempt: asked.pop(0))
    orders = [DayOrder(day=day, extractors=NAMES) for day in DAYS]
    ended = backfill_days(lake.uri, orders, return_state=True)
    assert ended.is_cancelled()
    assert (ended.name, ended.message) == (CALLED_OFF, "a daily run goes first; 1 of 3 days were made")


def test_a_backfill_that_is_stopped_tells_what_it_did_and_the_same_run_goes_on_with_what_is_left(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = list[str]()

    def child(flow: Flow[..., Any], key: str, **parameters: Any) -> Ended:
        called.append(key)
        if len(called) == 2:
            raise KeyboardInterrupt
        return run_child(flow, key, **parameters)

    monkeypatch.setenv("OTZYV_SPAN_SECONDS", "0")
    monkeypatch.setattr(otzyv.flows.backfill, "CHUNK_SECONDS", 1.0)  # a child for each day
    monkeypatch.setattr(otzyv.flows.backfill, "run_child", child)
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(backfill, parameters={"lake": lake.uri, "request": ask(what="again")})
        with pytest.raises(KeyboardInterrupt):
            run_flow(backfill, flow_run=run)
        assert shown("backfill-progress").data == pytest.approx(100 / 3)
        told = str(shown("backfill-result").data)
        assert told.startswith(f"**2 days are left**, as it was stopped: {DAYS[0]} to {DAYS[1]}\n")
        assert told.count(f"\n| {DAYS[2]} | ") == told.count("\n| 2026-") == 3
        assert "3 days: 2 planned, 1 done" in str(shown("backfill-grid").data)

        client.set_flow_run_state(run.id, Pending(), force=True)
        run_flow(backfill, flow_run=client.read_flow_run(run.id))
    assert shown("backfill-progress").data == 100
    done = [line.split(" | ")[:2] for line in str(shown("backfill-result").data).splitlines()[2:]]
    assert sorted(done) == sorted([f"| {day}", name] for day in DAYS for name in ("clean_text", *NAMES))
    assert "3 days: 3 done" in str(shown("backfill-grid").data)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Pending(), force=True)
        run_flow(backfill, flow_run=client.read_flow_run(run.id))
    made = [(row["table"], row["day"]) for row in lake.read(RUNS).to_pylist()]
    assert sorted(made) == sorted((name, day) for name in ("clean_text", *NAMES) for day in DAYS), "each once"
    with get_client(sync_client=True) as client:
        shown_last = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["backfill-progress"])),
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
        )
    assert sorted(float(str(one.data)) for one in shown_last) == [pytest.approx(100 / 3), 100, 100], (
        "one for each attempt"
    )


def test_a_backfill_whose_weights_are_not_here_begins_no_day(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "empty"))
    before = children()
    with pytest.raises(WeightsNotHere, match=r"text_rubert_tiny2: its weights are not here\. Run `otzyv"):
        backfill(lake.uri, Backfill(others=["text_rubert_tiny2", "text_navec"]))
    assert (children(), lake.releases()) == (before, {})
    rows = [row for row in json.loads(str(shown("backfill-plan").data)) if row["day"] == str(DAYS[0])]
    assert {row["table"]: row["why"] for row in rows} == {
        "clean_text": "new day",
        "text_rubert_tiny2": "new day, weights not here",
        "text_navec": "new day",
    }
    told = json.loads(
        command("plan", "--lake", lake.uri, "--extractors", "text_rubert_tiny2,text_navec", "--json").stdout
    )
    assert {table["table"] for day in told["days"] for table in day["tables"] if table["missing_weights"]} == {
        "text_rubert_tiny2"
    }


def test_a_plan_with_nothing_to_do_says_so_in_words(lake: Lake) -> None:
    assert shown_words(lake) == "3 of 3 days have something to do"
    backfill(lake.uri, ask())
    assert shown_words(lake) == "nothing to do: 0 of 3 days have something to do, as all stand as they would be made"
    assert "nothing to do: 0 of 0 days" in command("plan", "--lake", lake.uri, "--what", "failed").stdout


def shown_words(lake: Lake) -> str:
    backfill(lake.uri, ask(dry_run=True))
    return str(shown("backfill-plan").description)


def test_the_form_explains_itself_and_refuses_what_does_not_go_together() -> None:
    schema = Backfill.model_json_schema()
    assert all({"title"} <= field.keys() for field in schema["properties"].values())
    assert set(NAMES) <= set(schema["$defs"]["ExtractorName"]["enum"])
    for wrong, why in (
        ({"from_day": DAYS[0]}, "go together"),
        ({"from_day": DAYS[1], "to_day": DAYS[0]}, "comes after"),
        ({"from_day": DAYS[0], "to_day": DAYS[0], "days": DAYS}, "single days"),
    ):
        with pytest.raises(ValidationError, match=why):
            ask(**wrong)


@pytest.mark.parametrize(
    ("stopped", "why"),
    [
        (Pause(), "it was paused"),
        (CancelledRun(), "it was stopped"),
        (TerminationSignal(15), "it was stopped"),
        (KeyboardInterrupt(), "it was stopped"),
        (
            InvalidInput("2026-03-02 comes after 2026-03-01"),
            "it ended with an error: 2026-03-02 comes after 2026-03-01",
        ),
        (ValueError("Иван П.: ужасный курс"), "it ended with an error: ValueError"),
    ],
)
def test_what_ended_a_backfill_is_told_as_what_it_was(stopped: BaseException, why: str) -> None:
    assert ended_by(stopped) == why
