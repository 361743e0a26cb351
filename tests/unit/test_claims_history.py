"""The judge of claims, by histories made by hand: the right ones pass, and each crime is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from region_tick.contract import State
from tests.faults.claims_history import Change, Crime, Cursor, Effect, History, Run, TickId, Transaction

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FIRST: TickId = ("1", NOON)
SECOND: TickId = ("1", NOON + timedelta(minutes=1))
THIRD: TickId = ("1", NOON + timedelta(minutes=2))


def claimed(tick: TickId = FIRST, attempt: int = 1, *, at: float = 0, since: datetime | None = None) -> Run:
    """A claim so many seconds after noon, with a lease of one second."""
    return Run(
        tick=tick,
        attempt=attempt,
        state=State.RUNNING,
        started_at=NOON + timedelta(seconds=at),
        lease_until=NOON + timedelta(seconds=at + 1),
        window=(since, tick[1]),
    )


def ended(run: Run, state: State = State.SUCCEEDED, by: int | None = None) -> Run:
    return replace(run, state=state, lease_until=run.started_at, by=by or run.attempt)


def effect(run: Run, *, ends: bool = True, seen: int = 0) -> Effect:
    return Effect(tick=run.tick, attempt=run.attempt, ends=ends, seen=seen)


def done(run: Run) -> tuple[Change, ...]:
    """Effect, end and cursor, together."""
    return effect(run), ended(run), Cursor(run.tick[0], run.tick[1])


def judged(*transactions: tuple[Change, ...], expected: tuple[TickId, ...] = ()) -> list[Crime]:
    history = History()
    for number, changes in enumerate(transactions, start=1):
        history.see(Transaction(number, changes))
    history.end(expected)
    return [violation.crime for violation in history.violations]


ONE, TWO = claimed(), claimed(attempt=2, at=1)
NEXT = claimed(SECOND, since=NOON)
LATE = Run(tick=FIRST, attempt=0, state=State.SKIPPED)
MISSED = Run(tick=FIRST, attempt=1, state=State.MISSED)
FAILED = ended(ONE, State.FAILED)


def again(attempt: int = 2, rerun: str = "a", tick: TickId = FIRST) -> Run:
    """A rerun's claim, with a window that no cursor covers."""
    return replace(claimed(tick, attempt, since=NOON - timedelta(minutes=1)), rerun=rerun, again=True)


def done_again(run: Run) -> tuple[Change, ...]:
    return effect(run), ended(run)


AGAIN = again()


@pytest.mark.parametrize(
    "transactions",
    [
        [(ONE,), done(ONE)],
        [(ONE,), (TWO,), done(TWO)],
        [(ONE,), (replace(ONE, lease_until=NOON + timedelta(seconds=1.5)),), done(ONE)],
        [(ONE,), (effect(ONE, ends=False),), (TWO,), (effect(TWO, ends=False),), done(TWO)],
        [(ONE,), (ended(ONE, State.INTERRUPTED),), (claimed(attempt=2),), done(TWO)],
        [(ONE,), (effect(ONE, ends=False),), (ended(ONE, State.FAILED),)],
        [(LATE,)],
        [(ONE,), (MISSED,)],
        [(ONE,), done(ONE), (NEXT,), done(NEXT)],
        [(ONE,), (FAILED,), (AGAIN,), done_again(AGAIN)],
        [(LATE,), (again(1),), done_again(again(1))],
        [(ONE,), (FAILED,), (AGAIN,), (ended(AGAIN, State.FAILED),), (again(3, "b"),), done_again(again(3, "b"))],
    ],
    ids=[
        "once",
        "taken over",
        "renewed",
        "in steps",
        "tried again",
        "failed",
        "late",
        "closed",
        "two windows",
        "again",
        "again what was late",
        "twice again",
    ],
)
def test_a_right_history_passes(transactions: list[tuple[Change, ...]]) -> None:
    assert judged(*transactions, expected=(FIRST,)) == []


