"""A day is held just where a figure is beyond its limit, and chance alone holds no day."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otzyv.tasks.quality.verdict import Limits, Measured, VectorStats, critical, shift
from otzyv.tasks.sources.tally import Tally

GOOD = {"rows": 200.0, "status.ok": 190.0, "status.empty": 10.0, "label.good": 150.0, "label.bad": 50.0}


def said(
    now: dict[str, float],
    before: dict[str, float] | None = GOOD,
    usual: tuple[int, ...] = (200,),
    limits: Limits = Limits(),  # noqa: B008
) -> str:
    former = None if before is None else Measured({"clean_text": before})
    return "; ".join(critical(limits, Measured({"clean_text": now}), former, usual, reviews="clean_text"))


def test_a_usual_day_and_the_first_day_of_all_are_not_held() -> None:
    assert said(GOOD) == ""
    assert said(GOOD, None, ()) == ""
    assert said({"rows": 3.0, "status.undecodable": 3.0}, None, ()) == "", "three rows tell nothing"


@pytest.mark.parametrize(
    ("figures", "limit", "told"),
    [
        ({"status.ok": 140.0, "status.undecodable": 50.0}, "not_ok", "25% of 200 rows have no features (50 undec"),
        ({"status.ok": 80.0, "status.empty": 120.0}, "empty", "60% of 200 texts are empty"),
        ({"rows": 90.0, "status.ok": 80.0}, "fallen", "90 rows, where the days before have 200"),
        (
            {"label.good": 50.0, "label.bad": 150.0},
            "labels",
            "50% of the rows have another label than before (good: 75%, now 25%)",
        ),
    ],
)
def test_what_is_beyond_a_limit_is_told_with_its_figures(figures: dict[str, float], limit: str, told: str) -> None:
    assert told in said({**GOOD, **figures})
    assert said({**GOOD, **figures}, limits=Limits.model_validate({limit: 1.0})) == "", "a limit of 1 is none"


@given(st.integers(0, 1000), st.integers(50, 5000), st.integers(-1, 1))
@example(290, 100, 0)
@example(70, 100, 0)
def test_a_figure_just_at_its_limit_is_not_beyond_it(thousandths: int, rows: int, more: int) -> None:
    limit, wanted = thousandths / 1000, Fraction(thousandths, 1000)
    count = min(max(math.floor(wanted * rows) + more, 0), rows)
    beyond = Fraction(count, rows) > wanted
    whole, part = float(rows), float(count)
    for metric, name in (("status.damaged", "not_ok"), ("status.empty", "empty")):
        figures = {"rows": whole, metric: part, "status.ok": whole - part}
        limits = Limits.model_validate({"not_ok": 1, "empty": 1, name: limit})
        assert bool(said(figures, None, (), limits)) == beyond
    limits = Limits(not_ok=1, empty=1, fallen=limit)
    assert bool(said({"rows": whole - part}, None, (rows,), limits)) == beyond
    now, then = {"rows": whole, "label.a": whole - part, "label.b": part}, {"rows": whole, "label.a": whole}
    assert bool(said(now, then, (), Limits(fallen=1, labels=limit))) == beyond
    tally = Tally(Counter({"a.jsonl": rows}), Counter({"a.jsonl": count}))
    assert bool(list(tally.failures(limit))) == (beyond or count == rows)


def test_labels_that_are_all_others_are_not_beyond_a_limit_of_1() -> None:
    for seed in range(300):
        random = np.random.default_rng(seed)
        now, before = (
            {f"label.{c}": float(n) for c, n in zip(labels, random.integers(1, 99, 4), strict=True)}
            for labels in ("abcd", "efgh")
        )
        none = Limits(labels=1, not_ok=1, empty=1, fallen=1)
        assert said({"rows": 200.0, **now}, {"rows": 200.0, **before}, limits=none) == "", seed


def test_a_day_that_shrinks_is_held_although_the_days_before_were_small() -> None:
    assert "readers see now 200" in said({"rows": 20.0}, GOOD, (10, 12))
    assert said({"rows": 20.0}, {"rows": 30.0}, (10, 12)) == ""
    assert "1 rows, where the days before have 174" in said({"rows": 1.0}, None, (174,)), "however few are left"


def cloud(seed: int, rows: int, moved: float = 0.0) -> VectorStats:
    vectors = np.random.default_rng(seed).standard_normal((rows, 32)) + moved
    return VectorStats(rows, vectors.mean(0), float(np.sqrt(vectors.var(0).sum())))


def test_the_shift_of_a_mean_is_measured_in_spreads_and_chance_moves_it_little() -> None:
    chance = [shift(cloud(seed, 50), cloud(seed + 100, 60)) for seed in range(50)]
    assert max(chance) < 0.2
    assert shift(cloud(1, 50, 0.7), cloud(2, 60)) == pytest.approx(0.7, abs=0.05)
    still = VectorStats(50, np.ones(3), 0.0)
    assert (shift(still, still), shift(still, VectorStats(50, np.zeros(3), 0.0))) == (0.0, float("inf"))


def test_vectors_of_another_model_are_not_compared() -> None:
    def of(seed: int, moved: float, model: str) -> Measured:
        return Measured({"text_toy": {"rows": 60.0}}, {"text_toy": cloud(seed, 60, moved)}, {"text_toy": model})

    for model, held in (("one", 1), ("two", 0)):
        assert len(list(critical(Limits(), of(1, 2, model), of(2, 0, "one"), (), reviews="clean_text"))) == held
