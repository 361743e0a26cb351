"""regions/hearing.py: both halves must work for an edit to be heard, and each says what it lacks."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from region_operator.database.region_table import Trigger
from region_operator.database.triggers import Triggers
from region_operator.regions.hearing import Hearing
from region_operator.scheduler import Columns
from tests.harness.clock import Clock


async def hearing_with(found: Trigger | None, connection: str | None) -> Hearing:
    triggers = Triggers(may_make=False)
    if found:
        triggers.follow(schema="geo", table="areas")
        engine: Any = None  # nothing is made, so none is needed
        await triggers.keep(engine, columns=Columns(), found=found, version="1")
    hearing = Hearing(triggers)
    hearing.connection_problem = connection
    return hearing


@pytest.mark.parametrize(
    ("found", "connection", "says"),
    [
        (Trigger.FOUND, "", []),
        (Trigger.CREATED, "", []),
        (Trigger.STATEMENT, "", []),
        (Trigger.DISABLED, "", ["geo.areas", "disabled", "ENABLE TRIGGER"]),
        (Trigger.FOUND, "no connection listens: down", ["no connection listens: down"]),
        (Trigger.REFUSED, "no connection listens: down", ["GRANT TRIGGER ON geo.areas", "; no connection listens"]),
    ],
)
async def test_what_is_wrong_is_said(found: Trigger, connection: str, says: list[str]) -> None:
    hearing = await hearing_with(found, connection)
    assert hearing.works == (not says)
    assert all(text in hearing.explain_deafness() for text in says)
    assert bool(hearing.explain_deafness()) == bool(says)
    assert REGISTRY.get_sample_value("region_operator_table_notifies") == hearing.works


@pytest.mark.parametrize(("found", "connection"), [(None, None), (None, ""), (Trigger.FOUND, None)])
async def test_before_anything_is_known_nothing_is_claimed_and_nothing_complained_of(
    found: Trigger | None, connection: str | None
) -> None:
    hearing = await hearing_with(found, connection)
    assert (hearing.works, hearing.explain_deafness()) == (False, "")


@pytest.mark.parametrize("state", [state for state in Trigger if not state.fires])
async def test_every_state_that_does_not_tell_has_a_remedy(state: Trigger) -> None:
    hearing = await hearing_with(state, "")
    assert "{" not in hearing.explain_deafness()
    assert hearing.explain_deafness().startswith("not every edit of geo.areas")


def measured() -> tuple[float, float]:
    """Return how many edits were measured, and their seconds altogether."""
    name = "region_operator_edit_latency_seconds"
    count, seconds = (REGISTRY.get_sample_value(f"{name}_{end}") or 0.0 for end in ("count", "sum"))
    return count, seconds


def test_an_edit_takes_from_its_first_notification_to_the_write() -> None:
    clock, before = Clock(), measured()
    hearing = Hearing(Triggers(may_make=False), clock=clock)
    hearing.hear()
    clock.now += 1
    hearing.hear()  # of another edit, gathered with the first
    clock.now += 1
    hearing.begin_reading(schema="geo", table="areas")
    clock.now += 0.5
    hearing.hear()  # of an edit that the reading may have missed: the next reconcile's
    hearing.measure_edit()
    hearing.finish()
    assert measured() == (before[0] + 1, before[1] + 2.5)
    clock.now += 1
    hearing.begin_reading(schema="geo", table="areas")
    hearing.measure_edit()
    assert measured() == (before[0] + 2, before[1] + 2.5 + 1)


def test_an_edit_that_nothing_told_of_takes_from_its_first_reading_also_if_that_reconcile_failed() -> None:
    clock, before = Clock(), measured()
    hearing = Hearing(Triggers(may_make=False), clock=clock)
    hearing.begin_reading(schema="geo", table="areas")
    clock.now += 30
    hearing.begin_reading(schema="geo", table="areas")
    clock.now += 1
    hearing.measure_edit()
    assert measured() == (before[0] + 1, before[1] + 31)
    hearing.finish()
    hearing.measure_edit()  # nothing was read since
    assert measured() == (before[0] + 1, before[1] + 31)
