"""What is told of is what a person would expect: once when it begins, at times while it lasts, once when it is over."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from otzyv.tasks.alerts.kinds import DEPLOYMENT_GONE, FAILED, KINDS, MISSING
from otzyv.tasks.alerts.state import Observation, Repeats, State, Trouble, observe

HOUR = 3600.0
SUBJECTS = ("a", "b", "c")
steps = st.lists(
    st.tuples(
        st.floats(60, HOUR) | st.floats(60, 30 * HOUR),
        st.dictionaries(st.sampled_from(SUBJECTS), st.booleans(), max_size=3),  # what was looked at, and is wrong
    ),
    max_size=40,
)


def expected(looks: list[tuple[float, bool]], again: float, most: int) -> list[tuple[float, str]]:
    """One subject of a kind that repeats: what a person is told, and when. ``looks``: when it was seen, and how."""
    told: list[tuple[float, str]] = []
    trouble: list[float] | None = None  # when a person was told of the trouble there is
    for now, bad in looks:
        if not bad:
            if trouble:
                told.append((now, "over"))
            trouble = None
        elif not trouble:
            trouble = []
            if sum(1 for when, how in told if how == "raised" and now - when < 24 * HOUR) < 3:
                told.append((now, "raised"))
                trouble = [now]
        elif now - trouble[-1] >= again and len(trouble) <= most:
            told.append((now, "again"))
            trouble.append(now)
    return told


@given(steps=steps, again=st.floats(0.1, 48), most=st.integers(0, 4))
def test_what_is_told_of_lasting_trouble_is_what_a_simple_model_says(
    steps: list[tuple[float, dict[str, bool]]], again: float, most: int
) -> None:
    state, now = State(), 1e9
    told: dict[str, list[tuple[float, str]]] = {subject: [] for subject in SUBJECTS}
    looks: dict[str, list[tuple[float, bool]]] = {subject: [] for subject in SUBJECTS}
    for seconds, seen in steps:
        now += seconds
        found = {subject: Trouble("wrong") for subject, bad in seen.items() if bad}
        state = State.load(state.dump())  # as after a restart
        for message in observe(state, Observation(MISSING, found, [*seen]), now, Repeats(again * HOUR, most), ["one"]):
            for subject in message.subjects:
                told[subject].append((now, message.how))
        for subject, bad in seen.items():
            looks[subject].append((now, bad))
    for subject in SUBJECTS:
        assert told[subject] == expected(looks[subject], again * HOUR, most), subject
    counted = Counter(how for of_one in told.values() for _, how in of_one)
    assert state.counts.get(MISSING.name, {}) == counted
    assert len(state.outbox) <= sum(counted.values())


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=30))
def test_each_run_that_failed_is_told_once_however_often_and_late_it_is_seen_and_over_once(
    looks: list[tuple[int, bool]],
) -> None:
    """``looks``: a run's number and whether it failed; two processes see the same runs, in any order."""
    state, told, raised, over = State(), set[int](), list[str](), 0
    expected_over, trouble = 0, False
    for now, (run, failed) in enumerate(looks):
        found = {"daily": Trouble(f"run {run}", str(run))} if failed else {}
        for message in observe(state, Observation(FAILED, found, ["daily"]), float(now), Repeats(1, 9), []):
            raised += message.what if message.how == "raised" else []
            over += message.how == "over"
            assert message.how != "again", "each run is told by itself"
        if failed and run not in told:
            told.add(run)
            trouble = True
        elif not failed:
            expected_over += trouble
            trouble = False
    assert Counter(raised) == Counter(f"run {run}" for run in told)
    assert over == expected_over


def test_what_comes_and_goes_is_told_three_times_a_day_each_with_its_end() -> None:
    state, hows = State(), list[str]()
    for minute in range(0, 36 * 60, 10):
        found = {"a": Trouble("wrong")} if minute % 20 else {}
        hows += [each.how for each in observe(state, Observation(MISSING, found), minute * 60.0, Repeats(HOUR, 3), [])]
    assert hows == ["raised", "over"] * 6, "three on the first day, and three on the next"


def test_what_does_not_last_is_told_once_and_is_never_over() -> None:
    state, repeats = State(), Repeats(1, 3)
    found = {"daily": Trouble("deleted", "id 1")}
    hows = [
        [message.how for message in observe(state, Observation(DEPLOYMENT_GONE, seen), float(now), repeats, ["one"])]
        for now, seen in enumerate([found, found, {}, found, {"daily": Trouble("deleted", "id 2")}])
    ]
    assert hows == [["raised"], [], [], [], ["raised"]]


def test_many_subjects_are_one_message_which_says_why_of_each() -> None:
    state = State()
    found = {f"2026-01-{day:02}": Trouble(f"why {day}") for day in range(1, 29)}
    (message,) = observe(state, Observation(MISSING, found), 0.0, Repeats(1, 3), ["one"])
    assert dict(zip(message.subjects, message.what, strict=True)) == {day: seen.what for day, seen in found.items()}
    assert state.outbox == [message]
    assert observe(state, Observation(MISSING, found), 0.5, Repeats(1, 3), ["one"]) == []
    (over,) = observe(state, Observation(MISSING, {}), 0.6, Repeats(1, 3), ["one"])
    assert (over.how, len(over.subjects)) == ("over", 28)


def test_without_receivers_nothing_waits() -> None:
    state = State()
    assert observe(state, Observation(MISSING, {"a": Trouble("wrong")}), 0.0, Repeats(1, 3), [])
    assert state.outbox == []


def test_kinds_and_their_events_are_told_apart() -> None:
    assert len({kind.event for kind in KINDS.values()}) == len(KINDS)


def test_occurrences_of_one_cause_are_one_thing_and_those_of_another_are_told_by_themselves() -> None:
    state, told = State(), []
    seen = [("1", "no weights"), ("2", "no weights"), ("3", "no weights"), ("4", ""), ("5", "no weights"), ("6", "")]
    for hour, (run, cause) in enumerate(seen):
        look = Observation(FAILED, {"daily": Trouble(f"run {run}", run, cause)}, ["daily"])
        told += [each.how for each in observe(state, look, hour * HOUR, Repeats(2 * HOUR, 3), ["one"])]
        alarm = Observation(FAILED, {"daily": Trouble("its page has the reason", run)}, ["daily"])
        assert observe(state, alarm, hour * HOUR + 60, Repeats(2 * HOUR, 3), ["one"]) == [], "who looks later is silent"
        state = State.load(state.dump())
    assert told == ["raised", "again", "raised", "raised", "raised"]
    over = observe(state, Observation(FAILED, {}, ["daily"]), 9 * HOUR, Repeats(HOUR, 3), ["one"])
    assert [each.how for each in over] == ["over"]
    again = Observation(FAILED, {"daily": Trouble("run 7", "7", "no weights")}, ["daily"])
    assert [each.how for each in observe(state, again, 10 * HOUR, Repeats(HOUR, 3), ["one"])] == ["raised"]
