"""``otzyv fit`` and ``otzyv promote``."""

from __future__ import annotations

import json

from tests.flows.command import Otzyv, command, review
from tests.tasks.extractors.contents import TEXTS


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
