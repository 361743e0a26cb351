"""plan/sufficient_capacity.py: what is said to be enough is enough, and half of it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from region_operator.plan.sufficient_capacity import sufficient_rate, sufficient_slots
from region_operator.plan.tick_queues import Capacity, simulate

GIVEN = Capacity(slots=4, jobs_per_second=8, start_seconds=3, slot_seconds=5)
PLENTY = 100_000

demands = st.dictionaries(
    st.integers(0, 90),
    st.dictionaries(st.sampled_from([20, 100, 300]), st.integers(1, 2_000), min_size=1),
    min_size=1,
    max_size=20,
).map(lambda found: dict(sorted(found.items())))


def lost(demand: dict[int, dict[int, int]], capacity: Capacity) -> float:
    return sum(outcome.lost for outcome in simulate(demand, capacity).values())


@settings(deadline=None, max_examples=300)
@given(demands, st.floats(1, 60))
def test_what_is_sufficient_loses_hardly_a_tick(demand: dict[int, dict[int, int]], slot_seconds: float) -> None:
    capacity = replace(GIVEN, slot_seconds=slot_seconds)
    slots, rate = sufficient_slots(demand, capacity), sufficient_rate(demand, capacity)
    due = sum(sum(counts.values()) for counts in demand.values())
    assert lost(demand, replace(capacity, slots=slots, jobs_per_second=PLENTY)) <= 0.01 * due
    assert lost(demand, replace(capacity, slots=PLENTY, jobs_per_second=rate)) < 0.5


@settings(deadline=None)
@given(demands.filter(lambda demand: max(sum(counts.values()) for counts in demand.values()) > 200))
def test_half_of_what_is_sufficient_loses_ticks(demand: dict[int, dict[int, int]]) -> None:
    slots, rate = sufficient_slots(demand, GIVEN), sufficient_rate(demand, GIVEN)
    assert lost(demand, replace(GIVEN, slots=max(1, slots // 2), jobs_per_second=PLENTY)) > 0 or slots == 1
    assert lost(demand, replace(GIVEN, slots=PLENTY, jobs_per_second=rate / 2)) > 0


@pytest.mark.parametrize("demand", [{}, {0: {20: 1}}])
def test_little_needs_little(demand: dict[int, dict[int, int]]) -> None:
    assert sufficient_slots(demand, GIVEN) == 1
    assert sufficient_rate(demand, GIVEN) <= 0.2
