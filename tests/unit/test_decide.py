"""plan/decide.py: how the parts of a decision fit together. Any order of events: `test_guard_model.py`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.cronjobs.labels import region_key
from region_operator.plan.changes import Guarded
from region_operator.plan.decide import Decider
from region_operator.plan.growth_guard import LEAST_GROWTH
from region_operator.regions.slots import ALL_SLOTS
from region_operator.scheduler import Columns
from tests.harness.examples import finish, live_cronjob, scheduler

if TYPE_CHECKING:
    from region_operator.regions.slots import Slots

NOW = datetime(2026, 11, 24, 10, 40, tzinfo=UTC)
MANY = LEAST_GROWTH + 50


def rows_of(count: int) -> list[dict[str, Any]]:
    nothing = dict.fromkeys(Columns.model_fields)
    return [
        nothing | {"id": str(number), "code": f"R{number}", "name": "R", "cron_schedule": "@daily"}
        for number in range(count)
    ]


@pytest.mark.parametrize(("taking", "held"), [(frozenset(), MANY), (ALL_SLOTS, 0)])
def test_regions_that_are_taken_over_are_no_growth(taking: Slots, held: int) -> None:
    """They tick already, so nothing multiplies."""
    rows = rows_of(MANY + 1)
    stands = replace(live_cronjob("r-0", region_id="0", code="R0"), key=region_key("0"), ours=True)
    deciding = Decider(tick_image="tick").decide(
        rows, [stands], scheduler(), source="public.region_index", taking=taking, complete=True, now=NOW
    )
    decision = finish(deciding).decision
    assert len(decision.held_of(Guarded.CREATION)) == held
    assert len(decision.plan.writes) >= MANY - held


def test_what_somebody_deleted_is_no_growth_although_a_reconcile_failed_before_its_end() -> None:
    stand = [
        replace(
            live_cronjob(f"r-{number}", region_id=str(number), code=f"R{number}"),
            key=region_key(str(number)),
            ours=True,
        )
        for number in range(MANY + 1)
    ]
    decider = Decider(tick_image="tick")
    for current in (stand, stand[:1], stand[:1]):
        deciding = decider.decide(
            rows_of(MANY + 1),
            current,
            scheduler(),
            source="public.region_index",
            taking=frozenset(),
            complete=True,
            now=NOW,
        )
        assert finish(deciding).decision.held_of(Guarded.CREATION) == ()


def decide_anew(decider: Decider, standing: int, status: dict[str, Any], *, uid: str = "u2") -> bool:
    """Decide, with one row less than CronJobs; return whether the RegionScheduler's past is unknown."""
    stand = [
        replace(live_cronjob(f"r-{number}", region_id=str(number), code=f"R{number}"), key=region_key(str(number)))
        for number in range(standing)
    ]
    deciding = decider.decide(
        rows_of(max(1, standing - 1)),
        [replace(live, ours=True) for live in stand],
        scheduler(status=status).model_copy(update={"uid": uid}),
        source="public.region_index",
        taking=frozenset(),
        complete=True,
        now=NOW,
    )
    decision = finish(deciding).decision
    assert len(decision.held_of(Guarded.DELETION)) == (decision.is_past_unknown and standing > 1)
    return decision.is_past_unknown


def test_a_regionscheduler_without_a_memory_beside_cronjobs_does_not_know_its_past() -> None:
    decider = Decider(tick_image="tick")
    for status in ({}, {"observedGeneration": 1}, {"observedGeneration": 1}):  # as often as the decision is not saved
        assert decide_anew(decider, 20, status)
    assert not decide_anew(decider, 20, {"regions": {"active": 20}})


def test_one_that_begins_beside_no_cronjob_has_no_past_although_its_first_reconcile_fails() -> None:
    decider = Decider(tick_image="tick")
    assert not decide_anew(decider, 0, {})
    assert not decide_anew(decider, 20, {"observedGeneration": 1})
    assert decide_anew(decider, 20, {"observedGeneration": 1}, uid="u3")
