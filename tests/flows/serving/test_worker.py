"""Whatever an operator does with a run at whatever moment of its start, its worker goes on, as do its other runs."""

from __future__ import annotations

import asyncio
from abc import ABC
from collections.abc import Callable
from typing import Any, Self
from uuid import UUID, uuid4

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient, SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Cancelling, Completed, Paused, Scheduled
from prefect.workers.process import ProcessJobConfiguration, ProcessWorkerResult

from otzyv.flows.serving.worker import Job, Worker

ACTS: dict[str, Callable[[SyncPrefectClient, UUID], Any]] = {
    "paused": lambda client, run: client.set_flow_run_state(run, Paused(timeout_seconds=3600), force=True),
    "cancelled": lambda client, run: client.set_flow_run_state(run, Cancelled(), force=True),
    "cancelling": lambda client, run: client.set_flow_run_state(run, Cancelling(), force=True),
    "ended": lambda client, run: client.set_flow_run_state(run, Completed(), force=True),
    "begun again": lambda client, run: client.set_flow_run_state(run, Scheduled(), force=True),
    "deleted": lambda client, run: client.delete_flow_run(run),
}


@flow(name="maintain")
def nothing(lake: str) -> None:
    """Is never run."""


def planned() -> tuple[str, UUID]:
    """A pool of its own, and a run that is planned in it."""
    pool = f"of {uuid4()}"
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template={}))
        deployment = client.create_deployment(client.create_flow(nothing), pool, work_pool_name=pool)
        return pool, client.create_flow_run_from_deployment(deployment, parameters={"lake": "a"}).id


@pytest.mark.parametrize("moment", ["before it is taken", "before it has a process", "as its process can't be started"])
@pytest.mark.parametrize("act", ACTS)
def test_a_worker_outlives_what_is_done_with_a_run(prefect_server: None, act: str, moment: str) -> None:
    at: list[str] = []

    def now(this: str, run: UUID) -> None:
        at.append(this)
        if this == moment:
            with get_client(sync_client=True) as client:
                ACTS[act](client, run)

    class Watched(Job):
        @classmethod
        async def resolve_for_flow_run(cls, flow_run: FlowRun, **given: Any) -> Self:
            await asyncio.to_thread(now, "before it has a process", flow_run.id)
            return await super().resolve_for_flow_run(flow_run, **given)

    class Acting(Worker, ABC):
        job_configuration = Watched

        async def _propose_pending_state(self, flow_run: FlowRun) -> bool:
            await asyncio.to_thread(now, "before it is taken", flow_run.id)
            return await super()._propose_pending_state(flow_run)

        async def run(
            self, flow_run: FlowRun, configuration: ProcessJobConfiguration, task_status: Any = None
        ) -> ProcessWorkerResult:
            await asyncio.to_thread(now, "as its process can't be started", flow_run.id)
            raise OSError("no process can be started")

    pool, run = planned()

    async def work() -> None:
        async with Acting(pool, name="of a test") as worker:
            await worker.sync_with_backend()
            assert [each.id for each in await worker.get_and_submit_flow_runs()] == [run]
            while worker._submitting_flow_run_ids:
                await asyncio.sleep(0.05)

    asyncio.run(work())
    assert moment in at


@pytest.mark.parametrize("failing", range(8))
@pytest.mark.parametrize("how", [httpx.ReadTimeout("no answer"), ValueError("nonsense for an answer")])
def test_a_worker_outlives_any_answer_that_fails(
    prefect_server: None, how: Exception, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    class Watched(Worker, ABC):
        begun = False

        async def _submit_run(self, flow_run: FlowRun) -> None:
            self.begun = True
            await super()._submit_run(flow_run)

        async def run(
            self, flow_run: FlowRun, configuration: ProcessJobConfiguration, task_status: Any = None
        ) -> ProcessWorkerResult:
            task_status.started(1)
            return ProcessWorkerResult(status_code=0, identifier="1")

    worker: Watched
    whole = PrefectClient.request

    async def request(self: PrefectClient, method: Any, path: Any, *given: Any, **named: Any) -> httpx.Response:
        if self is worker._client and worker.begun:
            asked.append(f"{method} {path}")
            if len(asked) == failing + 1:
                raise how
        return await whole(self, method, path, *given, **named)

    monkeypatch.setattr(PrefectClient, "request", request)
    pool, run = planned()

    async def work() -> None:
        nonlocal worker
        worker = Watched(pool, name="of a test", limit=1)
        async with worker:
            await worker.sync_with_backend()
            await worker.get_and_submit_flow_runs()
            while worker._submitting_flow_run_ids:
                await asyncio.sleep(0.05)
            assert worker._limiter is not None
            while worker._limiter.borrowed_tokens:
                await asyncio.sleep(0.05)

    asyncio.run(work())
    assert len(asked) > failing or failing > 4, f"{run}: {asked}"
