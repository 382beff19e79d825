"""What ``otzyv serve`` deploys, and what it brings up to date where an earlier version has deployed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prefect.automations import AutomationCore
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events.actions import DoNothing
from prefect.events.schemas.automations import EventTrigger, Posture

from otzyv.flows.server.pools import WORKER, this_machine
from otzyv.flows.serving import deployments, serve
from otzyv.flows.serving.alarm import Alarm
from otzyv.flows.serving.deployments import BACKFILL, FORMER_AUTOMATION, deploy, missing, remove_former
from otzyv.flows.serving.lead import Served, await_other_machines, sign_off
from otzyv.flows.serving.names import names
from otzyv.flows.settings import Settings
from otzyv.tasks.lake import Lake


def test_the_automation_that_took_slow_starts_for_dead_runs_is_removed(prefect_server: None, tmp_path: Path) -> None:
    trigger = EventTrigger(expect={"prefect.flow-run.heartbeat"}, posture=Posture.Reactive, threshold=1)
    with get_client(sync_client=True) as client:
        client.create_automation(AutomationCore(name=FORMER_AUTOMATION, trigger=trigger, actions=[DoNothing()]))
        deploy(Lake.create(tmp_path).uri, Settings(cron="0 0 1 1 *"))
        assert not client.read_automations_by_name(FORMER_AUTOMATION)


def test_what_learns_for_hours_takes_no_place_of_a_daily_run_and_goes_one_at_a_time(
    prefect_server: None, tmp_path: Path
) -> None:
    lake = Lake.create(tmp_path).uri
    for _ in range(2):
        deploy(lake, Settings(cron=YEARLY))
    with get_client(sync_client=True) as client:
        places = {}
        for name in ("daily/features", "fit/fit", "adapt/adapt"):
            found = client.read_deployment_by_name(names(lake).deployment(name))
            places[name] = found.work_pool_name, found.work_queue_name
        assert places["fit/fit"] == places["adapt/adapt"] != places["daily/features"]
        assert places["fit/fit"][0] != places["daily/features"][0]
        queue = client.read_work_queue_by_name(str(places["fit/fit"][1]), work_pool_name=places["fit/fit"][0])
        assert queue.concurrency_limit == 1
        assert client.read_work_pool(str(places["fit/fit"][0])).concurrency_limit is None


def test_a_deployment_that_an_earlier_version_had_in_another_pool_is_made_anew_and_keeps_what_was_set(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, one = Lake.create(tmp_path).uri, deployments._deployment

    def of_earlier(*given: Any, **named: Any) -> RunnerDeployment:
        ours, flow, name, *_ = given
        return (
            one(ours, flow, name, ours.days, BACKFILL, *given[5:], **named) if name == "fit" else one(*given, **named)
        )

    with monkeypatch.context() as earlier:
        earlier.setattr(deployments, "_deployment", of_earlier)
        deploy(lake, Settings(cron=YEARLY))
    with get_client(sync_client=True) as client:
        name = names(lake).deployment("fit/fit")
        former = client.read_deployment_by_name(name)
        client.update_deployment(former.id, DeploymentUpdate(paused=True))
        deploy(lake, Settings(cron=YEARLY))
        now = client.read_deployment_by_name(name)
        assert (former.work_pool_name, now.work_pool_name) == names(lake).pools
        assert now.paused
        assert now.id != former.id, "a change of its pool is one that the guard refuses"


YEARLY = "0 0 1 1 *"


def daily(client: SyncPrefectClient, lake: str) -> DeploymentResponse:
    return client.read_deployment_by_name(names(lake).deployment("daily/features"))


def crons(deployment: DeploymentResponse) -> list[tuple[str, bool]]:
    return [
        (each.schedule.cron, each.active) for each in deployment.schedules if isinstance(each.schedule, CronSchedule)
    ]


def test_what_an_operator_has_set_lasts_and_is_told_and_the_settings_change_the_rest(
    prefect_server: None, tmp_path: Path
) -> None:
    lake = Lake.create(tmp_path).uri
    pool = names(lake).days
    with get_client(sync_client=True) as client:
        first = deploy(lake, Settings(cron=YEARLY, catch_up=5, slots=1))
        assert (first.differ, first.scheduled) == ((), True)
        assert deploy(lake, Settings(cron="0 1 1 1 *", catch_up=5, slots=2)).differ == (), "nobody has set anything"
        found = daily(client, lake)
        assert crons(found) == [("0 1 1 1 *", True)]
        assert client.read_work_pool(pool).concurrency_limit == 2

        client.update_deployment_schedule(found.id, found.schedules[0].id, schedule=CronSchedule(cron="0 2 1 1 *"))
        parameters = found.parameters | {"catch_up": 30, "extractors": ["sentiment_mini"]}
        client.update_deployment(found.id, DeploymentUpdate(parameters=parameters, paused=True))
        client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=7))
        for _ in range(2):  # it lasts over every start
            again = deploy(lake, Settings(cron="0 1 1 1 *", catch_up=6, slots=2))
            found = daily(client, lake)
            assert crons(found) == [("0 2 1 1 *", True)]
            assert found.parameters == parameters
            assert found.paused
            assert client.read_work_pool(pool).concurrency_limit == 7
            assert not again.scheduled
            assert [line.partition(": ")[2] for line in again.differ] == [
                "slots is 7 in Prefect, 2 in the settings",
                "schedules is 0 2 1 1 * (UTC) in Prefect, 0 1 1 1 * (UTC) in the settings",
                "parameter catch_up is 30 in Prefect, 6 in the settings",
            ]

        client.update_deployment_schedule(found.id, found.schedules[0].id, active=False)
        assert "schedules is 0 2 1 1 * (UTC), switched off in Prefect" in deploy(lake, Settings(cron=YEARLY)).differ[1]

        reset = deploy(lake, Settings(cron=YEARLY), reset=True)
        assert (reset.differ, reset.scheduled) == ((), True)
        found = daily(client, lake)
        assert (crons(found), found.paused, found.parameters["catch_up"]) == ([(YEARLY, True)], False, 7)
        assert client.read_work_pool(pool).concurrency_limit == 1
        assert deploy(lake, Settings(cron="0 1 1 1 *")).differ == ()
        assert crons(daily(client, lake)) == [("0 1 1 1 *", True)]


def test_a_deployment_or_a_pool_that_was_deleted_is_made_again_and_told(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert serve.DEPLOYMENTS_SECONDS < 60
    monkeypatch.setattr(serve, "DEPLOYMENTS_SECONDS", 0.05)
    lake, settings, told = Lake.create(tmp_path).uri, Settings(cron=YEARLY), list[str]()
    made = deploy(lake, settings)
    with get_client(sync_client=True) as client:
        assert not missing(lake, made.ids)
        gone = names(lake).deployment("daily/features")
        client.delete_deployment(client.read_deployment_by_name(gone).id)
        assert missing(lake, made.ids) == [gone]

        async def looked() -> None:
            alarm = Alarm(lake, made.ids, told.append)
            task = asyncio.create_task(serve._look_for_deployments(lake, settings, made.ids, alarm, told.append))
            while len(told) < 2:
                await asyncio.sleep(0.05)
            task.cancel()

        asyncio.run(looked())
        assert told == [
            f"deployment {gone} was deleted and is made again: to stop its runs, pause it",
            f"alert: deployment gone: {gone}: it was deleted, and is made again",
        ]
        again = deploy(lake, settings)
        client.delete_work_pool(names(lake).days)
        assert gone in missing(lake, again.ids)
        assert not missing(lake, deploy(lake, settings).ids)


def test_deployments_of_earlier_versions_are_removed_if_they_are_of_the_lake(
    prefect_server: None, tmp_path: Path
) -> None:
    lake, other = (Lake.create(tmp_path / name).uri for name in ("lake", "other"))
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("daily")
        client.create_deployment(flow, "features", parameters={"lake": lake})
        assert list(remove_former(other)) == []
        assert list(remove_former(lake)) == ["daily/features"]
        assert list(remove_former(lake)) == []


def test_a_lake_that_another_machine_serves_by_the_same_prefect_is_left_to_it(
    prefect_server: None, tmp_path: Path
) -> None:
    lake, here, said = Lake.create(tmp_path).uri, this_machine(), list[str]()
    await_other_machines(lake, here, said.append, wait=False)  # nothing is there yet
    pool = names(lake).days
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        for worker in (here, "ProcessWorker of somebody"):
            client.send_worker_heartbeat(pool, worker, 30)
        await_other_machines(lake, here, said.append, wait=False)
        client.send_worker_heartbeat(pool, f"{WORKER}elsewhere 0", 30)
        with pytest.raises(Served, match="on another machine"):
            await_other_machines(lake, here, said.append, wait=False)
        for _ in range(2):  # where there is none, as well
            sign_off(lake, here)
            there = {worker.name for worker in client.read_workers_for_work_pool(pool)}
            assert there == {"ProcessWorker of somebody", f"{WORKER}elsewhere 0"}
    assert said == []