@pytest.mark.parametrize(
    ("crime", "transactions"),
    [
        (Crime.STALE_EFFECT, [(effect(ONE, ends=False),)]),
        (Crime.STALE_EFFECT, [(ONE,), (TWO,), (effect(ONE, ends=False),), done(TWO)]),
        (Crime.STALE_EFFECT, [(ONE,), (ended(ONE, State.INTERRUPTED),), (effect(ONE, ends=False),)]),
        (Crime.STALE_EFFECT, [(ONE,), done(ONE), (effect(ONE, ends=False),)]),
        (Crime.STALE_END, [(ONE,), (TWO,), (ended(TWO, State.FAILED, by=1),)]),
        (Crime.SECOND_EFFECT, [(ONE,), done(ONE), (TWO,), done(TWO)]),
        (Crime.HALF, [(ONE,), (effect(ONE),), (ended(ONE), Cursor("1", NOON))]),
        (Crime.DONE_TWICE, [(ONE,), done(ONE), (TWO,)]),
        (Crime.DONE_TWICE, [(ONE,), done(ONE), (replace(ONE, lease_until=NOON),)]),
        (Crime.DONE_TWICE, [(LATE,), (ONE,)]),
        (Crime.DONE_TWICE, [(ONE,), (FAILED,), (ended(AGAIN, State.FAILED),)]),
        (Crime.REOPENED, [(ONE,), done(ONE), (AGAIN,)]),
        (Crime.REOPENED, [(ONE,), (FAILED,), (AGAIN,), (ended(AGAIN, State.FAILED),), (again(3),)]),
        (Crime.ORDER, [(ONE,), (FAILED,), (again(1),)]),
        (Crime.EARLY, [(ONE,), (replace(AGAIN, started_at=NOON),)]),
        (Crime.RERUN_CURSOR, [(ONE,), (FAILED,), (AGAIN,), (*done_again(AGAIN), Cursor("1", NOON))]),
        (Crime.EARLY, [(ONE,), (claimed(attempt=2, at=0.999999),)]),
        (Crime.EARLY, [(ONE,), (replace(ONE, lease_until=NOON + timedelta(seconds=1.5)),), (TWO,)]),
        (Crime.ORDER, [(TWO,)]),
        (Crime.ORDER, [(ONE,), (claimed(attempt=3, at=1),)]),
        (Crime.ORDER, [(ONE,), (TWO,), (claimed(attempt=1, at=2),)]),
        (Crime.ORDER, [(ONE,), (ended(ONE, State.INTERRUPTED),), (ONE,)]),
        (Crime.CURSOR_BACK, [(Cursor("1", NOON),), (Cursor("1", NOON - timedelta(minutes=1)),)]),
        (Crime.CURSOR_BACK, [(Cursor("1", NOON),), (Cursor("1", NOON),)]),
        (Crime.GAP, [(ONE,), (effect(ONE), ended(ONE))]),
        (Crime.GAP, [(NEXT,)]),
        (Crime.GAP, [(ONE,), done(ONE), (claimed(THIRD, since=SECOND[1]),)]),
    ],
)
def test_a_crime_is_named(crime: Crime, transactions: list[tuple[Change, ...]]) -> None:
    assert crime in judged(*transactions)


@pytest.mark.parametrize("state", [State.RUNNING, State.INTERRUPTED])
def test_a_tick_without_an_end_is_lost(state: State) -> None:
    assert judged(expected=(FIRST,)) == [Crime.LOST]
    assert judged((replace(ONE, state=state),), expected=(FIRST,)) == [Crime.LOST]


def test_a_success_needs_the_effect_of_its_own_attempt() -> None:
    without = (ended(TWO), Cursor("1", NOON))
    assert judged((ONE,), (effect(ONE, ends=False),), (TWO,), without, expected=(FIRST,)) == [Crime.LOST_EFFECT]


@pytest.mark.parametrize(
    ("seen", "found"), [(2, []), (3, [Crime.OVERLAP])], ids=["that perhaps it did not know", "that it knew"]
)
def test_a_window_repeats_only_what_its_claim_did_not_know_to_be_fetched(seen: int, found: list[Crime]) -> None:
    """The first success is transaction 2."""
    overlapping = claimed(SECOND, since=None)
    end = (effect(overlapping, seen=seen), *done(overlapping)[1:])
    assert judged((ONE,), done(ONE), (overlapping,), end) == found


def test_regions_are_judged_each_by_itself() -> None:
    other = claimed(("2", NOON))
    assert judged((ONE,), (other,), done(other), done(ONE), expected=(FIRST, other.tick)) == []


def test_a_violation_says_what_and_where() -> None:
    history = History()
    history.see(Transaction(7, (TWO,)))
    (violation,) = history.violations
    assert str(violation).startswith("ORDER, an attempt that is neither the one before nor the next: transaction 7, ")
    assert "region 1 at 24 12:00 attempt 2 running" in str(violation)
