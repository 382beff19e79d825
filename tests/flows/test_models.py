"""``otzyv models``: what is listed is what the cards say, and nothing is fetched unseen."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from otzyv.flows.command.main import main
from otzyv.schemas.sample import sample
from otzyv.schemas.tables import RUNS
from otzyv.tasks.extractors import catalogue, get, names, shipped
from otzyv.tasks.lake import Lake
from otzyv.tasks.lake.delta.publish import append
from otzyv.tasks.models.store import choose

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def otzyv(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(main, ["models", *arguments], input=answer)


def test_the_document_of_models_has_the_table_of_the_cards() -> None:
    said = PAGE.read_text(encoding="utf-8")
    table = catalogue.inserted(said, [get(name).card for name in shipped()])
    assert said == table, "run: otzyv models --markdown docs/models.md"
    assert all(f"| `{name}` |" in said for name in shipped())


def test_the_table_of_a_file_is_renewed_between_its_marks_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{catalogue.BEGIN}\nold\n{catalogue.END}\nafter\n")
    assert otzyv("--markdown", str(page)).exit_code == 0
    said = page.read_text()
    assert said.startswith(f"before\n{catalogue.BEGIN}\n| name |")
    assert said.endswith(f"|\n{catalogue.END}\nafter\n")
    assert "old" not in said
    page.write_text("no marks")
    refused = otzyv("--markdown", str(page))
    assert refused.exit_code == 1
    assert catalogue.BEGIN in refused.output
    assert page.read_text() == "no marks"


def test_every_extractor_is_listed_with_what_its_card_says_and_whether_it_can_run() -> None:
    listed = {row["name"]: row for row in json.loads(otzyv("--json").output)}
    shown = otzyv().output
    assert tuple(listed) == names()
    for name, row in listed.items():
        card = get(name).card
        assert (row["dim"], row["parameters"], row["licence"]) == (card.dim, card.parameters, card.licence)
        assert row["contents_per_second"] is None
        assert name in shown
    assert listed["text_navec"]["here"]
    assert (listed["text_navec"]["bytes"], listed["text_navec"]["exact"]) == (26_634_240, True)
    assert (listed["image_resnet50"]["bytes"], listed["image_resnet50"]["exact"]) == (102_530_810, False)
    assert "≈ 102.5 MB" in shown
    assert (listed["image_resnet50"]["sha256"], listed["audio_hubert"]["sha256"]) == ("8 digits", "whole")
    assert {listed[name]["sha256"] for name in ("sentiment_dostoevsky", "image_darknet19")} == {"none"}
    chosen = [weights for name in names() if (weights := choose(get(name).card))]
    loose = sum(any(len(file.sha256) != 64 for file in weights.files) for weights in chosen)
    assert f"{loose} without a whole sha256" in shown
    assert listed["sentiment_dostoevsky"]["bytes"] is None
    assert listed["image_layout"]["here"]
    assert listed["image_layout"]["bytes"] == 0
    assert not listed["text_rubert_tiny2"]["here"]
    assert listed["text_rubert_tiny2"]["input"] == "512 tokens"


@pytest.mark.parametrize("record", [b'{"days": [', b"[]", b"\xff", b'{"days": ["2026-03-01", "2026-13-01"]}'])
@pytest.mark.usefixtures("prefect_server")
def test_a_broken_record_of_an_adapted_encoder_is_told_and_takes_no_other_extractor_with_it(
    store: Path, tmp_path: Path, record: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTZYV_AUTHOR_KEY", "a key of tests")
    (store / "text_mine").mkdir(parents=True)
    (store / "text_mine" / "adapted.json").write_bytes(record)
    lake = Lake.create(tmp_path / "lake")
    said = f"{store / 'text_mine' / 'adapted.json'} is not as `otzyv adapt` wrote it ("
    listed = otzyv()
    assert listed.exit_code == 0
    assert f"unavailable: text_mine: {said}" in listed.output
    assert {"name": "text_mine", "unavailable": ANY} in json.loads(otzyv("--json").output)
    asked = otzyv("where", "text_mine")
    assert (asked.exit_code, asked.stdout) == (1, "")
    assert asked.stderr.startswith(f"Error: {said}")
    assert otzyv("where", "text_navec").exit_code == 0
    verified = otzyv("verify")
    assert verified.exit_code == 1
    assert f"text_mine: unavailable ({said}" in verified.output
    for needs_none in (("maintain",), ("releases",), ("doctor",), ("forget", "--review", "a", "--yes")):
        assert CliRunner().invoke(main, [*needs_none, "--lake", lake.uri]).exit_code == 0


def test_rates_are_those_of_the_lakes_runs(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake")
    figures = ((60, 2.0), (30, 1.0), (0, 9.0))
    rows = [
        {**row, "table": "text_navec", "computed": computed, "seconds": seconds}
        for row, (computed, seconds) in zip(sample(RUNS, len(figures), seed=1).to_pylist(), figures, strict=True)
    ]
    append(lake.storage, RUNS, pa.Table.from_pylist(rows, schema=RUNS.arrow))
    listed = {row["name"]: row["contents_per_second"] for row in json.loads(otzyv("--json", "--lake", lake.uri).output)}
    assert listed.pop("text_navec") == 30.0
    assert set(listed.values()) == {None}
    assert "30.0" in otzyv("--lake", lake.uri).output


def test_where_names_the_place_of_each_file_whether_it_is_there_or_not(store: Path) -> None:
    said = otzyv("where", "text_rubert_tiny2").output.split()
    assert said == [str(store / "text_rubert_tiny2" / file) for file in
                    ("model.safetensors", "config.json", "tokenizer.json")]  # fmt: skip
    assert Path(otzyv("where", "text_navec").output.strip()).is_file()
    unknown = otzyv("where", "text_nothing")
    assert unknown.exit_code == 2
    assert "text_rubert_tiny2" in unknown.output


def test_verify_fails_for_a_wrong_file_and_for_a_missing_one_that_was_named(store: Path) -> None:
    assert otzyv("verify").exit_code == 0
    assert "text_navec: good" in otzyv("verify").output
    named = otzyv("verify", "text_rubert_tiny2")
    assert named.exit_code == 1
    assert "not here" in named.output
    place = store / "image_mobilenetv2"
    place.mkdir(parents=True)
    (place / "mobilenet_v2-b0353104.pth").write_bytes(b"something else")
    wrong = otzyv("verify")
    assert wrong.exit_code == 1
    assert "image_mobilenetv2: wrong (image_mobilenetv2: mobilenet_v2-b0353104.pth has sha256" in wrong.output
    profile = otzyv("verify", "no_profile")
    assert profile.exit_code == 2
    assert "embedded" in profile.output


def test_a_licence_is_shown_and_one_that_forbids_commercial_use_asks_first(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr("otzyv.tasks.models.fetch.pull", lambda name, *_, **__: fetched.append(name))
    free = otzyv("pull", "image_resnet50")
    assert "licence BSD-3-Clause" in free.output
    assert fetched == ["image_resnet50"]
    for answer in ("n\n", ""):
        refused = otzyv("pull", "sentiment_dostoevsky", answer=answer)
        assert refused.exit_code == 1
        assert "CC BY-NC-SA 4.0" in refused.output
    assert fetched == ["image_resnet50"]
    assert otzyv("pull", "sentiment_dostoevsky", answer="y\n").exit_code == 0
    assert otzyv("pull", "sentiment_dostoevsky", "--yes").exit_code == 0
    assert fetched == ["image_resnet50", *["sentiment_dostoevsky"] * 2]
    told = otzyv("pull", "embedded", "--json")
    rows = {row.pop("name"): row for row in json.loads(told.stdout)}
    assert rows["image_layout"] == {"source": None, "revision": None, "licence": None, "files": {}}
    assert {Path(path).is_file() for path in rows["text_navec"]["files"].values()} == {True}
    (row,) = json.loads(otzyv("pull", "image_resnet50", "--json", "--to", "elsewhere").stdout)
    assert fetched.pop() == "image_resnet50"
    assert (row["licence"], row["files"]) == (
        "BSD-3-Clause", {name: f"elsewhere/image_resnet50/{name}" for name in row["files"]},
    )  # fmt: skip
    asked = otzyv("pull", "sentiment_dostoevsky", "--json", answer="n\n")
    assert (asked.stdout, "CC BY-NC-SA 4.0" in asked.stderr) == ("", True)
    assert otzyv("pull", "image_layout").output == "image_layout needs no weights\n"
    assert "text_navec has its weights outside of the store: /" in otzyv("pull", "text_navec").output
    assert len(fetched) == 3
    fetched.clear()  # what a card prefers is fetched, though it can do with what a package brings
    assert "download.pytorch.org/models/mobilenet_v2" in otzyv("pull", "image_mobilenetv2").output
    assert "huggingface.co/cointegrated/rubert-tiny2" in otzyv("pull", "text_bert_word").output
    assert fetched == ["image_mobilenetv2", "text_bert_word"]


def test_weights_go_to_another_machine_in_an_archive(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Path(__file__).parents[2].parent / "shared" / "models" / "audio_silero_vad"
    if not shared.is_dir():
        pytest.skip("../shared with silero-vad's weights is not here")
    shutil.copytree(shared, store / "audio_silero_vad")
    archive = tmp_path / "weights.tar"
    exported = otzyv("export", "audio_silero_vad", "embedded", "--to", str(archive))
    assert exported.exit_code == 0
    assert "image_layout" in exported.output
    said = json.loads(otzyv("export", "audio_silero_vad", "embedded", "--to", str(archive), "--json").stdout)
    assert (said["archive"], said["bytes"]) == (str(archive), archive.stat().st_size)
    assert (said["names"], "image_layout" in said["left_out"]) == (["audio_silero_vad"], True)
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "elsewhere"))
    assert otzyv("verify", "audio_silero_vad").exit_code == 1
    taken = json.loads(otzyv("import", str(archive), "--json").stdout)
    assert taken == {"store": str(tmp_path / "elsewhere"), "names": ["audio_silero_vad"]}
    assert otzyv("verify", "audio_silero_vad").exit_code == 0


def test_a_settings_file_that_is_not_there_stops_only_what_reads_settings(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake.create(tmp_path / "lake")
    monkeypatch.setenv("OTZYV_SETTINGS", str(tmp_path / "none.toml"))
    said = f"settings: no file {tmp_path / 'none.toml'} (OTZYV_SETTINGS)"
    imported = subprocess.run(
        [sys.executable, "-c", "import otzyv.flows.backfill, otzyv.flows.serving.serve, otzyv.flows.daily"], check=False
    )
    assert imported.returncode == 0
    listed = otzyv()
    assert (listed.exit_code, listed.output.count(f"unavailable: settings: {said}\n")) == (0, 1)
    for reads_none in (("releases",), ("doctor",), ("show", "reviews")):
        assert CliRunner().invoke(main, [*reads_none, "--lake", lake.uri]).exit_code == 0
    refused = CliRunner().invoke(main, ["run", "--source", str(tmp_path), "--lake", lake.uri])
    assert (refused.exit_code, refused.stderr) == (2, f"Error: {said}\n")
    asked = otzyv("where", "text_mine")  # which the file may name
    assert (asked.exit_code, asked.stderr) == (2, f"Error: {said}\n")
