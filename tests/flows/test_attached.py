"""Why an attached file was not taken is told in the lake, to who asks about a review, and on the quality page."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from otzyv.schemas.tables import ATTACHMENTS
from otzyv.tasks.extractors.contract.contents import audio, image
from tests.flows.command import Otzyv, command, review

pytestmark = pytest.mark.usefixtures("without_prefect")

WRITTEN = {
    "photos\\1.png": None,
    "nobody.png": "not found",
    "../above.png": "outside the folder",
    "https://me:secret@example.org/1.png?key=secret": "a URL",
    "words.txt": "no known type",
    "nothing.png": "empty file",
    "cut.png": None,
}


def put(otzyv: Otzyv) -> None:
    (otzyv.source / "photos").mkdir()
    (otzyv.source / "photos/1.png").write_bytes(image("PNG", seed=1))
    (otzyv.source / "words.txt").write_text("no picture")
    (otzyv.source / "nothing.png").touch()
    (otzyv.source / "cut.png").write_bytes(image("PNG", seed=2)[:200])
    attached = [{"kind": "image", "uri": uri} for uri in WRITTEN]
    otzyv.write("a.jsonl", [review("r1", attachments=attached), review("r2", attachments=attached[1:2])])


def test_each_file_that_was_not_taken_has_its_reason_wherever_one_looks(otzyv: Otzyv) -> None:
    put(otzyv)
    done = command("run", "--source", otzyv.source, "--lake", otzyv.lake, "--extractors", "image_pixels")
    assert done.exit_code == 0, done.stderr
    assert "2 missing (not found), 1 unsupported (a URL), 1 unsupported (empty file)" in " ".join(done.stdout.split())
    rows = otzyv.opened().read(ATTACHMENTS).sort_by([("review_id", "ascending"), ("position", "ascending")]).to_pylist()
    told = [uri.replace("me:secret@", "").replace("?key=secret", "") for uri in WRITTEN]
    assert [(row["uri"], row["reason"]) for row in rows[:-1]] == list(zip(told, WRITTEN.values(), strict=True))
    assert rows[-1]["uri"] == "nobody.png"

    said = json.loads(command("explain", "r1", "--lake", otzyv.lake, "--json").stdout)
    assert [(file["uri"], file["reason"]) for file in said["attachments"]] == list(
        zip(told, WRITTEN.values(), strict=True)
    )
    why = {feature["position"]: feature["why"] for feature in said["features"] if feature["table"] == "image_pixels"}
    assert list(why.values()) == [*list(WRITTEN.values())[:-1], "damaged"]
    lines = command("explain", "r1", "--lake", otzyv.lake).stdout
    assert "attachments [2]: unsupported (outside the folder)\n  as written   ../above.png\n" in lines
    assert "image_pixels [6]: undecodable (damaged)" in lines

    (page,) = (otzyv.lake / "pages").iterdir()
    html = page.read_text()
    assert "Files not taken by reason" in html
    assert ">not found</text>" in html
    assert "nobody.png" not in html
    range_of_days = command("quality", "--lake", otzyv.lake, "--json")
    assert range_of_days.exit_code == 0, range_of_days.stderr
    newest = max((otzyv.lake / "pages").iterdir(), key=lambda path: path.stat().st_mtime)
    assert newest != page
    assert "Files not taken by reason" in newest.read_text()


def sound(samples: Sequence[float], rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.array(samples, np.float32), rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def black(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


DAMAGES = {
    "good.png": (image("PNG"), "ok", None),
    "cut.jpg": (image("JPEG", seed=1)[:900], "undecodable", "its end is missing"),
    "hole.png": (image("PNG")[:200] + bytes(99) + image("PNG")[299:], "undecodable", "damaged"),
    "wide.png": (black(10_000, 4_100), "too_large", "too many pixels"),
    "good.wav": (audio("WAV"), "ok", None),
    "cut.wav": (audio("WAV")[:9000], "undecodable", "its end is missing"),
    "hole.flac": (audio("FLAC")[:400], "undecodable", "damaged"),
    "nan.wav": (sound([float("nan")] * 4000), "undecodable", "samples that are no numbers"),
    "long.wav": (sound([0.0] * 2_420_000, 4_000), "too_large", "too long"),
    "slow.wav": (sound([0.0] * 4000, 2_000), "unsupported", "a sample rate or a number of channels that is not read"),
}
"""Name -> content, status of its features, and why."""


def test_why_a_decoder_refuses_a_file_is_told(otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (content, _, _) in DAMAGES.items():
        (otzyv.source / name).write_bytes(content)
    otzyv.write("a.jsonl", [review("r1", attachments=list(DAMAGES))])
    otzyv.run(extractors="image_pixels,audio_mfcc,audio_spectrum")
    said = json.loads(command("explain", "r1", "--lake", otzyv.lake, "--json").stdout)
    told = {(each["table"], each["position"]): (each["status"], each["why"]) for each in said["features"]}
    for position, (name, (_, *wanted)) in enumerate(DAMAGES.items()):
        tables = ["image_pixels"] if name.endswith(("png", "jpg")) else ["audio_mfcc", "audio_spectrum"]
        assert [told[table, position] for table in tables] == [tuple(wanted)] * len(tables), name
    assert "audio_mfcc [5]: undecodable (its end is missing)\n" in command("explain", "r1", "--lake", otzyv.lake).stdout
    monkeypatch.setattr("otzyv.tasks.pipeline.explain.refusal", lambda *_: ("ok", None))
    said = json.loads(command("explain", "r1", "--lake", otzyv.lake, "--json").stdout)
    kinds = {each["status"]: each["why"] for each in said["features"] if each["position"] is not None}
    assert kinds == {
        "ok": None,
        "undecodable": "damaged",
        "too_large": "too large",
        "unsupported": "a form that is not read",
    }, "a decoder of today that reads the file says nothing of the row's status"


def test_the_same_source_again_changes_nothing(otzyv: Otzyv, tmp_path: Path) -> None:
    put(otzyv)
    otzyv.run(extractors="image_pixels")
    before = otzyv.files()
    otzyv.run(extractors="image_pixels")
    assert otzyv.files() == before
