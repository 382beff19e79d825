"""Every table of the lake. Feature tables are made by ``feature_table`` from an extractor's card."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

import pyarrow as pa

from otzyv.schemas.table import Column, Table

FINAL = ("ok", "empty", "invalid", "missing", "undecodable", "too_large", "unsupported")
"""Statuses that stand until content, model or code change."""
TRANSIENT = ("timeout", "out_of_memory", "over_budget")
"""Statuses of a passing fault: such a row is never reused, the next run tries again."""
STATUSES = FINAL + TRANSIENT

WHY: MappingProxyType[str, str] = MappingProxyType(
    {
        "empty": "nothing in it",
        "invalid": "a value failed a check",
        "missing": "not found",
        "undecodable": "damaged",
        "too_large": "too large",
        "unsupported": "a form that is not read",
        "timeout": "took too long",
        "out_of_memory": "took too much memory",
        "over_budget": "the budget was spent",
    }
)
"""What each status but ``ok`` says of a feature row; of an attached file that was not taken its own reason counts."""

ATTACHMENT_STATUSES = ("ok", "missing", "too_large", "unsupported")

ATTACHMENT_REASONS: MappingProxyType[str, str] = MappingProxyType(
    {
        "not found": "missing",
        "unreadable": "missing",
        "refused by the host": "missing",
        "too large": "too_large",
        "empty file": "unsupported",
        "no known type": "unsupported",
        "another kind": "unsupported",
        "ambiguous": "unsupported",
        "not a file": "unsupported",
        "a link": "unsupported",
        "an absolute path": "unsupported",
        "outside the folder": "unsupported",
        "a URL": "unsupported",
        "host not allowed": "unsupported",
        "a private address": "unsupported",
        "a redirect": "unsupported",
    }
)
"""Why a file's bytes are not in the lake: the closed set of ``attachments.reason``, each with its status."""

RULES = (
    "json", "encoding", "type", "missing_field", "range", "timestamp", "too_large", "control",
    "row_format", "row_check",
)  # fmt: skip
"""Why a record can be refused: the closed set of ``quarantine.rule``."""

_TEXT = pa.string()
_TIME = pa.timestamp("us", tz="UTC")


def _text(name: str, doc: str, *, required: bool = True, personal: bool = False) -> Column:
    return Column(name=name, type=_TEXT, doc=doc, required=required, personal=personal)


DAY = Column(name="day", type=pa.date32(), doc="the review's created_at in the lake's time zone")
REVIEW_ID = _text("review_id", "the source's own id of the review")
POSITION = Column(name="position", type=pa.int32(), doc="place of the attachment in its review, from 0", low=0)

REVIEWS = Table(
    name="reviews",
    row="the newest state of one review, as received but for the author (a keyed hash) and redacted contacts",
    keys=("review_id",),
    columns=(
        REVIEW_ID,
        _text(
            "text",
            "the text with personal data redacted: contacts, names, cards, papers",
            required=False,
            personal=True,
        ),
        Column(name="created_at", type=_TIME, doc="when the review was written"),
        Column(name="updated_at", type=_TIME, doc="when it was last edited, where the source says", required=False),
        Column(name="rating", type=pa.float32(), doc="stars, 1 to 5", required=False, low=1, high=5),
        _text("author", "keyed hash of the author (HMAC-SHA256, 64 hex digits)", required=False, personal=True),
        _text("course_id", "the course, as the source names it", required=False),
        _text("course_title", "the course's title", required=False),
        _text("source", "where the review was published, as the source says", required=False),
        Column(name="attachments", type=pa.int32(), doc="how many files are attached", low=0),
        _text(
            "source_file",
            "the file (or Delta table's log) it was read from, in the source; NAME// before a named one's",
        ),
        _text("source_sha256", "digest of the record's meaning; decides between records with equal updated_at"),
        Column(
            name="former_day",
            type=pa.date32(),
            required=False,
            doc="the day the review lay in before an edit moved it; its features may be taken over from there",
        ),
        DAY,
    ),
)

