"""Defines what a handler gets (Tick), what a handler returns (Outcome), and how a handler's name becomes code (load).

A handler is a callable that takes a Tick. To return an Outcome or None means that the tick's work is done. To raise an
error means that the work is not done: PermanentError if another attempt cannot help, any other error if another attempt
may help. A handler that ends early because `tick.stopping` is set raises an error too, most simply by `tick.check()`.
A process runs one handler, in a thread of its own; other threads supervise the handler and renew the tick's lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, TypeAlias, cast

from region_tick.contract import ExitCode, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime
    from decimal import Decimal
    from logging import Logger
    from threading import Event

    from psycopg import Connection

BUILT_IN = {
    "enqueue": "region_tick.handlers.enqueue:enqueue",
    "poke": "region_tick.handlers.poke:poke",
    "poll": "region_tick.handlers.poll:poll",
}
ENTRY_POINTS = "region_tick.handlers"
"""The entry point group in which a Python package may register handlers under plain names."""


class PermanentError(Exception):
    """Raised by a handler for an error that another attempt cannot repair: the tick fails, and its Job ends at once."""

    exit_code = ExitCode.DATA


class UnknownHandlerError(PermanentError):
    """A handler's name leads to no callable. The message lists the valid names."""

    exit_code = ExitCode.CONFIGURATION


class StoppedError(Exception):
    """Raised by `Tick.check` when the handler must end: the tick counts as interrupted and is tried again."""


class LeaseLostError(Exception):
    """Raised by `Tick.transaction` if this attempt has lost its lease: the transaction was rolled back.

    A handler lets this error pass: another attempt does the tick, or will.
    """


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A region's bounds in degrees (WGS 84). A box across the antimeridian has min_lon > max_lon."""

    min_lon: Decimal
    min_lat: Decimal
    max_lon: Decimal
    max_lat: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A row of the region table, as the operator last saw it."""

    id: str
    code: str
    name: str
    bbox: BoundingBox | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The span of time for which a tick fetches data: from `start` (inclusive) to `end` (exclusive), both UTC."""

    start: datetime | None
    """The end of the last window that this handler fetched for the region; None before the first window."""
    end: datetime
    """The tick's tick_at. If a later tick was faster, `end` equals `start`, and nothing is to be fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One claimed tick."""

    region: Region
    cron: str
    """The schedule as written in the region table; always UTC."""
    tick_at: datetime
    """The scheduled minute (UTC). For a manual run: the minute of the first claim."""
    window: Window
    """The span of time to fetch. A success records the window as fetched. A manual run records nothing, so the next
    tick fetches the window again.
    """
    attempt: int
    """The number of this claim, 1 for the first claim. The number is the fencing token."""
    deadline: float
    """When the handler is told to stop, in seconds of time.monotonic()."""
    stopping: Event
    """Set when the handler must end: the pod is terminating, the deadline has passed or the lease is lost."""
    connection: Connection
    """A connection in autocommit mode, for reading. Only the handler uses the connection while the handler runs. Writes
    outside transaction() are not guarded: an attempt that was taken over can still write.
    """
    transaction: Callable[[], AbstractContextManager[Connection]]
    """Return a context manager that begins a transaction, yields `connection`, and commits only if this attempt still
    holds the tick. Otherwise the context manager rolls back and raises LeaseLostError.

    The transaction's waits are bounded: 5 s for a lock, 10 s for a statement. After 60 s without a statement the server
    ends the session. `SET LOCAL statement_timeout` and `SET LOCAL idle_in_transaction_session_timeout` allow more.
    transaction() cannot be nested; `connection.transaction()` inside makes a savepoint.
    """
    finish: Callable[[Outcome], None]
    """Finish the tick in the open transaction(): effects and final row commit together. No later attempt then repeats
    the effects, even if this attempt dies. Call finish() once, as the last step of the transaction.
    """
    log: Logger
    """A logger whose lines already have the tick's keys."""

    def remaining(self) -> float:
        """Return the seconds until the deadline, or 0.0 after the deadline."""
        return max(0.0, self.deadline - time.monotonic())

    def check(self) -> None:
        """Raise StoppedError if the handler must end. Call check() between two steps of long work."""
        if self.stopping.is_set():
            raise StoppedError("told to stop before the work was done")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a handler. Raises TypeError for counts or a reason that job_run cannot store."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """Numbers for job_run.counts, e.g. {"fetched": 12, "not_modified": 40}."""
    reason: str = Reason.OK

    def __post_init__(self) -> None:
        for name, count in self.counts.items():
            if not (isinstance(name, str) and isinstance(count, int)):
                raise TypeError(f"Outcome.counts has {name!r}: {count!r}; give it names (str) with whole numbers (int)")
        if not isinstance(self.reason, str):
            raise TypeError(f"Outcome.reason is {self.reason!r}; give it a text (str)")


Handler: TypeAlias = Callable[[Tick], Outcome | None]


def load(name: str) -> Handler:
    """Return the handler with a name: a built-in, `module:function`, or an entry point of the group ENTRY_POINTS.

    Raises UnknownHandlerError, also for an ImportError in the handler's module. Other errors of the import pass
    through.
    """
    target = BUILT_IN.get(name) or (name if ":" in name else _entry_point_target(name))
    try:
        handler = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownHandlerError(f"handler {name!r} cannot be loaded from {target!r}: {error}; {_remedy()}") from error
    if not callable(handler):
        raise UnknownHandlerError(
            f"handler {name!r} is {type(handler).__qualname__}, which cannot be called; {_remedy()}"
        )
    return cast("Handler", handler)


def _entry_point_target(name: str) -> str:
    """Return the `module:function` of an entry point. Raises UnknownHandlerError."""
    try:
        return _entry_points()[name]
    except KeyError:
        raise UnknownHandlerError(f"handler {name!r} does not exist; {_remedy()}") from None


def _entry_points() -> dict[str, str]:
    from importlib.metadata import entry_points  # a slow import, needed only for names that are not built in

    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def _remedy() -> str:
    """Return the end of an error message: the names that are valid."""
    names = sorted({*BUILT_IN, *_entry_points()})
    return f"write one of {', '.join(names)}, or module:function of a module that the image holds"
