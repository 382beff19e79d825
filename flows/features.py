"""Read this first: how one day of reviews becomes released feature tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from prefect import State, flow, get_run_logger

from flows.settings import load
from tasks.artifact import artifact
from tasks.clean import clean_text
from tasks.extractors.registry import in_order
from tasks.extractors.spending import spending
from tasks.features import TableRun, failed
from tasks.features import features as extract
from tasks.record import record
from tasks.release import Verdict, release

ATTEMPTS = 3
"""How often a day is made while its reviews keep changing."""


@dataclass(frozen=True, slots=True)
class DayReport:
    """One day: how each of its tables ended, and whether readers see it."""

    day: date
    tables: tuple[TableRun, ...]
    verdict: Verdict


class DayFailed(RuntimeError):
    """Some tables of a day could not be made; the report tells how each ended."""

    def __init__(self, report: DayReport) -> None:
        self.report = report
        failed = [run for run in report.tables if run.state == "failed"]
        super().__init__("; ".join(f"{run.table} {run.day}: {run.error}" for run in failed))


@flow(name="features", flow_run_name="features {day}", validate_parameters=False)
def features(lake: str, day: date, extractors: Sequence[str], *, again: bool = False) -> DayReport:
    """Make every table of a day, then release the day.

    1. Texts are cleaned; all text extractors read ``clean_text``.
    2. Each extractor computes what is new or changed, is checked, and publishes its table's day; one that reads
       another's table comes after it.
    3. Attempts and measured figures are recorded, unless nothing changed.
    4. If every table stands, one row releases the day, or holds it where its figures are beyond the settings' limits
       (``verdict``); else readers keep the day as it was. Where reviews came in after they were read, the day is made
       once more of those.

    ``again``: what stands is computed anew as well. An extractor that fails does not stop the others: DayFailed is
    raised at the end, and says which failed.
    """
    limits = load().verdict
    runs: dict[str, TableRun] = {}
    with spending():
        for attempt in range(ATTEMPTS):
            tables = _made(lake, day, in_order(extractors), again=again and not attempt)
            runs |= {run.table: run for run in tables if run.state != "unchanged" or run.table not in runs}
            record(lake, day, tables)
            verdict = release(lake, day, tables, limits)
            if verdict != "superseded":
                break
            get_run_logger().warning("reviews of %s came in while its tables were made of those before", day)
    report = DayReport(day, tuple(runs.values()), verdict)
    artifact(day, report.tables)
    if any(run.state == "failed" for run in report.tables):
        raise DayFailed(report)
    return report


def _made(lake: str, day: date, extractors: Sequence[str], *, again: bool) -> list[TableRun]:
    cleaning = clean_text(lake, day, again=again, return_state=True)
    made = {name: extract(lake, name, day, again=again, return_state=True) for name in extractors}
    return [_ended("clean_text", day, cleaning), *(_ended(name, day, state) for name, state in made.items())]


def _ended(name: str, day: date, state: State[TableRun]) -> TableRun:
    result = state.result(raise_on_failure=False)
    return result if isinstance(result, TableRun) else failed(name, day, result)
