"""Defines what a handler gets (Tick), what a handler returns (Outcome), and how a handler's name becomes code (load).

A handler is a function of a Tick, plain or `async def`. To return an Outcome or None means that the work is done. To
raise an error means that the work is not done: PermanentError if another attempt cannot help, any other error if
another attempt may help. A handler that ends early because `tick.stopping` is set raises an error too, most simply by
`tick.check()`. A process runs one handler, in a thread of its own; other threads supervise the handler and renew the
tick's lease.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import index
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from region_tick.contract import ExitCode, Reason
from region_tick.handlers.values import BoundingBox as BoundingBox
from region_tick.handlers.values import Region as Region  # noqa: TC001 - for importers
from region_tick.handlers.values import Window as Window  # noqa: TC001 - for importers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
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
HANDLERS_FOLDER = "/handlers"
"""The image's folder for the user's modules. It is looked through last, so that no module there hides another one."""


class PermanentError(Exception):
    """Raised by a handler for an error that another attempt cannot repair: the tick fails, and its Job ends at once."""

    exit_code = ExitCode.DATA


class UnknownHandlerError(PermanentError):
    """A handler's name leads to no callable, or its module fails when imported. The message says what to write."""

    exit_code = ExitCode.CONFIGURATION


class StoppedError(Exception):
    """Raised by `Tick.check` when the handler must end: the tick counts as interrupted and is tried again."""


class LeaseLostError(Exception):
    """Raised by `Tick.transaction` if this attempt has lost its lease: the transaction was rolled back.

    A handler lets this error pass: another attempt does the tick, or will.
    """


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
    source: str = ""
    """The region table's qualified name, e.g. `public.region_index`."""
    manual_uid: str = ""
    """What tells a manual run from others: the uid of its Job. Empty for a scheduled tick."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The region's own parameters, from the column that `spec.source.columns.params` names; empty for NULL."""

    rerun: bool = False
    """Whether somebody has this tick run again, long after its time: `tick_at` and `key` are the same as then. The
    window is that of this tick alone, from the tick before, and a success moves no cursor.
    """

    @property
    def manual(self) -> bool:
        """Whether somebody started this run, and not the schedule."""
        return bool(self.manual_uid)

    @property
    def key(self) -> str:
        """A text of 59 letters, digits and `-` that all attempts of this tick share, and no other run of the database.

        Send it along with effects outside of the database, so that the receiver knows a repetition from a new run.
        """
        from hashlib import sha256  # only a handler that asks for the key pays for the import

        minute = self.tick_at.astimezone(UTC)
        parts = (self.source, self.region.id, minute.isoformat(), self.manual_uid)
        digest = sha256("\0".join(parts).encode(errors="backslashreplace")).hexdigest()
        return f"{minute:%Y%m%dT%H%MZ}-{digest[:44]}"

    def remaining(self) -> float:
        """Return the seconds until the deadline, or 0.0 after the deadline."""
        return max(0.0, self.deadline - time.monotonic())

    def check(self) -> None:
        """Raise StoppedError if the handler must end. Call check() between two steps of long work."""
        if self.stopping.is_set():
            raise StoppedError("told to stop before the work was done")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a handler. Raises TypeError or ValueError for what job_run cannot store."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """Numbers for job_run.counts, e.g. {"fetched": 12, "not_modified": 40}. True counts as 1, False as 0."""
    reason: str = Reason.OK
    fetched_until: datetime | None = None
    """Up to when the handler fetched, if not to the end of the window: a time with a zone, inside the window. The next
    tick's window begins there.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", {name: _whole(name, count) for name, count in self.counts.items()})
        if not isinstance(self.reason, str):
            raise TypeError(f"Outcome.reason is {self.reason!r}; give it a text (str)")
        until = self.fetched_until
        if until is not None:
            if not isinstance(until, datetime):
                raise TypeError(f"Outcome.fetched_until is {until!r}; give it a datetime with a time zone")
            if until.tzinfo is None:
                raise ValueError(f"Outcome.fetched_until {until.isoformat()} has no time zone: give it one, e.g. UTC")
            object.__setattr__(self, "fetched_until", until.astimezone(UTC))

    def check_within(self, window: Window) -> None:
        """Raise PermanentError if `fetched_until` is outside of the window."""
        until = self.fetched_until
        if until is None or (window.start or until) <= until <= window.end:
            return
        begin = window.start.isoformat() if window.start else "the beginning"
        raise PermanentError(
            f"Outcome.fetched_until {until.isoformat()} is outside of the tick's window, which goes from {begin} to "
            f"{window.end.isoformat()}: give a time in it, or leave it out if all of the window is fetched"
        )


def _whole(name: object, count: object) -> int:
    if isinstance(name, str):
        try:
            return index(count)  # type: ignore[arg-type]
        except TypeError:
            pass
    raise TypeError(f"Outcome.counts has {name!r}: {count!r}; give it names (str) with whole numbers (int)")


Handler: TypeAlias = Callable[[Tick], "Outcome | Coroutine[Any, Any, Outcome | None] | None"]


def load(name: str) -> Handler:
    """Return the handler with a name: a built-in, `module:function`, or an entry point of the group ENTRY_POINTS.

    Raises UnknownHandlerError, also for any error that the handler's module raises when imported.
    """
    target = BUILT_IN.get(name) or (name if ":" in name else _entry_point_target(name))
    try:
        return load_callable(target)
    except UnknownHandlerError as error:
        raise UnknownHandlerError(f"handler {name!r} {error}; {_remedy()}") from error.__cause__


def load_callable(target: str) -> Callable[..., Any]:
    """Return what `module:function` names, from an installed module or one in HANDLERS_FOLDER.

    Raises UnknownHandlerError; the message is the end of a sentence about the name.
    """
    if HANDLERS_FOLDER not in sys.path:
        sys.path.append(HANDLERS_FOLDER)
    try:
        found = resolve_name(target)
    except Exception as error:
        what = f"{error}" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise UnknownHandlerError(f"cannot be loaded from {target!r}: {what}{_hidden(target)}") from error
    if not callable(found):
        raise UnknownHandlerError(f"is {type(found).__qualname__}, which cannot be called")
    return cast("Callable[..., Any]", found)


def _hidden(target: str) -> str:
    """Return a hint if a module of the user's has the name of a module that is found before it."""
    from pathlib import Path  # only a wrong name pays for the import

    name = target.partition(":")[0].partition(".")[0]
    found = getattr(sys.modules.get(name), "__file__", None)
    own = [file for folder in (HANDLERS_FOLDER, Path.cwd()) if (file := Path(folder, f"{name}.py")).is_file()]
    if name not in sys.modules or not own or Path(found or "").resolve() in [file.resolve() for file in own]:
        return ""
    return f" (this is {found or 'a part of Python'}, and not your {own[0]}: give your module another name)"


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
