"""``otzyv fit`` and ``otzyv promote``."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from otzyv.tasks.extractors import get
from otzyv.tasks.extractors.contract.contents import TEXTS, image
from otzyv.tasks.lake import Lake
from tests.flows.command import Otzyv, command, review

plain = pytest.mark.usefixtures("without_prefect")


def test_fit_run_fit_promote_run(otzyv: Otzyv) -> None:
    otzyv.write(
        "a.jsonl", [review(f"r{n}", f"{TEXTS[n % 4]} {TEXTS[n % 3]}", f"2026-03-0{n % 2 + 1}") for n in range(9)]
    )
    command("ingest", "--source", otzyv.source, "--lake", otzyv.lake)
    before = command("features", "--lake", otzyv.lake, "--extractors", "text_tfidf")
    assert before.exit_code == 1
    assert f"Run `otzyv fit text_tfidf --lake {otzyv.lake} --from DAY --to DAY`" in before.stderr
    days = ("--from", "2026-03-01", "--to", "2026-03-02")
    fitted = json.loads(command("fit", "text_tfidf", "--lake", otzyv.lake, *days, "--json").stdout)
    assert (fitted["version"], fitted["state"], fitted["fitted_on"]["days"]) == (1, "current", 2)
    said = otzyv.run(extractors="text_tfidf")
    assert said["tables"]["text_tfidf"]["status"] == {"ok": 9}
    again = command("fit", "text_tfidf", "--lake", otzyv.lake, "--day", "2026-03-01")
    assert f"next: otzyv promote text_tfidf --version 2 --lake {otzyv.lake}" in again.stdout
    assert otzyv.run(extractors="text_tfidf")["tables"]["text_tfidf"]["computed"] == 0
    assert command("promote", "text_tfidf", "--lake", otzyv.lake).stdout.startswith("text_tfidf version 2 is in use")
    assert otzyv.run(extractors="text_tfidf")["tables"]["text_tfidf"]["computed"] == 9
    assert "it has: 1, 2" in command("promote", "text_tfidf", "--version", "7", "--lake", otzyv.lake).stderr
    assert "sentiment_mini does not learn" in command("fit", "sentiment_mini", "--lake", otzyv.lake).stderr


@plain
def test_fit_and_promote_on_s3(otzyv: Otzyv, s3: str) -> None:
    lake = f"{s3}/fit"

    def said(*arguments: str) -> Any:
        done = command(*arguments, "--lake", lake, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    otzyv.write("a.jsonl", [review(f"r{n}", TEXTS[n % 4], f"2026-03-0{n % 2 + 1}") for n in range(9)])
    run = ("run", "--source", str(otzyv.source), "--extractors", "text_count")
    assert "Run `otzyv fit text_count" in command(*run, "--lake", lake).stderr
    first, again = said("fit", "text_count"), said("fit", "text_count")
    assert (first["version"], first["state"], first["sha256"]) == (1, "current", again["sha256"])
    assert said(*run)["tables"]["text_count"]["status"] == {"ok": 9}
    second = said("fit", "text_count", "--day", "2026-03-01")
    assert (second["version"], second["state"]) == (2, "candidate")
    assert command("promote", "text_count", "--lake", lake).exit_code == 0
    assert said(*run)["tables"]["text_count"]["computed"] == 9
    assert len(set(Lake(lake).read(get("text_count").card.table)["fingerprint"].to_pylist())) == 1


@plain
def test_the_components_of_pictures_are_made_of_the_table_of_the_pictures(otzyv: Otzyv) -> None:
    source, name = "image_pixels", "pca_image_pixels"
    records = []
    for n in range(41):
        (otzyv.source / f"{n}.png").write_bytes(
            image("PNG", seed=n, width=40, height=36) if n else b"\x89PNG\r\n\x1a\n"
        )
        attached = [{"kind": "image", "uri": f"{n}.png"}]
        records.append(review(f"r{n}", None, f"2026-03-0{1 if n < 36 else 2}", attachments=attached))
    otzyv.write("a.jsonl", records)
    otzyv.run(extractors=source)
    fitted = json.loads(command("fit", name, "--lake", otzyv.lake, "--json").stdout)
    assert (fitted["state"], fitted["fitted_on"]["table"], fitted["fitted_on"]["rows"]) == ("current", source, 41)
    listed = json.loads(command("models", "--lake", otzyv.lake, "--json").stdout)
    assert [each["fits"][0]["fitted_on"] for each in listed if each["name"] == name] == [fitted["fitted_on"]]
    told = f"explained_variance {fitted['fitted_on']['explained_variance']}"
    assert told in command("models", "--lake", otzyv.lake).stdout
    tables = otzyv.run(extractors=f"{name},{source}")["tables"]  # in whatever order they are named
    assert tables[name]["status"] == tables[source]["status"] == {"ok": 40, "undecodable": 1}
    lake = otzyv.opened()
    pixels, components = (lake.read(get(table).card.table).sort_by("review_id").to_pylist() for table in (source, name))
    for column in ("review_id", "position", "content_sha256", "status"):
        assert [row[column] for row in components] == [row[column] for row in pixels]
    far, near = (np.array([row["embedding"] for row in rows if row["embedding"]]) for rows in (pixels, components))
    assert near.shape == (40, 32)
    centred = far - far.mean(axis=0)
    assert np.square(near).sum() / np.square(centred).sum() == pytest.approx(
        fitted["fitted_on"]["explained_variance"], abs=1e-4
    )
    turned = centred @ np.linalg.lstsq(centred, near)[0]
    assert np.abs(turned - near).max() < 1e-3 * np.abs(near).max(), "a turn of the centred pixels"
    assert command("fit", name, "--lake", otzyv.lake, "--day", "2026-03-01").exit_code == 0
    assert otzyv.run(extractors=name)["tables"][name]["reused"] == 41
    assert command("promote", name, "--lake", otzyv.lake).exit_code == 0
    assert otzyv.run(extractors=name)["tables"][name]["computed"] == 40, "all that have a picture"
