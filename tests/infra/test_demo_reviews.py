"""The demo reviews: that they are what their maker makes, and that they show what the project promises to handle."""

from __future__ import annotations

import io
import re
import shutil
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from otzyv.infra.demo import make, pictures
from otzyv.schemas.tables import RULES
from otzyv.tasks.media.audio import decode_audio
from otzyv.tasks.media.image import MAX_PIXELS
from otzyv.tasks.media.inputs import AudioInput
from otzyv.tasks.media.refused import Refused
from otzyv.tasks.sources import Record, RejectedRecord, fetch, files, read
from otzyv.tasks.text.clean import clean
from otzyv.tasks.text.redact import MAIL, PHONE, redact
from tests.tasks.text.cases_file import cases

REVIEWS = make.HERE / "reviews"


@cache
def found() -> tuple[Record | RejectedRecord, ...]:
    return tuple(item for file in files(REVIEWS) for item in read(file, mapping={}, timezone=ZoneInfo("UTC")))


@cache
def records() -> tuple[Record, ...]:
    return tuple(item for item in found() if isinstance(item, Record))


def test_the_demo_takes_at_most_three_megabytes() -> None:
    assert sum(path.stat().st_size for path in make.HERE.rglob("*") if "__pycache__" not in path.parts) <= 3 * 10**6


