"""Reading reviews as other systems wrote them: strict, streaming, every record either taken or refused with a reason.

    for file in files("reviews/", day):
        for record in read(file, mapping={"text": "body"}, timezone=ZoneInfo("UTC")):
            ...  # a Record, or a Refusal

Errors: ``SourceError`` for a source or file that is not what it should be, ``NothingThereError`` where there is none.
"""

from tasks.sources.attachments import Attachment, fetch, resolve
from tasks.sources.listing import ENDINGS, SourceFile, files
from tasks.sources.reading import read
from tasks.sources.record import (
    COLUMNS,
    REASONS,
    REMEDIES,
    AttachmentRef,
    NothingThereError,
    Record,
    Refusal,
    SourceError,
)
from tasks.sources.sniff import sniff

__all__ = [
    "COLUMNS", "ENDINGS", "REASONS", "REMEDIES", "Attachment", "AttachmentRef", "NothingThereError", "Record",
    "Refusal", "SourceError", "SourceFile", "fetch", "files", "read", "resolve", "sniff",
]  # fmt: skip
