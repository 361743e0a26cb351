"""plan/speedup_guard.py: how many regions may tick far more often, and what the forecast has to do with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from region_operator.plan.changes import ChangeReason, Desired, Guarded, Plan, Write
from region_operator.plan.deletion_guard import Decision
from region_operator.plan.guard_memory import GuardState
from region_operator.plan.speedup_guard import guard_speedups, needs_forecast
from region_operator.regions.schedule import parse_schedule
from tests.harness.examples import PARIS, live_cronjob

NOW = datetime(2026, 11, 24, 10, 40, tzinfo=UTC)
KIND = Guarded.SPEEDUP


def speedup(key: str) -> Write:
    live = replace(live_cronjob(f"r-{key}"), key=key)
    kept = Write(ChangeReason.UPDATED, Desired(PARIS, parse_schedule("@daily")), live.name, live)
    faster = Desired(PARIS, parse_schedule("* * * * *"))
    return Write(ChangeReason.RESCHEDULED, faster, live.name, live, guarded=KIND, replacement=kept)


def plan_of(keys: str, state: GuardState | None = None) -> Decision:
    return Decision(Plan(writes=tuple(map(speedup, keys))), (), allowance=3, state=state or GuardState())


def decide(
    keys: str, *, state: GuardState | None = None, overcommitted: bool = True, approval: str = "", now: datetime = NOW
) -> Decision:
    return guard_speedups(plan_of(keys, state), overcommitted=overcommitted, approval=approval, now=now)


def made(decision: Decision) -> str:
    return "".join(write.key for write in decision.plan.writes if write.guarded)


@pytest.mark.parametrize(
    ("keys", "overcommitted", "let_go"),
    [("abc", True, "abc"), ("abcd", True, ""), ("abcd", False, "abcd")],
)
def test_many_are_held_if_ticks_would_be_lost(keys: str, overcommitted: bool, let_go: str) -> None:
    decision = decide(keys, overcommitted=overcommitted)
    assert made(decision) == let_go
    kept = "".join(write.key for write in decision.plan.writes if not write.guarded)
    assert kept == ("" if let_go else keys), "all else of their rows is followed"
    assert "".join(change.key for change in decision.held) == kept


def test_a_hold_ends_when_the_ticks_fit_or_a_person_approves() -> None:
    state = decide("abcd").state
    assert made(decide("ab", state=state)) == "", "those that are left stay held"
    assert made(decide("abcd", state=state, overcommitted=False)) == "abcd"
    approval = state.holds[KIND].approval
    approved = decide("abcde", state=state, approval=approval, now=NOW + timedelta(minutes=1))
    assert made(approved) == "abcde", "and one more is few"
    assert approved.state == GuardState(approved={KIND: frozenset("abcd")})
    assert decide("", state=approved.state).state == GuardState()
    assert decide("", state=state).state == GuardState()


def test_a_forecast_is_made_only_if_it_decides() -> None:
    assert not needs_forecast(plan_of("abc"))
    assert needs_forecast(plan_of("abcd"))
    assert needs_forecast(plan_of("", decide("abcd").state))
    assert needs_forecast(plan_of("", GuardState(approved={KIND: frozenset("a")})))
