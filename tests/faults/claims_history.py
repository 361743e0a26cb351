"""What may never be seen in the history of claims, whatever happens to those who make them.

The history is what the database committed, in the order in which it did: rows of job_run, effects that were written
under an attempt, cursors of fetch windows. It is judged by itself, without a clock, and without what claimers believe.
Where the history comes from is left to others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from region_tick.contract import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

TickId: TypeAlias = "tuple[str, datetime]"
"""A region's id and the tick's minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A row of job_run as a transaction left it."""

    tick: TickId
    attempt: int
    state: State
    started_at: datetime | None = None
    """When the attempt began, by the database's clock; None for a tick that was never begun."""
    lease_until: datetime | None = None
    window: tuple[datetime | None, datetime] | None = None
    by: int | None = None
    """The attempt that wrote the end, by what it says of itself; None where it says nothing."""
    rerun: str | None = None
    """The last rerun that opened the tick again; None where none did."""
    again: bool = False
    """Whether the attempt is a rerun's, and not one of the tick's own Job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a handler wrote under its attempt."""

    tick: TickId
    attempt: int
    ends: bool
    """Whether it is to be committed together with the tick's end."""
    seen: int
    """Every transaction with a lower number had ended before the attempt was asked for: its claim knew of it."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where a region was fetched."""

    region: str
    end: datetime


Change: TypeAlias = Run | Effect | Cursor


@dataclass(frozen=True, slots=True)
class Transaction:
    """What was committed at once."""

    number: int
    changes: tuple[Change, ...]


class Crime(StrEnum):
    """What no history of claims may hold."""

    STALE_EFFECT = "an effect of an attempt that did not hold the tick"
    STALE_END = "an end written by another attempt than the one that held the tick"
    SECOND_EFFECT = "the effect of one tick committed by two attempts"
    HALF = "an effect that was to be committed with the tick's end, without it"
    DONE_TWICE = "a tick that was final and was written again"
    REOPENED = "a rerun of a tick that had succeeded, or that this very rerun had ended"
    RERUN_CURSOR = "a cursor that a rerun moved"
    EARLY = "a take-over while the lease held"
    ORDER = "an attempt that is neither the one before nor the next"
    LOST = "a tick without an end"
    LOST_EFFECT = "a success without its effect"
    CURSOR_BACK = "a cursor that did not move forward"
    GAP = "a window that begins after the cursor, or a success that the cursor does not cover"
    OVERLAP = "a window that begins before what its claim knew to be fetched"


@dataclass(frozen=True, slots=True)
class Violation:
    """A crime, and what the history says of it."""

    crime: Crime
    number: int
    """The transaction's; 0 for what is only missed in the end."""
    details: str

    def __str__(self) -> str:
        return f"{self.crime.name}, {self.crime}: transaction {self.number}, {self.details}"


@dataclass(slots=True)
class _Tick:
    run: Run | None = None
    effects: set[int] = field(default_factory=set)
    ended_by: set[int] = field(default_factory=set)


