"""What ``otzyv serve`` deploys, and what it brings up to date where an earlier version has deployed."""

from __future__ import annotations

from pathlib import Path

from prefect.automations import AutomationCore
from prefect.client.orchestration import get_client
from prefect.events.actions import DoNothing
from prefect.events.schemas.automations import EventTrigger, Posture

from otzyv.flows.serving.deployments import FORMER_AUTOMATION, deploy
from otzyv.flows.settings import Settings
from otzyv.tasks.lake import Lake


def test_the_automation_that_took_slow_starts_for_dead_runs_is_removed(prefect_server: None, tmp_path: Path) -> None:
    trigger = EventTrigger(expect={"prefect.flow-run.heartbeat"}, posture=Posture.Reactive, threshold=1)
    with get_client(sync_client=True) as client:
        client.create_automation(AutomationCore(name=FORMER_AUTOMATION, trigger=trigger, actions=[DoNothing()]))
        deploy(Lake.create(tmp_path).uri, Settings(cron="0 0 1 1 *"))
        assert not client.read_automations_by_name(FORMER_AUTOMATION)
