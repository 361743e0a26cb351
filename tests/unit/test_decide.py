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
