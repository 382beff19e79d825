"""Workers that run the flows of this project and nothing else, whatever Prefect's API was told.

Prefect 3.8.8 lets whoever reaches its API say what a run executes: a ``command`` or an environment among job variables,
a deployment's entrypoint and pull steps, the template of a work pool. Read there: ``ProcessWorker.run`` of
prefect/workers/process.py, of which ``Worker.run`` keeps the parts of a given command; ``EngineCommandStarter`` of
prefect/runner/_starter_engine.py, which hands a run's process the entrypoint; and ``load_flow`` of
prefect/flow_engine.py, which then asks the API for none.
"""

from __future__ import annotations

from abc import ABC
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect.exceptions import Pause
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.runner._starter_engine import EngineCommandStarter
from prefect.utilities.schema_tools import validate
from prefect.workers.base import BaseWorkerResult
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from otzyv.flows.refused import Refused
from otzyv.flows.run_log import sentences_only
from otzyv.flows.serving.deployments import FLOWS, job_template

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

sentences_only()


class Job(ProcessJobConfiguration):
    """How a run's process is started: by this project's template, not by the one that the API has."""

    @classmethod
    async def from_template_and_values(
        cls, base_job_template: dict[str, Any], values: dict[str, Any], client: PrefectClient | None = None
    ) -> Self:
        ours = job_template(Path.cwd())
        if wrong := validate(values, ours["variables"], preprocess=False):
            raise Refused(f"job variables: {wrong[0].message}")
        return await super().from_template_and_values(base_job_template=ours, values=values, client=client)


class Worker(ProcessWorker, ABC):  # an abstract class does not take the place of Prefect's own in its registry
    """A process worker whose runs are this project's flows, chosen by the name of the run's flow."""

    job_configuration = Job

    async def _propose_pending_state(self, flow_run: FlowRun) -> bool:
        """Whether the run may start. Prefect's own lets a pause of the run end the worker, and all its runs with it."""
        try:
            return await super()._propose_pending_state(flow_run)
        except Pause:
            return False

    async def _submit_run(self, flow_run: FlowRun) -> None:
        """As Prefect's own, in which one answer that fails ends the worker. A later look takes the run again."""
        try:
            await super()._submit_run(flow_run)
        except Exception:
            self._logger.exception("The flow run '%s' was not started, and is tried again.", flow_run.id)
            self._release_limit_slot(flow_run.id)
            self._submitting_flow_run_ids.discard(flow_run.id)
            if self._cancelling_observer is not None:
                self._cancelling_observer.remove_in_flight_flow_run_id(flow_run.id)

    async def _submit_run_and_capture_errors(
        self, flow_run: FlowRun, task_status: anyio.abc.TaskStatus[int | Exception] | None = None
    ) -> BaseWorkerResult | Exception:
        """As Prefect's own, which lets some errors end the worker, and a pause: a paused run gets no process."""
        try:
            return await super()._submit_run_and_capture_errors(flow_run, task_status)
        except BaseException as error:
            if _only_paused(error):
                told: Exception = RuntimeError("it is paused")
            elif isinstance(error, Exception):
                self._logger.exception("What became of the flow run '%s' could not be told.", flow_run.id)
                told = error
            else:
                raise
            if task_status is not None:
                with suppress(RuntimeError):  # it was told already
                    task_status.started(told)
            return told

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        with suppress(httpx.HTTPError):  # they are for looking at: no reason to call the run crashed
            await super()._give_worker_labels_to_flow_run(flow_run_id)

    async def _cancel_run(self, flow_run_id: UUID) -> None:
        try:
            await super()._cancel_run(flow_run_id)
        except Exception:
            self._logger.exception("The flow run '%s' was not cancelled before it began.", flow_run_id)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        entrypoint = entrypoint_of((await self.client.read_flow(flow_run.flow_id)).name)

        async def resolve(_: FlowRun) -> Flow[Any, Any]:  # for hooks, in this process
            return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)

        ended: FlowRunExecutionResult | None = None
        async with FlowRunExecutorContext() as context:
            starter = EngineCommandStarter(
                entrypoint=entrypoint,
                cwd=configuration.working_dir,
                env=configuration.env,
                stream_output=configuration.stream_output,
                control_channel=context.control_channel,
                isolate_process_group=True,  # Ctrl-C in a terminal is for `serve` alone, which ends its runs itself
            )
            executor = context.create_executor(flow_run, starter, resolve, propose_submitting=False)

            async def execute(*, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED) -> None:
                nonlocal ended
                ended = await executor.submit(task_status=task_status)

            async with anyio.create_task_group() as group:
                handle = await group.start(execute)
                if task_status is not None:
                    task_status.started(handle.pid)
        if ended is None or ended.status_code is None:
            raise RuntimeError("the run's process did not start")
        return ProcessWorkerResult(status_code=ended.status_code, identifier=str(ended.handle.pid))


def _only_paused(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_only_paused, error.exceptions))
    return isinstance(error, Pause)


def entrypoint_of(flow: str) -> str:
    """The module and function of a flow of ours. Raises Refused."""
    if flow not in FLOWS:
        raise Refused(f"this worker runs otzyv's flows alone: {', '.join(FLOWS)}")
    return FLOWS[flow]
