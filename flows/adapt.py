"""Go on training an encoder of texts on the lake's reviews, and show what that brought."""

from __future__ import annotations

from datetime import date

from otzyv.flows.allowed import check_lake
from otzyv.flows.checked import checked_flow
from otzyv.flows.run_names import named
from otzyv.tasks.adapt import Adapted
from otzyv.tasks.adapt import adapt as go_on
from otzyv.tasks.adapt_artifacts import show_perplexity
from otzyv.tasks.training.masked_language import Training


@checked_flow(name="adapt", flow_run_name=named("adapt", "base"))
def adapt(
    lake: str,
    base: str,
    name: str | None = None,
    from_day: date | None = None,
    to_day: date | None = None,
    epochs: int = 3,
) -> Adapted:
    """The adapted encoder becomes an extractor in the model store; its perplexity is shown as artifacts.

    Args:
        lake: Folder or `s3://bucket/path` of the lake.
        base: The encoder to start from: `text_rubert_tiny2`.
        name: What the new extractor is called; without it, a name made of the base's.
        from_day: First day to learn from; without it, the lake's first.
        to_day: Last day, itself included; without it, the lake's last.
        epochs: How often every text is read.
    """
    check_lake(lake)
    made = go_on(lake, base, name, from_day, to_day, Training(epochs=epochs))
    show_perplexity(made)
    return made
