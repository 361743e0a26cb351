"""The plan of a run of claims: the same from the same seed, and one in which every tick ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from tests.faults.claims_plan import HARMED_ATTEMPTS, LEASE_SECONDS, Harm, Moment, Plan, Work

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PLAN = Plan.of(50_000, seed=1, claimers=12, begin=NOON)


def test_every_claimer_asks_for_every_tick_at_least_once() -> None:
    assert PLAN.ticks * PLAN.claimers >= 50_000
    assert len({PLAN.tick(index) for index in range(PLAN.ticks)}) == PLAN.ticks


@pytest.mark.parametrize("claims", [1, 50_000, 1_000_000, 10_000_000])
def test_every_tick_is_so_near_that_its_name_is_believed(claims: int) -> None:
    plan = Plan.of(claims, seed=1, claimers=12, begin=NOON)
    assert plan.tick(plan.ticks - 1)[1] - NOON < timedelta(days=1) - timedelta(minutes=60)


def test_a_seed_gives_the_same_plan_and_another_another() -> None:
    again, other = (Plan.of(50_000, seed=seed, claimers=12, begin=NOON) for seed in (1, 2))

    def drawn(plan: Plan) -> list[object]:
        parts = [plan.part(plan.tick(index), attempt) for index in range(300) for attempt in (1, 2)]
        clocks = [plan.clock(claimer, second) for claimer in range(12) for second in range(20)]
        return [*parts, *islice(plan.blows(), 100), *clocks, *map(plan.late, range(300))]

    assert drawn(again) == drawn(PLAN)
    assert drawn(other) != drawn(PLAN)


def test_every_work_and_every_harm_at_every_moment_comes_up() -> None:
    parts = [PLAN.part(PLAN.tick(index), 1) for index in range(PLAN.ticks)]
    assert {part.work for part in parts} == set(Work)
    met = {part.harm for part in parts if part.harm}
    assert met == {(moment, harm) for moment in Moment for harm in (Harm.KILL, Harm.FREEZE)}
    assert {blow.harm for blow in islice(PLAN.blows(), 100)} == set(Harm)


def test_an_attempt_after_enough_harmed_ones_does_the_tick() -> None:
    for index in range(500):
        part = PLAN.part(PLAN.tick(index), HARMED_ATTEMPTS + 1)
        assert part.harm is None
        assert part.work not in (Work.AGAIN, Work.FAILS)


def test_what_is_to_outlast_a_lease_does() -> None:
    assert all(blow.lasts > LEASE_SECONDS for blow in islice(PLAN.blows(), 500))


def test_half_of_the_clocks_are_right() -> None:
    wrong = {claimer for claimer in range(12) if any(PLAN.clock(claimer, second) for second in range(50))}
    assert wrong == {1, 3, 5, 7, 9, 11}
