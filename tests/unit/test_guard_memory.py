"""plan/guard_memory.py: what a status says, and what an approval is of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from region_operator.plan.changes import Guarded
from region_operator.plan.guard_memory import (
    NONE,
    STATUS_FIELDS,
    GuardState,
    Hold,
    RecentStop,
    is_remembered,
    update_hold,
)

NOW = datetime(2026, 11, 24, 10, 40, tzinfo=UTC)
KIND = Guarded.QUARANTINE
AB = frozenset("ab")


@pytest.mark.parametrize(
    "state",
    [
        GuardState(),
        GuardState(filling=True),
        GuardState(unknown_before=NOW),
        GuardState(
            recent=(RecentStop(NOW, AB), RecentStop(NOW, frozenset("x"), KIND)),
            holds={kind: Hold(NOW, frozenset("cde"), kind) for kind in Guarded},
            approved={kind: frozenset("f") for kind in Guarded},
        ),
    ],
)
def test_a_status_remembers_all(state: GuardState) -> None:
    assert GuardState.from_status(state.to_status()) == state
    assert state.to_status().keys() <= set(STATUS_FIELDS)


def test_a_status_remembers_what_a_hold_has_released() -> None:
    hold = Hold(NOW, AB, KIND, released=frozenset("b"))
    status = GuardState(holds={KIND: hold}).to_status()
    state = GuardState.from_status(status)
    assert state.holds[KIND].held == state.is_approved(KIND, hold.approval) == frozenset("a")
    status["heldQuarantines"]["since"] = "2026-11-30T00:00:00Z"
    assert GuardState.from_status(status).holds[KIND].held == AB, "an older release leaves what it does not know"


def test_what_an_older_release_wrote_are_deletions() -> None:
    status = {"recentDeletions": [{"at": "2026-11-24T10:40:00Z", "regions": "a b"}]}
    assert GuardState.from_status(status).recent == (RecentStop(NOW, AB, Guarded.DELETION),)


def test_an_approval_is_of_the_kind_the_regions_and_the_moment() -> None:
    holds = [
        Hold(NOW, AB, KIND),
        Hold(NOW, AB, Guarded.DELETION),
        Hold(NOW + timedelta(seconds=1), AB, KIND),
        Hold(NOW, frozenset("a"), KIND),
    ]
    assert len({hold.approval for hold in holds}) == len(holds)
    state = GuardState(holds={KIND: holds[0]}, approved={KIND: frozenset("x")})
    assert state.is_approved(KIND, holds[0].approval) == frozenset("abx")
    assert state.is_approved(KIND, holds[1].approval) == frozenset("x")
    assert state.is_approved(Guarded.DELETION, holds[0].approval) == NONE


def test_one_annotation_may_approve_several_holds() -> None:
    holds = {kind: Hold(NOW, AB, kind) for kind in (KIND, Guarded.DELETION)}
    both = ", ".join(hold.approval for hold in holds.values())
    state = GuardState(holds=holds)
    assert [state.is_approved(kind, both) for kind in holds] == [AB, AB]
    assert state.is_approved(KIND, both[:-1]) == AB
    assert state.is_approved(Guarded.DELETION, both[:-1]) == NONE


def test_a_hold_stays_the_same_until_a_region_joins() -> None:
    hold = update_hold(None, AB, KIND, NOW)
    assert hold == Hold(NOW, AB, KIND)
    later = NOW + timedelta(hours=1)
    smaller = update_hold(hold, frozenset("a"), KIND, later)
    assert smaller
    assert smaller == hold
    assert smaller.approval == hold.approval
    assert smaller.held == frozenset("a")
    assert update_hold(smaller, AB, KIND, later) == Hold(later, AB, KIND), "a row that goes again joins"
    assert update_hold(hold, frozenset("abc"), KIND, later) == Hold(later, frozenset("abc"), KIND)
    assert update_hold(hold, NONE, KIND, later) is None


@pytest.mark.parametrize(
    ("status", "remembered"),
    [
        ({}, False),
        ({"observedGeneration": -1}, False),
        pytest.param({"observedGeneration": 1, "conditions": [{"type": "Ready"}]}, False, id="no reconcile succeeded"),
        pytest.param({"regions": {"active": 0}}, True, id="one did"),
        (GuardState(unknown_before=NOW).to_status(), True),
        (GuardState(recent=(RecentStop(NOW, AB),)).to_status(), True),
        (GuardState(approved={KIND: AB}).to_status(), True),
    ],
)
def test_a_status_without_a_decision_remembers_nothing(status: dict[str, Any], remembered: bool) -> None:
    assert is_remembered(status) is remembered
