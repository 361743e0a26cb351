"""plan/tick_queues.py: the queues against what was measured, and against a simulation of every single tick."""

from __future__ import annotations

import heapq
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from region_operator.plan.tick_queues import BURST_SECONDS, LATE_SECONDS, PODS_PER_JOB, Capacity, Outcome, simulate

if TYPE_CHECKING:
    from collections.abc import Mapping

PLENTY = Capacity(slots=100_000, jobs_per_second=100_000, start_seconds=3, slot_seconds=5, pods_per_job=100)


def test_what_a_controller_with_default_settings_did_with_500_cronjobs_of_one_minute() -> None:
    """It created 264 Jobs within a start deadline of 30 s, and lost 235 (Kubernetes 1.37, control plane only)."""
    found = simulate({0: {30: 500}}, replace(PLENTY, jobs_per_second=8.4))
    assert found[0].lost == pytest.approx(235, rel=0.05)


def test_what_a_job_controller_with_default_settings_did_with_more_jobs_than_it_could_serve() -> None:
    """It made 180 pods a minute that claimed, with slots to spare, while 370 Jobs were made (Kubernetes 1.37)."""
    overloaded = {minute: {300: 370} for minute in range(10)}
    found = simulate(overloaded, replace(PLENTY, jobs_per_second=8, pods_per_job=PODS_PER_JOB))
    assert sum(outcome.due - outcome.lost for outcome in found.values()) == pytest.approx(180 * 15, rel=0.1)


def test_what_four_slots_did_with_twenty_ticks_of_one_minute() -> None:
    """The last of 20 ticks of 5.5 s in 4 slots started 22 s after the minute, so 30 s are enough and 9 s are not."""
    capacity = replace(PLENTY, slots=4, slot_seconds=5.5, start_seconds=15)
    assert simulate({0: {30: 20}}, capacity)[0].lost == 0
    assert simulate({0: {9: 20}}, capacity)[0].lost == pytest.approx(20 - 8, abs=2)


@pytest.mark.parametrize("minutes", [{}, {0: {20: 1}}, {7: {300: 10, 20: 5}, 9: {300: 10}}])
def test_with_plenty_every_tick_starts_in_time(minutes: Mapping[int, Mapping[int, int]]) -> None:
    expected = {minute: Outcome(sum(counts.values())) for minute, counts in minutes.items()}
    assert simulate(minutes, PLENTY) == expected


def test_a_backlog_is_carried_from_minute_to_minute() -> None:
    slow = replace(PLENTY, jobs_per_second=1)
    alone = simulate({2: {90: 50}}, slow)[2]
    after_others = simulate({0: {170: 150}, 2: {90: 50}}, slow)[2]
    assert (alone.late, alone.lost) == (0, 0)
    assert after_others.late > 0
    assert after_others.lost == 0
    assert simulate({0: {170: 170}, 1: {110: 50}, 2: {90: 50}}, slow)[2].lost > 0


def test_who_waits_longer_loses_less() -> None:
    found = simulate({0: {20: 100, 300: 100}}, replace(PLENTY, jobs_per_second=1))
    assert found[0].lost == pytest.approx(100 - 10, abs=2), "half of the Jobs of the first 20 s, and none of the rest"


def test_a_tick_may_have_its_slot_after_the_deadline_if_it_claims_within_the_tolerance() -> None:
    capacity = replace(PLENTY, slots=1, slot_seconds=10)
    assert simulate({0: {20: 10}}, capacity)[0].lost == pytest.approx(10 - 4, abs=0.1), "0, 10, 20 and 30 s"
    assert simulate({0: {20: 10}}, replace(capacity, start_seconds=15))[0].lost == pytest.approx(10 - 2, abs=0.1)


demands = st.dictionaries(
    st.integers(0, 30),
    st.dictionaries(st.sampled_from([15, 20, 100, 300]), st.integers(1, 400), min_size=1),
    max_size=15,
).map(lambda found: dict(sorted(found.items())))
capacities = st.builds(
    Capacity,
    slots=st.integers(1, 60),
    jobs_per_second=st.floats(0.5, 40),
    start_seconds=st.floats(0.5, 10),
    slot_seconds=st.floats(0.2, 100),
)


