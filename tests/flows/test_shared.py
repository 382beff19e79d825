"""Real material through the whole: 523 reviews through every extractor at hand, and 403 odd images."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest

from otzyv.tasks.extractors import get, names
from otzyv.tasks.extractors.contract.contents import audio
from otzyv.tasks.models.store import MissingWeights, choose, locate, root
from otzyv.tasks.sources import sniff
from tests.flows.command import Otzyv, command, review
from tests.tasks.extractors.test_decode_image import READ_ALL_THE_SAME

SHARED = Path(__file__).parents[3] / "shared"
REVIEWS = SHARED / "data" / "text" / "yandex_geo" / "yandex_geo_reviews_mit.csv"
PILLOW = SHARED / "data" / "images" / "pillow"
PHOTOS = [SHARED / "data" / "images" / name for name in ("skimage/coffee.png", "skimage/chelsea.png")]


def at_hand(name: str) -> bool:
    """Whether an extractor's weights are there."""
    card = get(name).card
    weights = choose(card)
    if weights is None:
        return card.backend != "api"
    try:
        return bool(locate(card.name, weights))
    except MissingWeights:
        return False


@pytest.mark.skipif(not REVIEWS.exists(), reason="needs the shared reviews")
def test_523_reviews_run_through_every_extractor_at_hand_and_the_second_run_computes_nothing(otzyv: Otzyv) -> None:
    for folder in (SHARED / "models").iterdir():
        shutil.copytree(folder, root() / folder.name)
    for photo in PHOTOS:
        shutil.copy(photo, otzyv.source)
    (otzyv.source / "note.wav").write_bytes(audio("WAV"))
    with REVIEWS.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    otzyv.write(
        "reviews.jsonl",
        [
            review(
                row["review_id"],
                row["text"],
                attachments=[
                    {"kind": "image", "uri": PHOTOS[number % len(PHOTOS)].name},
                    {"kind": "audio", "uri": "note.wav"},
                ],
            )
            for number, row in enumerate(rows)
        ],
    )
    otzyv.run(extractors="sentiment_mini")
    fitted = [name for name in names() if get(name).card.fitted]
    for name in fitted:
        assert command("fit", name, "--lake", str(otzyv.lake)).exit_code == 0
    chosen = [name for name in names() if at_hand(name)]
    assert {"sentiment_mini", "text_navec", "image_layout", "image_mobilenetv2", "audio_mfcc", *fitted} <= {*chosen}
    said = otzyv.run(extractors="all-available")
    assert {name: table["rows"] for name, table in said["tables"].items()} == dict.fromkeys(
        ("clean_text", *chosen), 523
    )
    assert {status for table in said["tables"].values() for status in table["status"]} == {"ok"}
    before = otzyv.files()
    again = otzyv.run(extractors="all-available")
    assert {(table["computed"], table["reused"]) for table in again["tables"].values()} == {(0, 523)}
    assert otzyv.files() == before


@pytest.mark.skipif(not PILLOW.exists(), reason="needs the shared images")
def test_403_odd_images_are_each_a_row_with_the_status_that_they_deserve(otzyv: Otzyv) -> None:
    with (PILLOW / "PROBE.tsv").open(encoding="utf-8") as stream:
        probe = {row[0]: row[2] for row in csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)}
    files = [path for path in sorted(PILLOW.rglob("*")) if path.is_file() and path.name != "PROBE.tsv"]
    # A table of the folder's own is none of the source's records.
    shutil.copytree(PILLOW, otzyv.source / "files", ignore=shutil.ignore_patterns("PROBE.tsv"))
    otzyv.write(
        "a.jsonl",
        [
            review(
                path.relative_to(PILLOW).as_posix(),
                attachments=[{"kind": "image", "uri": f"files/{path.relative_to(PILLOW)}"}],
            )
            for path in files
        ],
    )
    said = otzyv.run(extractors="image_layout")
    assert said["tables"]["image_layout"]["rows"] == len(files) >= 403
    lake = otzyv.opened()
    found = {row["review_id"]: row["status"] for row in lake.read(lake.table("image_layout")).to_pylist()}
    odd = {}
    for path in files:
        name = path.relative_to(PILLOW).as_posix()
        kind = sniff(path.read_bytes())
        opens = probe.get(name, "ERR").startswith("OK") or name in READ_ALL_THE_SAME
        allowed = (
            {"unsupported"} if kind is None or kind[0] != "image" else {"ok"} if opens else {"undecodable", "too_large"}
        )
        if found[name] not in allowed:
            odd[name] = (found[name], probe.get(name))
    assert not odd
    assert Counter(found.values())["ok"] > 100
