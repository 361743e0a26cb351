"""regions/hearing.py: both halves must work for an edit to be heard, and each says what it lacks."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from region_operator.database.region_table import Trigger
from region_operator.database.triggers import Triggers
from region_operator.regions.hearing import Hearing
from region_operator.scheduler import Columns


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
