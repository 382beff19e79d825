"""Read this first: how days of reviews become released feature tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from prefect import State, flow, get_run_logger, runtime

from otzyv.flows.settings import load
from otzyv.schemas.errors import WorkFailed
from otzyv.tasks.artifact import artifact
from otzyv.tasks.extractors.budget import spending
from otzyv.tasks.extractors.registry import in_order
from otzyv.tasks.features import TablesFailed, clean_text
from otzyv.tasks.features import features as extract
from otzyv.tasks.lineage import lineage
from otzyv.tasks.pipeline.make import TableRun, failed
from otzyv.tasks.pipeline.spans import spans
from otzyv.tasks.record import record
from otzyv.tasks.release import Verdict, release
from otzyv.tasks.unvisited import unvisited

ATTEMPTS = 3
"""How often a day is made while its reviews keep changing."""


@dataclass(frozen=True, slots=True)
class DayReport:
    """One day: how each of its tables ended, and whether readers see it."""

    day: date
    tables: tuple[TableRun, ...]
    verdict: Verdict


class DaysFailed(WorkFailed):
    """Some tables of some days could not be made; the reports, of all the days, tell how each ended."""

    def __init__(self, reports: Sequence[DayReport]) -> None:
        self.reports = tuple(reports)
        runs = [run for report in reports for run in report.tables if run.state == "failed"]
        super().__init__("; ".join(f"{run.table} {run.day}: {run.error}" for run in runs))


@flow(
    name="features",
    flow_run_name=lambda: f"features {spans(sorted(runtime.flow_run.parameters['days']))}",
    validate_parameters=False,
)
def features(
    lake: str, days: Sequence[date], extractors: Sequence[str], *, again: bool = False
) -> tuple[DayReport, ...]:
    """Make every table of a span of days in one pass, then release the days.

    1. Texts are cleaned; all text extractors read ``clean_text``.
    2. Each extractor computes what is new or changed on any of the days, is checked, and publishes its table's days by
       one commit; one that reads another's table comes after it.
    3. Attempts and measured figures are recorded, unless nothing changed.
    4. Of every day whose tables all stand, one row releases it, or holds it where its figures are beyond the settings'
       limits (``verdict``); else readers keep the day as it was, unless the settings let them see it without the
       tables that failed (``partial``). Days whose reviews changed after they were read are made once more of those.
    5. With the setting ``lineage`` others are told what was made.

    ``again``: what stands is computed as well. An extractor or a day that fails does not stop the others: DaysFailed is
    raised at the end, and says which failed.
    """
    settings = load()
    runs: dict[date, dict[str, TableRun]] = {day: {} for day in days}
    verdicts: dict[date, Verdict] = {}
    left = list(days)
    with spending():
        for attempt in range(ATTEMPTS):
            made = _made(lake, left, in_order(extractors), again=again and not attempt)
            for run in made:
                if run.state != "unchanged" or run.table not in runs[run.day]:
                    runs[run.day][run.table] = run
            record(lake, unvisited(made))
            verdicts |= release(lake, left, unvisited(made), settings.verdict, partial=settings.partial)
            if settings.lineage:  # after that: a slow receiver keeps no day from its readers
                lineage(lake, unvisited(made))
            left = [day for day in left if verdicts[day] == "superseded"]
            if not left:
                break
            get_run_logger().warning("reviews of %s came in while its tables were made of those before", spans(left))
    reports = tuple(DayReport(day, tuple(runs[day].values()), verdicts[day]) for day in days)
    tables = [run for report in reports for run in report.tables]
    artifact(unvisited(tables), lake)
    if any(run.state == "failed" for run in tables):
        raise DaysFailed(reports)
    return reports


def _made(lake: str, days: Sequence[date], extractors: Sequence[str], *, again: bool) -> list[TableRun]:
    cleaning = clean_text(lake, days, again=again, return_state=True)
    made = {name: extract(lake, name, days, again=again, return_state=True) for name in extractors}
    ended = [*_ended("clean_text", days, cleaning)]
    return ended + [run for name, state in made.items() for run in _ended(name, days, state)]


def _ended(name: str, days: Sequence[date], state: State[list[TableRun]]) -> Sequence[TableRun]:
    result = state.result(raise_on_failure=False)
    if isinstance(result, TablesFailed):
        return result.runs
    return result if isinstance(result, list) else [failed(name, day, result) for day in days]