ATTACHMENTS = Table(
    name="attachments",
    row="one file attached to a review; its bytes lie once in blobs/ under their sha256",
    keys=("review_id", "position"),
    columns=(
        REVIEW_ID,
        POSITION,
        Column(name="kind", type=_TEXT, doc="what the record says it is", labels=("image", "audio", "other")),
        _text("content_sha256", "sha256 of the bytes; null where there are none", required=False),
        Column(name="bytes", type=pa.int64(), doc="size of the file", required=False, low=0),
        _text("media_type", "type found in the content itself, not believed from its name", required=False),
        Column(name="status", type=_TEXT, doc="whether the bytes are in the lake", labels=ATTACHMENT_STATUSES),
        Column(
            name="reason",
            type=_TEXT,
            required=False,
            doc="why they are not; null where they are, and in rows from before reasons were kept",
            labels=tuple(ATTACHMENT_REASONS),
        ),
        _text(
            "uri",
            "where the source says the file is, as it writes it; of a URL without user, query and fragment; null in "
            "rows from before",
            required=False,
            personal=True,
        ),
        _text(
            "source_sha256",
            "digest of the record that names the file, as in reviews: which state of the review it is of",
            required=False,
        ),
        DAY,
    ),
)

QUARANTINE = Table(
    name="quarantine",
    row="one refused record, with its bytes, so that it can be replayed",
    keys=("source", "offset", "raw_sha256"),
    columns=(
        _text("source", "the file it came from, or table/key for a row that failed its check"),
        Column(name="offset", type=pa.int64(), doc="byte offset (JSONL) or row number from 0 in the file", low=0),
        Column(name="rule", type=_TEXT, doc="which rule refused it", labels=RULES),
        _text("reason", "what is wrong, in words that hold no personal data"),
        Column(name="raw", type=pa.binary(), doc="the record's bytes, at most 1 MB of them", personal=True),
        _text("raw_sha256", "sha256 of the whole record's bytes"),
        _text(
            "record_id", "the record's own id; null where that can't be told, and in rows from before", required=False
        ),
        _text(
            "context",
            "JSON of what is needed beside the bytes to read the record again: names of columns and their delimiter, "
            "what folders gave; null where that is nothing, and in rows from before",
            required=False,
            personal=True,
        ),
        Column(name="day", type=pa.date32(), doc="day of arrival, in the lake's time zone"),
    ),
)

_LINEAGE = (
    _text("content_sha256", "sha256 of what the features were made from; null where nothing is there", required=False),
    _text("fingerprint", "sha256 of everything that decides the extractor's output"),
    _text("run_key", "sha256 that names this publication of the day"),
    Column(name="status", type=_TEXT, doc="ok, or why there are no values", labels=STATUSES),
)  # fmt: skip


def feature_table(name: str, values: Iterable[Column], *, row: str, attached: bool) -> Table:
    """The table of one extractor: keys, lineage, status, then its value columns.

    ``attached``: a row per attachment (keys review_id, position), else a row per review (key review_id).
    """
    keys = (REVIEW_ID, POSITION) if attached else (REVIEW_ID,)
    return Table(name=name, row=row, columns=(*keys, *_LINEAGE, *values, DAY), keys=tuple(key.name for key in keys))


CLEAN_VALUES = (
    Column(name="plain", type=_TEXT, required=False, value=True, personal=True,
           doc="no punctuation, lower case, ё as е, links and @names as one word each: what bag-of-words models and "
               "dostoevsky read"),
    Column(name="text", type=_TEXT, required=False, value=True, personal=True,
           doc="case and punctuation kept: what BERT reads"),
    Column(name="language", type=_TEXT, required=False, value=True, labels=("ru", "en", "mixed", "other"),
           doc="by script, links and names aside: ru, en, mixed or other"),
    Column(name="chars", type=pa.int32(), required=False, value=True, low=0, doc="characters of text"),
    Column(name="words", type=pa.int32(), required=False, value=True, low=0, doc="words of plain"),
    Column(name="sentences", type=pa.int32(), required=False, value=True, low=0, doc="sentences of text"),
)  # fmt: skip

CLEAN_TEXT = feature_table(
    "clean_text", CLEAN_VALUES, row="the text of one review after the cleaning rules, two ways", attached=False
)

QUALITY = Table(
    name="quality",
    row="one measured figure of one table and day",
    keys=("table", "day", "metric"),
    columns=(
        _text("table", "the table measured"),
        _text("metric", "what was measured, e.g. rows, status.ok, length.p50"),
        Column(name="value", type=pa.float64(), doc="the figure"),
        _text("run_key", "the publication it was measured on"),
        Column(name="day", type=pa.date32(), doc="the day measured"),
    ),
)

