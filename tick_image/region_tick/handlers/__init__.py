"""What a handler is given, what it gives back, and how its name becomes code.

A handler is a callable that takes a Tick. Returning, with an Outcome or None, says that the tick's work is done;
raising says that it is not: PermanentError where trying again cannot help, anything else where it may. A handler that
ends early because `tick.stopping` is set raises too, most simply through `tick.check()`. A handler runs in a thread of
its own, so that its lease can be renewed beside it; a process runs one.
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
"""The entry point group in which a package may register handlers of its own under plain names."""


class PermanentError(Exception):
    """Raised by a handler for what another attempt cannot mend: the tick has failed and its Job ends at once."""

    exit_code = ExitCode.DATA


class UnknownHandlerError(PermanentError):
    """A handler's name that leads to no callable; the message says which names do."""

    exit_code = ExitCode.CONFIGURATION


class StoppedError(Exception):
    """Raised by `Tick.check` when the handler shall end: the tick counts as interrupted and is tried again."""


class LeaseLostError(Exception):
    """Raised where this attempt is not the tick's any more, or not long enough: its transaction was rolled back.

    Let it pass: the tick is another attempt's now.
    """


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A region's bounds in degrees (WGS 84); min_lon > max_lon where it crosses the antimeridian."""

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
    """What time a tick is to fetch for: from `start` (inclusive) to `end` (exclusive), both UTC."""

    start: datetime | None
    """The end of the last window that this handler fetched for the region; None where it fetched none yet."""
    end: datetime
    """The tick's tick_at. It is `start` too where a later tick was faster: then there is nothing to fetch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One claimed tick."""

    region: Region
    cron: str
    """The schedule as written in the region table; always UTC."""
    tick_at: datetime
    """The scheduled minute (UTC); for a manual run the minute of its first claim."""
    window: Window
    """What is to be fetched. A success says that it was; a manual run moves nothing, the next tick fetches it again."""
    attempt: int
    """1 for the first claim; the fencing token."""
    deadline: float
    """When the handler is told to stop, in seconds of time.monotonic()."""
    stopping: Event
    """Set when the handler shall end: the pod is going, the deadline is over or the lease is lost."""
    connection: Connection
    """An autocommit connection that is the handler's while it runs: for reading. What it writes outside transaction()
    is written also by an attempt that was taken over.
    """
    transaction: Callable[[], AbstractContextManager[Connection]]
    """Begin a transaction on `connection`, which is yielded, and commit it only if this attempt still holds the tick:
    a context manager that raises LeaseLostError else. Its waits are bounded: 5 s for a lock, 10 s for a statement and
    60 s without one, when the server ends the session (`SET LOCAL statement_timeout`, or
    `idle_in_transaction_session_timeout`, for more). Not to be nested; `connection.transaction()` inside makes a
    savepoint.
    """
    finish: Callable[[Outcome], None]
    """Finish the tick with the transaction() in which this is called: effects and row commit together, so that the
    effects are never made a second time by an attempt after one that died in between. Once, and as the last.
    """
    log: Logger
    """Its lines carry the tick's keys already."""

    def remaining(self) -> float:
        """Return the seconds until the deadline; 0.0 when it is over."""
        return max(0.0, self.deadline - time.monotonic())

    def check(self) -> None:
        """Raise StoppedError if the handler shall end: call it between two steps of long work."""
        if self.stopping.is_set():
            raise StoppedError("told to stop before the work was done")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a handler did. Raises TypeError for counts or a reason that job_run cannot keep."""

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
    """Return the handler of a name: a built-in, `module:function`, or an entry point of ENTRY_POINTS.

    Raises UnknownHandlerError. What a module raises while it is imported passes through, but for an ImportError.
    """
    target = BUILT_IN.get(name) or (name if ":" in name else _entry_point(name))
    try:
        handler = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownHandlerError(f"handler {name!r} cannot be loaded from {target!r}: {error}; {_choice()}") from error
    if not callable(handler):
        raise UnknownHandlerError(
            f"handler {name!r} is {type(handler).__qualname__}, which cannot be called; {_choice()}"
        )
    return cast("Handler", handler)


def _entry_point(name: str) -> str:
    try:
        return _entry_points()[name]
    except KeyError:
        raise UnknownHandlerError(f"handler {name!r} does not exist; {_choice()}") from None


def _entry_points() -> dict[str, str]:
    from importlib.metadata import entry_points  # slow, and only needed for a name that is not built in

    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def _choice() -> str:
    names = sorted({*BUILT_IN, *_entry_points()})
    return f"write one of {', '.join(names)}, or module:function of a module that the image holds"
