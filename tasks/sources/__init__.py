"""Reading reviews as other systems wrote them: strict, streaming, every record either taken or refused with a reason.

    for file in find("reviews/", day).files:
        for record in read(file, mapping={"text": "body"}, timezone=ZoneInfo("UTC")):
            ...  # a Record, or a Refusal

Errors: ``SourceError`` for a source or file that is not what it should be, ``NothingThereError`` where there is none,
``UnreachableError`` where that can't be told.
"""

from otzyv.tasks.media.sniff import sniff
from otzyv.tasks.sources.attachments import Attachment, as_told, fetch
from otzyv.tasks.sources.listing import (
    ENDINGS,
    Aside,
    Listing,
    SourceFile,
    check_reachable,
    days_there,
    files,
    find,
    note_aside,
)
from otzyv.tasks.sources.names import Names
from otzyv.tasks.sources.notes import Notes
from otzyv.tasks.sources.reading import check, read
from otzyv.tasks.sources.reasons import (
    COLUMNS,
    REASONS,
    REMEDIES,
    NothingThereError,
    SourceError,
    UnreachableError,
    remedy,
)
from otzyv.tasks.sources.record import Record, RejectedRecord
from otzyv.tasks.sources.tally import Reason, Tally
from otzyv.tasks.sources.times import DATES, Dates
from otzyv.tasks.sources.values import AttachmentRef

__all__ = [
    "COLUMNS", "DATES", "ENDINGS", "REASONS", "REMEDIES", "Aside", "Attachment", "AttachmentRef", "Dates", "Listing",
    "Names", "Notes", "NothingThereError", "Reason", "Record", "RejectedRecord", "SourceError", "SourceFile", "Tally",
    "UnreachableError", "as_told", "check", "check_reachable", "days_there", "fetch", "files", "find", "note_aside",
    "read", "remedy", "sniff",
]  # fmt: skip
