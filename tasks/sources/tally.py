"""What was read of a source, file by file, and why records of it were refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from otzyv.tasks.sources.formats import BY_ENDING
from otzyv.tasks.sources.listing import ending_of
from otzyv.tasks.sources.record import RejectedRecord

COMMONEST = 3
"""So many reasons stand in the line that says why an ingest failed."""
WHOLE = 2
"""A file of fewer records may be refused whole: it may be that each record is a file of its own."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why records were refused: how many of them, and where one of them lies."""

    reason: str
    rule: str
    count: int
    example: str


@dataclass(slots=True)
class Tally:
    """Counts records as they are read; of those refused not the ones that nobody may be told of."""

    records: Counter[str] = field(default_factory=Counter)
    """By the name of their file, but for those of people who are to be forgotten."""
    refused: Counter[str] = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)
    """Whose records were refused, as far as that could be read."""
    nameless: int = 0
    """Of how many it could not."""
    _reasons: dict[str, dict[str, Reason]] = field(default_factory=dict)
    """By the name of the file, then by the reason."""

    def refuse(self, refusal: RejectedRecord) -> None:
        example = place(refusal.source_file, refusal.offset)
        self.add(refusal.source_file, Reason(refusal.reason, refusal.rule, 1, example))
        if refusal.review_id is None:
            self.nameless += 1
        else:
            self.ids.add(refusal.review_id)

    def add(self, file: str, reason: Reason) -> None:
        """Count what was refused of a file for a reason."""
        self.refused[file] += reason.count
        _count(self._reasons.setdefault(file, {}), reason)

    def of(self, file: str) -> tuple[Reason, ...]:
        """Why records of a file were refused."""
        return tuple(self._reasons.get(file, {}).values())

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The commonest first."""
        found: dict[str, Reason] = {}
        for of_file in self._reasons.values():
            for reason in of_file.values():
                _count(found, reason)
        return tuple(sorted(found.values(), key=lambda each: (-each.count, each.reason)))

    def failures(self, share: float) -> Iterator[str]:
        """Why this was no success: more than the share of the records was refused, or all of some file's."""
        records, refused = self.records.total(), self.refused.total()
        # A share as it was written: 0.29 times 100 is 29, which as floats it is not.
        if records and refused > (Fraction(str(share)) * records if refused < records else 0):
            beyond = f", more than {share:.0%} of them (the setting refused_share)" if refused < records else ""
            yield f"{refused} of {records} records were refused{beyond}: {commonest(self.reasons)}"
        elif share < 1:
            for file, count in sorted(self.records.items()):
                if WHOLE <= count == self.refused[file]:
                    reasons = commonest(self.reasons)
                    yield f"{file}: all of its {count} records were refused; among the reasons: {reasons}"


def _count(found: dict[str, Reason], reason: Reason) -> None:
    known = found.get(reason.reason)
    found[reason.reason] = replace(known, count=known.count + reason.count) if known else reason


def commonest(reasons: Sequence[Reason]) -> str:
    """The commonest reasons, each with an example's place."""
    named = [f"{each.count} as {each.reason} ({each.example})" for each in reasons[:COMMONEST]]
    if more := sum(each.count for each in reasons[COMMONEST:]):
        named.append(f"{more} for other reasons")
    return ", ".join(named)


def place(file: str, offset: int) -> str:
    """Where a record lies in its file, as a person looks for it: by byte in JSON, else by the number of the record."""
    ending = ending_of(file)
    return f"{file}, record {offset + 1}" if ending and BY_ENDING[ending].numbered else f"{file}, byte {offset}"
