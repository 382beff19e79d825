"""Reading reviews as other systems wrote them: strict, streaming, every record either taken or refused with a reason.

    for file in find("reviews/", day).files:
        for record in read(file, mapping={"text": "body"}, timezone=ZoneInfo("UTC")):
            ...  # a Record, or a Refusal

Errors: ``SourceError`` for a source or file that is not what it should be, ``NothingThereError`` where there is none.
"""

from tasks.media.sniff import sniff
from tasks.sources.attachments import Attachment, as_told, fetch
from tasks.sources.listing import ENDINGS, Aside, Listing, SourceFile, files, find, note_aside
from tasks.sources.names import Names
from tasks.sources.notes import Notes
from tasks.sources.reading import check, read
from tasks.sources.reasons import COLUMNS, REASONS, REMEDIES, NothingThereError, SourceError, remedy
from tasks.sources.record import Record, Refusal
from tasks.sources.tally import Reason, Tally
from tasks.sources.times import DATES, Dates
from tasks.sources.values import AttachmentRef

__all__ = [
    "COLUMNS", "DATES", "ENDINGS", "REASONS", "REMEDIES", "Aside", "Attachment", "AttachmentRef", "Dates", "Listing",
    "Names", "Notes", "NothingThereError", "Reason", "Record", "Refusal", "SourceError", "SourceFile", "Tally",
    "as_told", "check", "fetch", "files", "find", "note_aside", "read", "remedy", "sniff",
]  # fmt: skip
