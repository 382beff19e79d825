"""What fails is told, in Prefect too; what does not depend on it goes on; and the day is as it was."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from otzyv.tasks.artifact import markdown
from otzyv.tasks.extractors import Extractor, get
from otzyv.tasks.extractors.contract.contents import audio
from otzyv.tasks.extractors.errors import ExtractorFailed
from otzyv.tasks.extractors.loop import extract
from otzyv.tasks.lake import Lake
from otzyv.tasks.models.store import root
from otzyv.tasks.pipeline import make
from otzyv.tasks.pipeline.make import failed
from tests.flows.command import Otzyv, command, review

SHARED = Path(__file__).parents[3] / "shared"
NETWORK = "image_resnet18"
SPEECH = "audio_silero_vad"
DAY = date(2026, 3, 1)


def run(otzyv: Otzyv, *extractors: str) -> Result:
    where = ("--source", otzyv.source, "--lake", otzyv.lake)
    return command("run", *where, "--extractors", ",".join(extractors), "--json")


def newest(flow: str) -> FlowRun:
    with get_client(sync_client=True) as client:
        (found,) = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])), sort=FlowRunSort.START_TIME_DESC, limit=1
        )
    return found


def test_a_table_that_fails_stops_no_other_and_the_run_ends_failed_in_prefect_as_well(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [review("a", attachments=[{"kind": "image", "uri": "a.png"}])])
    png(otzyv.source / "a.png")
    done = run(otzyv, NETWORK, "sentiment_mini", "image_layout")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    otzyv.holds({**said, "tables": {k: v for k, v in said["tables"].items() if k != NETWORK}})
    assert said["tables"]["sentiment_mini"]["status"] == said["tables"]["image_layout"]["status"] == {"ok": 1}
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    place = str(root() / NETWORK)
    assert line.startswith(f"failed: {NETWORK} 2026-03-01: MissingWeights: ")
    assert place in line
    assert f"otzyv models pull {NETWORK}" in line
    flow_run = newest("features")
    assert flow_run.state_name == "Failed"
    assert flow_run.state is not None
    assert f"{NETWORK} 2026-03-01: MissingWeights" in str(flow_run.state.message)
    assert otzyv.opened().releases() == {}, "a day with a table that failed is not released"
    assert run(otzyv, "sentiment_mini", "image_layout").exit_code == 0
    assert newest("features").state_name == "Completed"
    assert len(otzyv.opened().releases()) == 1


def test_if_the_settings_allow_readers_see_a_day_without_the_table_that_failed_and_with_it_once_it_is_made(
    otzyv: Otzyv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_PARTIAL", "true")
    otzyv.write("a.jsonl", [review("a", attachments=[{"kind": "image", "uri": "a.png"}])])
    png(otzyv.source / "a.png")
    assert run(otzyv, "image_layout").exit_code == 0
    otzyv.write("a.jsonl", [review("a", "Иначе", attachments=[{"kind": "image", "uri": "b.png"}])])
    png(otzyv.source / "b.png", 40)
    lake = otzyv.opened()

    def broken(extractor: Extractor, *rest: Any) -> Any:
        if extractor.card.name == "image_layout":
            raise ExtractorFailed("image_layout: no such kernel")
        return extract(extractor, *rest)

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(make, "extract", broken)
            done = run(otzyv, "sentiment_mini", "image_layout")
        assert done.exit_code == 1, "it failed nevertheless"
        assert "failed: image_layout 2026-03-01" in done.stderr
        assert lake.frame(None, ["reviews"])["text"].tolist() == ["Иначе"]
        assert len(lake.frame(None, ["sentiment_mini"])) == 1
        assert seen(lake) == {"a": False}, "it would be of the former picture"
        assert [(each.verdict, each.reason) for each in lake.history()[DAY]] == [
            ("released", None),
            ("released", "failed: image_layout"),
        ]
    assert run(otzyv, "sentiment_mini", "image_layout").exit_code == 0
    assert seen(lake) == {"a": True}
    with monkeypatch.context() as patch:
        patch.setattr(make, "extract", broken)
        otzyv.write("b.jsonl", [review("c")])
        run(otzyv, "sentiment_mini", "image_layout")
    assert seen(lake) == {"a": True, "c": False}, "the pictures are as they were"


def test_each_run_of_a_day_leaves_its_table_as_an_artifact_and_no_secret(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [review("a", day="2026-05-05", author="автор")])
    assert run(otzyv, "sentiment_mini").exit_code == 0
    key = ArtifactFilterKey(any_=["features-2026-05-05"])
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(artifact_filter=ArtifactFilter(key=key))
    assert artifact.type == "markdown"
    assert artifact.flow_run_id == newest("features").id
    assert "| sentiment_mini | published | 1 | 1 | 0 |" in str(artifact.data)
    assert "a key for tests" not in str(newest("ingest").parameters)


def test_an_error_stays_in_its_cell_of_the_artifact() -> None:
    shown = markdown([failed("x", DAY, ExtractorFailed("a | b <script>"))]).splitlines()
    assert shown[-1].endswith(r"ExtractorFailed: a \| b \<script\> |")


@pytest.mark.skipif(not (SHARED / "models" / SPEECH).exists(), reason="needs the shared weights")
def test_weights_with_a_flipped_byte_are_refused_and_the_day_stays_as_it_was(otzyv: Otzyv) -> None:
    otzyv.write("a.jsonl", [review("a", attachments=[{"kind": "audio", "uri": "a.wav"}])])
    (otzyv.source / "a.wav").write_bytes(audio("WAV"))
    file = root() / SPEECH / get(SPEECH).card.weights[0].files[0].name
    shutil.copytree(SHARED / "models" / SPEECH, file.parent)
    assert run(otzyv, SPEECH).exit_code == 0
    table = get(SPEECH).card.table
    before, released = otzyv.opened().read(table), otzyv.opened().releases()
    flipped = bytearray(file.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    file.write_bytes(flipped)
    otzyv.write("b.jsonl", [review("b", attachments=[{"kind": "audio", "uri": "b.wav"}])])
    (otzyv.source / "b.wav").write_bytes(audio("WAV", pitch=330.0))
    done = run(otzyv, SPEECH)
    assert done.exit_code == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert f"{SPEECH} 2026-03-01: WrongWeights: {SPEECH}: {file.name} has sha256 " in line
    assert str(file) in line
    assert "Put it at" in line or f"otzyv models pull {SPEECH}" in line
    assert otzyv.opened().read(table).equals(before)
    assert otzyv.opened().releases() == released


def seen(lake: Lake) -> dict[str, bool]:
    """By review whether readers see features of its picture."""
    frame = lake.frame(None, ["reviews", "image_layout"])
    return dict(zip(frame["review_id"], frame["image_layout.status"] == "ok", strict=True))


def png(path: Path, size: int = 32) -> None:
    from otzyv.tasks.extractors.contract.contents import image

    path.write_bytes(image("PNG", width=size, height=size))
