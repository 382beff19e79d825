"""Let an extractor learn from days of the lake."""

from __future__ import annotations

from datetime import date

from otzyv.flows.allowed import check_lake
from otzyv.flows.checked import checked_flow
from otzyv.flows.run_names import named
from otzyv.tasks.fit import Fitted
from otzyv.tasks.fit import fit as learn


@checked_flow(name="fit", flow_run_name=named("fit", "name"))
def fit(lake: str, name: str, from_day: date | None = None, to_day: date | None = None) -> Fitted:
    """What is learned is kept in the lake: the first of its name is in use at once, later ones once promoted.

    Args:
        lake: Folder or `s3://bucket/path` of the lake.
        name: An extractor that learns from a lake: `text_tfidf`, `text_word2vec`, `pca_text_navec`, …
        from_day: First day to learn from; without it, the lake's first.
        to_day: Last day, itself included; without it, the lake's last.
    """
    check_lake(lake)
    return learn(lake, name, from_day, to_day)
