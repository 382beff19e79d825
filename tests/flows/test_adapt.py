"""Adapting a BERT by the command: the plot and the extractor are there, and Prefect shows the perplexity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from tests.flows.command import Otzyv, command, review
from tests.tasks.test_adapt import base


def test_the_command_makes_an_extractor_and_shows_its_perplexity(
    otzyv: Otzyv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base(tmp_path)
    said = {"text_base": {"kind": "transformers", "model": str(tmp_path / "text_tiny")}}
    monkeypatch.setenv("OTZYV_EXTRACTORS", json.dumps(said))
    otzyv.write("reviews.jsonl", [review(f"r{n}", f"Курс номер {n}, ужас") for n in range(30)])
    otzyv.run(extractors="text_base")
    done = command("adapt", "--lake", otzyv.lake, "--base", "text_base", "--name", "text_mine", "--epochs", "1")
    assert done.exit_code == 0, done.output
    assert "perplexity of 3 held-out texts" in done.output
    assert (tmp_path / "models" / "text_mine" / "perplexity.svg").is_file()
    with get_client(sync_client=True) as client:
        for key, what in (
            ("perplexity-text-mine", '"perplexity"'),
            ("perplexity-text-mine-plot", "data:image/svg+xml"),
        ):
            only = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
            (shown,) = client.read_artifacts(artifact_filter=only)
            assert what in str(shown.data)
    assert otzyv.run(extractors="text_mine")["tables"]["text_mine"]["status"] == {"ok": 30}
    refused = command("adapt", "--lake", otzyv.lake, "--base", "text_navec")
    assert refused.exit_code == 2
    assert "is no encoder of texts that could learn on" in refused.output