@settings(deadline=None)
@given(demands, capacities)
def test_every_tick_is_in_time_late_or_lost(demand: dict[int, dict[int, int]], capacity: Capacity) -> None:
    for minute, outcome in simulate(demand, capacity).items():
        assert outcome.due == sum(demand[minute].values())
        assert min(outcome.late, outcome.lost) >= 0
        assert outcome.late + outcome.lost <= outcome.due + 1e-3


def one_by_one(demand: Mapping[int, Mapping[int, int]], capacity: Capacity, seed: int) -> dict[int, Outcome]:
    """Simulate every tick by itself: in a random order within its minute, with exact times and whole slots."""
    chance = random.Random(seed)  # noqa: S311 - repeatable is the point
    outcomes = {minute: Outcome(sum(counts.values())) for minute, counts in demand.items()}
    ready, jobs_at = 0.0, capacity.burst
    pods = [0.0] * max(1, round(capacity.burst * capacity.pods_per_job))  # when each pod of a burst may be made
    slots = [0.0] * capacity.slots
    for minute, counts in demand.items():
        ticks = [deadline for deadline, count in counts.items() for _ in range(count)]
        chance.shuffle(ticks)
        for deadline in ticks:
            due = 60.0 * minute
            now = max(ready, due)
            jobs_at = min(capacity.burst, jobs_at + (now - ready) * capacity.jobs_per_second)
            ready = now
            made = now if jobs_at >= 1 else now + (1 - jobs_at) / capacity.jobs_per_second
            if made >= due + deadline:
                outcomes[minute].lost += 1
                continue
            jobs_at = min(capacity.burst, jobs_at + (made - now) * capacity.jobs_per_second) - 1
            ready = made
            start = max(made, slots[0], pods[0])
            if start >= due + deadline + capacity.patience_seconds:
                outcomes[minute].lost += 1
                continue
            heapq.heapreplace(slots, start + capacity.slot_seconds)
            pods.append(max(start, pods[-1]) + 1 / capacity.pods_per_second)
            pods.pop(0)
            outcomes[minute].late += start - due >= LATE_SECONDS
    return outcomes


@pytest.mark.parametrize(
    ("every_minutes", "ticks", "slots", "slot_seconds"),
    [
        pytest.param(5, {100: 600}, 20, 5.3, id="slots"),
        pytest.param(1, {20: 300}, 60, 4.2, id="rate"),
        pytest.param(1, {20: 50, 300: 250, 100: 60}, 30, 7, id="three deadlines"),
        pytest.param(60, {300: 3000}, 200, 5, id="hourly"),
        pytest.param(15, {300: 400}, 6, 45, id="long ticks"),
    ],
)
def test_each_minute_is_as_where_every_tick_is_simulated(
    every_minutes: int, ticks: dict[int, int], slots: int, slot_seconds: float
) -> None:
    demand = dict.fromkeys(range(0, 180, every_minutes), ticks)
    capacity = Capacity(slots=slots, jobs_per_second=8, start_seconds=3, slot_seconds=slot_seconds)
    runs = [one_by_one(demand, capacity, seed) for seed in range(3)]
    near = 0
    for minute, outcome in simulate(demand, capacity).items():
        lost, late = (sum(getattr(run[minute], name) for run in runs) / len(runs) for name in ("lost", "late"))
        near += all(
            abs(found - exact) <= max(5, 0.1 * exact) for found, exact in ((outcome.lost, lost), (outcome.late, late))
        )
    assert near >= 0.95 * len(demand)
    assert any(outcome.lost > 5 for outcome in runs[0].values()), "or nothing is shown"


def test_the_burst_is_that_of_the_controllers_defaults() -> None:
    assert BURST_SECONDS == 30 / 20