def test_the_sources_are_what_the_texts_make() -> None:
    for day, ending in make.FORMATS.items():
        committed, made = (REVIEWS / f"{day}.{ending}").read_bytes(), make.source(day)
        if ending == "parquet":  # its bytes name the version of the library that wrote them
            assert pq.read_table(io.BytesIO(committed)).equals(pq.read_table(io.BytesIO(made)))
        else:
            assert committed == made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything made anew, but for the voice notes."""
    folder = tmp_path_factory.mktemp("reviews")
    shutil.copytree(REVIEWS / "voice", folder / "voice")
    make.main(folder)
    return folder


def test_the_maker_makes_what_lies_there(made: Path) -> None:
    fresh, committed = ({path.relative_to(root) for path in root.rglob("*")} for root in (made, REVIEWS))
    assert fresh == committed
    for path in (made / "voice").iterdir():
        assert path.read_bytes() == (REVIEWS / "voice" / path.name).read_bytes()


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_drawn_the_same_everywhere(made: Path, name: str) -> None:
    (committed, size), (drawn, drawn_size) = (_pixels(root / "photos" / name) for root in (REVIEWS, made))
    assert size == drawn_size
    # another processor may round a sine otherwise, another libjpeg its blocks
    assert np.abs(committed - drawn).mean() < 0.5


def _pixels(path: Path) -> tuple[np.ndarray, tuple[int, int]]:
    if path.name == "bomb.png":  # only its header is read; nobody may unpack it
        width, height = (int.from_bytes(path.read_bytes()[at : at + 4], "big") for at in (16, 20))
        assert width * height > MAX_PIXELS
        return np.zeros(1), (width, height)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), int), image.size


def test_voice_notes_are_heard_but_for_the_broken_ones() -> None:
    seconds = {}
    for path in (REVIEWS / "voice").iterdir():
        with suppress(Refused):
            seconds[path.name] = len(decode_audio(path.read_bytes(), AudioInput())) / 16_000
    broken = {path.name for path in (REVIEWS / "voice").iterdir()} - seconds.keys()
    assert broken == {"cut_off.wav", "not_audio.ogg"}
    assert len(seconds) == 8
    assert all(0.3 < heard < 60 for heard in seconds.values())


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
@pytest.mark.parametrize("name", ["a.ogg", "a.mp3", "a.flac", "a.wav"])
def test_a_voice_note_can_be_spoken_anew(name: str) -> None:
    assert len(decode_audio(make.speech(name, "Спасибо за курс", "ru"), AudioInput())) > 16_000 * 0.5


def test_every_source_shows_its_kind_of_refusals() -> None:
    refused = Counter((item.source_file, item.rule) for item in found() if isinstance(item, RejectedRecord))
    assert refused == {
        ("2026-03-01.jsonl", "json"): 1,
        ("2026-03-01.jsonl", "missing_field"): 1,
        ("2026-03-01.jsonl", "range"): 1,
        ("2026-03-01.jsonl", "encoding"): 1,
        ("2026-03-02.csv", "row_format"): 1,
        ("2026-03-02.csv", "timestamp"): 1,
        ("2026-03-02.csv", "type"): 1,
        ("2026-03-03.parquet", "missing_field"): 1,
        ("2026-03-03.parquet", "control"): 1,
    }
    assert {rule for _, rule in refused} == {*RULES} - {"too_large", "row_check"}


def test_there_are_a_review_sent_twice_two_edited_ones_and_a_late_one() -> None:
    ids = Counter(record.review_id for record in records())
    assert len(ids) == 121
    assert {review_id for review_id, count in ids.items() if count == 2} == {"r009", "r013", "r042"}
    written = {(record.review_id, record.created_at.date()) for record in records()}
    assert len(written) == 122, "r013 moved to another day"
    late = next(record for record in records() if record.review_id == "r121")
    assert (late.source_file, str(late.created_at.date())) == ("2026-03-03.parquet", "2026-03-01")


def test_attachments_come_in_every_status_that_a_source_can_give() -> None:
    by_name = {file.name: file for file in files(REVIEWS)}
    seen = Counter(
        (ref.kind, fetch(by_name[record.source_file], ref).status) for record in records() for ref in record.attachments
    )
    assert seen == {
        ("image", "ok"): 33,
        ("image", "missing"): 2,
        ("image", "unsupported"): 3,
        ("audio", "ok"): 9,
        ("audio", "unsupported"): 1,
    }
    named = {ref.uri for record in records() for ref in record.attachments}
    lying = {
        path.relative_to(REVIEWS).as_posix() for part in ("photos", "voice") for path in (REVIEWS / part).iterdir()
    }
    assert lying <= named, "every file is attached to a review"


def test_the_lectures_four_texts_come_out_exactly() -> None:
    cleaned = {clean(redact(record.text)).plain for record in records() if record.text}
    lecture = {str(case.values[1]) for case in cases("plain") if str(case.id).startswith("lecture")}
    assert len(lecture) == 4
    assert lecture <= cleaned


def test_contacts_are_made_up_and_go() -> None:
    contacts = 0
    for record in records():
        text = record.text or ""
        for name in re.findall(r"@([\w.-]+)", text):
            assert name.rstrip(".") in {"example.com", "example.org"}, "kept for examples by RFC 2606"
        for number in re.findall(r"\d[\d() -]{8,}\d", text):
            assert re.sub(r"\D", "", number)[4:10] == "000000"
        gone = redact(text)
        contacts += gone.count(PHONE) + gone.count(MAIL)
        assert "@" not in gone
        assert not re.search(r"\d[\d() -]{8,}\d", gone)
    assert contacts == 6


def test_every_voice_is_there() -> None:
    ratings = Counter(record.rating for record in records())
    assert all(ratings[stars] >= 10 for stars in (1, 2, 3, 4, 5))
    lengths = sorted(len(record.text or "") for record in records())
    assert lengths[0] == 0
    assert sum(length > 600 for length in lengths) >= 3
    assert lengths[-1] > 100_000
    together = "".join(record.text or "" for record in records())
    for sign in ("🔥", "<b>", "&mdash;", "<script>", "\u200b", "\u00ad", "!!!"):
        assert sign in together
    assert sum(clean(record.text or "").text != (record.text or "") for record in records()) >= 7


def test_the_readme_tells_the_demos_size_and_shows_its_page() -> None:
    readme = (make.HERE.parents[1] / "README.md").read_text()
    assert f"The demo is {len(found())} records of three days" in readme
    assert "(docs/quality-page.png)" in readme
    with Image.open(make.HERE.parents[1] / "docs" / "quality-page.png") as shown:
        assert shown.width >= 1000
    assert (make.HERE.parents[1] / "docs" / "quality-page.png").stat().st_size <= 200_000
