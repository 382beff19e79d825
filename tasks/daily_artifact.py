"""Task: show what a daily run has brought in and made on its page in Prefect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from prefect import task
from prefect.artifacts import create_markdown_artifact

from otzyv.tasks.artifact import cell, line
from otzyv.tasks.pipeline.ingest import Accounting
from otzyv.tasks.pipeline.spans import spans
from otzyv.tasks.release import Verdict

KEY = "daily"


@dataclass(slots=True)
class DailyCounts:
    """What became of records and days. ``left``: days that no daily run makes; ``verdicts``: of the others.

    ``failed``: tables that failed, and on which day, be the others of that day released or not.
    """

    ingested: list[Accounting] = field(default_factory=list)
    verdicts: dict[date, Verdict] = field(default_factory=dict)
    left: Sequence[date] = ()
    failed: Sequence[tuple[str, date]] = ()

    @property
    def refused(self) -> Counter[str]:
        """By reason, in words."""
        found: Counter[str] = Counter()
        for accounting in self.ingested:
            for reason in accounting.reasons:
                found[reason.reason] += reason.count
        return found

    @property
    def days(self) -> dict[str, list[date]]:
        """What the days are counted as, and which: those whose records changed, and how those ended that were made.

        A day of which a table failed counts as that as well, also where readers see its other tables.
        """
        ended: dict[Verdict, list[date]] = {}
        for day, verdict in sorted(self.verdicts.items()):
            ended.setdefault(verdict, []).append(day)
        return {
            "touched": sorted({day for accounting in self.ingested for day in accounting.changed_days}),
            "made": ended.get("released", []),
            "unchanged": ended.get("unchanged", []),
            "held": ended.get("held", []),
            "failed": sorted({*ended.get("not released", []), *(day for _, day in self.failed)}),
            "left": sorted([*self.left, *ended.get("superseded", [])]),
        }

    @property
    def tables(self) -> dict[str, list[date]]:
        """Tables that failed, and on which days."""
        found: dict[str, list[date]] = {}
        for table, day in sorted(self.failed):
            found.setdefault(table, []).append(day)
        return found

    @property
    def records(self) -> dict[str, int]:
        names = ("records_in", "accepted", "quarantined", "deduplicated", "suppressed", "undecided")
        counts = {name: sum(getattr(each, name) for each in self.ingested) for name in names}
        return {{"records_in": "in", "quarantined": "refused"}.get(name, name): count for name, count in counts.items()}

    @property
    def figures(self) -> dict[str, float]:
        records = {f"records {name}": float(count) for name, count in self.records.items()}
        return records | {f"days {name}": float(len(days)) for name, days in self.days.items()}

    def __str__(self) -> str:
        records = ", ".join(f"{count:,} {name}" for name, count in self.records.items())
        why = "; ".join(f"{count:,} as {reason}" for reason, count in self.refused.most_common())
        days = ", ".join(f"{len(days)} {name}" for name, days in self.days.items())
        tables = ", ".join(f"{table} on {len(days)}" for table, days in self.tables.items())
        told = f"records: {records}{f' (refused: {why})' if why else ''}; days: {days}"
        return f"{told} (tables: {tables})" if tables else told


@task(name="daily artifact", task_run_name="daily artifact {last}")
def daily_artifact(last: date, counts: DailyCounts) -> None:
    """A Markdown artifact; nothing of a record stands in it."""
    create_markdown_artifact(markdown(last, counts), key=KEY, description=f"Daily run of {last}")


def markdown(last: date, counts: DailyCounts) -> str:
    lines = [f"## Daily run of {last}", "", line(["records", "count"]), line(["---"] * 2)]
    lines += [line([name, f"{count:,}"]) for name, count in counts.records.items()]
    lines += [line([f"refused: {cell(reason)}", f"{count:,}"]) for reason, count in counts.refused.most_common()]
    lines += ["", line(["days", "count", "which"]), line(["---"] * 3)]
    lines += [line([name, str(len(days)), spans(days) or "-"]) for name, days in counts.days.items()]
    lines += [line([f"failed: {cell(table)}", str(len(days)), spans(days)]) for table, days in counts.tables.items()]
    return "\n".join(lines) + "\n"
