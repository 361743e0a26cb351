"""kube/nudge.py in a simulated namespace: what the order of the nudges comes to when slots are short for many minutes.

100 regions of every minute share 4 slots, and a tick takes 4 s. So within the start deadline there is time for a third
of the ticks.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.unit.simulated_slots import SimulatedSlots

MINUTES = 15
REGIONS = [f"r{number:02}" for number in range(100)]
AT_ONCE, EIGHT_A_SECOND = len(REGIONS), 1
"""How many Jobs the CronJob controller creates in each step."""


def simulate(seed: int, *, jobs_each_step: int = AT_ONCE, **settings: Any) -> SimulatedSlots:
    random = Random(seed)  # noqa: S311 - repeatable is the point
    return SimulatedSlots(REGIONS, slots=4, tick_seconds=4.0, random=random, jobs_each_step=jobs_each_step, **settings)


def ratio(slots: SimulatedSlots) -> float:
    """Return the fewest ticks of a region as a part of the most ticks of a region."""
    return min(slots.ticks[region] for region in REGIONS) / max(slots.ticks.values())


@pytest.mark.parametrize("seed", range(3))
def test_no_region_gets_less_than_half_of_the_ticks_of_another(seed: int) -> None:
    slots = simulate(seed)
    slots.run(MINUTES)
    assert sum(slots.ticks.values()) >= 35 * MINUTES, "no slot stays empty while a tick can still claim"
    assert ratio(slots) >= 0.5


@pytest.mark.parametrize("seed", range(3))
def test_new_leaders_keep_the_turns(seed: int) -> None:
    slots = simulate(seed)
    for _ in range(MINUTES):
        slots.run(1)
        slots.begin_to_lead()
    assert ratio(slots) >= 0.5


@pytest.mark.parametrize("seed", range(3))
def test_regions_whose_ticks_need_two_pods_have_their_turns_too(seed: int) -> None:
    slots = simulate(seed, failing=frozenset(REGIONS[::10]))
    slots.run(MINUTES)
    assert ratio(slots) >= 0.5


@pytest.mark.parametrize("ledger_at", [5.0, 20.0, 35.0, 50.0])
def test_although_the_controllers_give_many_slots_away_no_region_starves_and_an_hour_evens_out(
    ledger_at: float,
) -> None:
    """While the CronJob controller still creates Jobs, slots go to Jobs that it has just created. Jobs that wait too
    long keep their regions from ticking until the ledger deletes the Jobs.
    """
    slots = simulate(1, jobs_each_step=EIGHT_A_SECOND, ledger_at=ledger_at)
    slots.run(MINUTES)
    equal_share = sum(slots.ticks.values()) / len(REGIONS)
    assert min(slots.ticks[region] for region in REGIONS) >= equal_share / 2
    slots.run(60 - MINUTES)
    assert ratio(slots) >= 0.5
