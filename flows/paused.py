"""Runs that somebody has paused in a way that keeps their process, which ours do not wait in.

The buttons of Prefect's pages suspend a run: its process may end, and Resume plans another one. A program that sets the
state PAUSED leaves ``pause_reschedule`` out: Resume then makes the run Running at once, without a process. Read in
Prefect 3.8.8: ``resume_flow_run`` of prefect/server/api/flow_runs.py.
"""

from __future__ import annotations

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun


def stuck(run: FlowRun) -> bool:
    """Whether a run is paused, and Resume would not start it again."""
    paused = run.state is not None and run.state.is_paused() and not run.state.state_details.pause_reschedule
    return paused and run.deployment_id is not None


def let_resume(client: SyncPrefectClient, run: FlowRun) -> None:
    """Keep a run paused as it is, and let Resume start it again."""
    assert run.state is not None
    details = run.state.state_details.model_copy(update={"pause_reschedule": True})
    client.set_flow_run_state(run.id, run.state.model_copy(update={"state_details": details}), force=True)
