"""What a run is given that none can be made of is refused by a sentence, whichever way it came."""

from __future__ import annotations

from typing import Any

import pytest

from otzyv.flows.backfill import backfill
from otzyv.flows.checked import WrongParameters
from otzyv.flows.daily import daily
from otzyv.flows.fit import fit
from otzyv.flows.maintain import maintain

NO_DAY = "is no day: write it as 2026-03-01"


@pytest.mark.parametrize(
    ("flow", "given", "said"),
    [
        (backfill, {"request": {"from_day": "2026-03-01"}}, "From and To go together; for one day give it twice"),
        (backfill, {"request": {"from_day": "2026-02-30", "to_day": "2026-03-01"}}, f"request.from_day {NO_DAY}"),
        (backfill, {"request": {"days": ["2026-03-01", "2026-04-31"]}}, f"request.days.1 {NO_DAY}"),
        (
            backfill,
            {"request": {"from_day": "2026-03-02", "to_day": "2026-03-01"}},
            "2026-03-02 comes after 2026-03-01",
        ),
        (backfill, {"request": {"budget": -1}}, "request.budget: input should be greater than or equal to 0"),
        (backfill, {}, "request: field required"),
        (daily, {"day": "Иван Петров"}, f"day {NO_DAY}"),
        (daily, {"dya": "2026-03-01"}, "daily is to be given lake, and knows no dya"),
        (fit, {"name": "text_tfidf", "to_day": "2026-02-29"}, f"to_day {NO_DAY}"),
        (maintain, {"keep": 3}, "keep: input should be a valid dictionary or instance of Keep"),
    ],
)
def test_wrong_parameters_are_named_in_a_sentence(flow: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongParameters) as refused:
        flow.validate_parameters({"lake": "/lake", **given})
    assert str(refused.value) == said


def test_a_run_that_is_refused_says_so_in_its_state(prefect_server: None) -> None:
    state = daily("/lake", day="tomorrow", return_state=True)
    assert state.is_failed()
    assert state.message == f"Validation of flow parameters failed with error: WrongParameters: day {NO_DAY}"