RUNS = Table(
    name="runs",
    row="one attempt at one table and day",
    keys=("run_id",),
    partition=None,
    columns=(
        _text("run_id", "random id of the attempt"),
        _text("table", "the table"),
        Column(name="day", type=pa.date32(), doc="the day"),
        Column(name="state", type=_TEXT, doc="how it ended", labels=("published", "unchanged", "superseded", "failed")),
        _text("run_key", "the publication it made or found; null where it failed before", required=False),
        _text("fingerprint", "the extractor's fingerprint", required=False),
        Column(name="rows", type=pa.int64(), doc="rows of the day", low=0),
        Column(name="computed", type=pa.int64(), doc="rows whose content was computed", low=0),
        Column(name="reused", type=pa.int64(), doc="rows taken over from before", low=0),
        Column(name="invalid", type=pa.int64(), doc="rows that failed a row check", low=0),
        Column(name="seconds", type=pa.float64(), doc="wall time of the attempt", low=0),
        Column(
            name="money",
            type=pa.float64(),
            required=False,
            doc="what paid APIs asked for it, in their currency",
            low=0,
        ),
        Column(
            name="answer_p50",
            type=pa.float64(),
            low=0,
            required=False,
            doc="seconds in which half of a paid API's answers came; null without any",
        ),
        Column(
            name="answer_p95", type=pa.float64(), low=0, required=False, doc="seconds in which 95 of 100 answers came"
        ),
        Column(name="started_at", type=_TIME, doc="when it began"),
        _text("error", "the error's class and message where it failed", required=False),
        _text("flow_run", "id of the Prefect run that attempted it", required=False),
    ),
)

RELEASED_TABLE = pa.struct(
    [
        pa.field("table", _TEXT, nullable=False),
        pa.field("fingerprint", _TEXT),
        pa.field("run_key", _TEXT),
        pa.field("files", pa.list_(_TEXT), nullable=False),
    ]
)

MADE_TABLE = pa.struct(
    [
        pa.field("table", _TEXT, nullable=False),
        pa.field("inputs", _TEXT, nullable=False),
        pa.field(
            "status",
            pa.list_(pa.struct([pa.field("status", _TEXT, nullable=False), pa.field("rows", pa.int64())])),
            nullable=False,
        ),
    ]
)

RELEASES = Table(
    name="releases",
    row="one day released: for each of its tables the files that readers see together",
    keys=("release_id",),
    partition=None,
    columns=(
        _text("release_id", "sha256 over the day, its tables' publications and the sequence"),
        Column(name="released_day", type=pa.date32(), doc="the day"),
        Column(
            name="sequence", type=pa.int32(), doc="counts a day's releases; the greatest not held one is read", low=1
        ),
        Column(name="created_at", type=_TIME, doc="when"),
        Column(
            name="verdict",
            type=_TEXT,
            doc="whether readers see it: a run released or held it, a person approved a held one or rolled back to one",
            labels=("released", "held", "approved", "rolled back"),
        ),
        _text(
            "reason",
            "why it is or was held, and which tables failed; of a rollback, the release_id of what is current again",
            required=False,
        ),
        Column(name="tables", type=pa.list_(RELEASED_TABLE), doc="files, fingerprint and run key of each table"),
        Column(
            name="made",
            type=pa.list_(MADE_TABLE),
            required=False,
            doc="digest of the contents that a table was made of, and its rows by status, where a run told them; null "
            "in rows from before",
        ),
    ),
)

MODELS = Table(
    name="models",
    row="one fitted or promoted artefact, or the weights this lake's features are made with",
    keys=("name", "version"),
    partition=None,
    columns=(
        _text("name", "the extractor"),
        Column(name="version", type=pa.int32(), doc="counts from 1", low=1),
        _text("sha256", "of the artefact"),
        _text("fitted_on", "JSON: table versions, days, rows, settings, or the source of the weights"),
        Column(name="state", type=_TEXT, doc="which one is in use", labels=("candidate", "current", "retired")),
        Column(name="created_at", type=_TIME, doc="when"),
    ),
)

TABLES: MappingProxyType[str, Table] = MappingProxyType(
    {t.name: t for t in (REVIEWS, ATTACHMENTS, QUARANTINE, CLEAN_TEXT, QUALITY, RUNS, RELEASES, MODELS)}
)
"""The tables every lake has; an extractor's own table comes from its card."""