class History:
    """Sees transaction after transaction and keeps what it needs to judge the next."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.takeovers = 0
        """How many attempts came after one that had not said how it ended."""
        self.reopened = 0
        """How often a rerun opened a final tick."""
        self.effects = 0
        self._ticks: dict[TickId, _Tick] = {}
        self._cursors: dict[str, list[tuple[int, datetime]]] = {}
        """Of each region, where its cursor came to by which transaction."""

    def see(self, transaction: Transaction) -> None:
        """Judge the next transaction: its effects by what was before it, and success by what is after it."""
        number, changes = transaction.number, transaction.changes
        ended = {change.tick for change in changes if isinstance(change, Run) and change.state.final}
        for effect in (change for change in changes if isinstance(change, Effect)):
            self._see_effect(number, effect, ended)
        runs = [change for change in changes if isinstance(change, Run)]
        for run in runs:
            self._see_run(number, run)
        for cursor in (change for change in changes if isinstance(change, Cursor)):
            self._see_cursor(number, cursor)
            if any(run.again for run in runs if run.tick[0] == cursor.region):
                self._found(Crime.RERUN_CURSOR, number, f"region {cursor.region}: to {cursor.end}")
        for run in runs:
            self._see_success(number, run)

    def end(self, expected: Iterable[TickId]) -> None:
        """Judge what is there when nobody is at work any more, and every tick of `expected` should be done."""
        for tick in expected:
            known = self._ticks.get(tick, _Tick())
            if known.run is None or not known.run.state.final:
                self._found(Crime.LOST, 0, f"{_name(tick)}: {known.run.state if known.run else 'no row'}")
            elif known.run.state is State.SUCCEEDED and known.run.attempt not in known.effects:
                self._found(Crime.LOST_EFFECT, 0, f"{_name(tick)}: attempt {known.run.attempt}")

    def count(self, state: State) -> int:
        """Return how many ticks are in a state."""
        return sum(1 for tick in self._ticks.values() if tick.run is not None and tick.run.state is state)

    def _see_effect(self, number: int, effect: Effect, ended: set[TickId]) -> None:
        known, about = self._ticks.setdefault(effect.tick, _Tick()), f"{_name(effect.tick)} attempt {effect.attempt}"
        self.effects += 1
        run = known.run
        if run is None or run.attempt != effect.attempt or run.state is not State.RUNNING:
            now = f"attempt {run.attempt} {run.state}" if run else "no row"
            self._found(Crime.STALE_EFFECT, number, f"{about}: the row says {now}")
        if effect.ends:
            known.ended_by.add(effect.attempt)
            if len(known.ended_by) > 1:
                self._found(Crime.SECOND_EFFECT, number, f"{about}: of {sorted(known.ended_by)}")
            if effect.tick not in ended:
                self._found(Crime.HALF, number, about)
        known.effects.add(effect.attempt)
        if run is not None and run.attempt == effect.attempt and run.window is not None and not run.again:
            self._judge_start(number, effect, run.window)

    def _judge_start(self, number: int, effect: Effect, window: tuple[datetime | None, datetime]) -> None:
        start, end = window
        known = next((at for by, at in reversed(self._cursors.get(effect.tick[0], [])) if by < effect.seen), None)
        if known is not None and (start is None or start < min(known, end)):
            self._found(Crime.OVERLAP, number, f"{_name(effect.tick)}: from {start}, fetched to {known} before")

    def _see_run(self, number: int, run: Run) -> None:
        known, about = self._ticks.setdefault(run.tick, _Tick()), f"{_name(run.tick)} attempt {run.attempt} {run.state}"
        before, known.run = known.run, run
        if before is None:
            if run.attempt != (0 if run.state.final else 1):
                self._found(Crime.ORDER, number, f"{about}: the first row")
        elif before.state.final:
            self._see_reopened(number, run, before)
        elif run.attempt == before.attempt + 1 and run.state is State.RUNNING:
            self.takeovers += before.state is State.RUNNING
            if before.lease_until is None or run.started_at is None or run.started_at < before.lease_until:
                self._found(Crime.EARLY, number, f"{about}: at {run.started_at}, lease until {before.lease_until}")
        elif run.attempt != before.attempt or before.state is not State.RUNNING:
            self._found(Crime.ORDER, number, f"{about}: was {before.state} by attempt {before.attempt}")
        if run.state is not State.RUNNING and run.by not in (None, run.attempt):
            self._found(Crime.STALE_END, number, f"{about}: by attempt {run.by}")
        if run.window is not None and run.window[0] is not None and not run.again:
            cursor = self._cursor(run.tick[0])
            if cursor is None or run.window[0] > cursor:
                self._found(Crime.GAP, number, f"{about}: window from {run.window[0]}, cursor at {cursor}")

    def _see_reopened(self, number: int, run: Run, before: Run) -> None:
        about = f"{_name(run.tick)} attempt {run.attempt} {run.state}: was {before.state} by attempt {before.attempt}"
        self.reopened += run.again
        if not run.again or run.state is not State.RUNNING:
            self._found(Crime.DONE_TWICE, number, about)
        elif before.state is State.SUCCEEDED or run.rerun == before.rerun:
            self._found(Crime.REOPENED, number, f"{about}, of rerun {before.rerun}")
        elif run.attempt != before.attempt + 1:
            self._found(Crime.ORDER, number, about)

    def _see_cursor(self, number: int, cursor: Cursor) -> None:
        before = self._cursor(cursor.region)
        if before is not None and cursor.end <= before:
            self._found(Crime.CURSOR_BACK, number, f"region {cursor.region}: from {before} to {cursor.end}")
        self._cursors.setdefault(cursor.region, []).append((number, cursor.end))

    def _see_success(self, number: int, run: Run) -> None:
        cursor = self._cursor(run.tick[0])
        if (
            run.state is State.SUCCEEDED
            and not run.again
            and (run.window is None or cursor is None or cursor < run.window[1])
        ):
            self._found(Crime.GAP, number, f"{_name(run.tick)}: window {run.window}, cursor at {cursor}")

    def _cursor(self, region: str) -> datetime | None:
        moves = self._cursors.get(region)
        return moves[-1][1] if moves else None

    def _found(self, crime: Crime, number: int, details: str) -> None:
        self.violations.append(Violation(crime, number, details))


def _name(tick: TickId) -> str:
    return f"region {tick[0]} at {tick[1]:%d %H:%M}"
