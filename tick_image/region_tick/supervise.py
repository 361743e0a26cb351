"""The handler's thread, and what ends it: its own end, a signal, the deadline, or the loss of the lease.

The main thread waits for messages only, and they arrive in one queue, because `SimpleQueue.put` may be called in a
signal handler and `Event.set` may not (https://docs.python.org/3/library/queue.html#simplequeue-objects). A handler
that does not end when told to is left behind: its row says interrupted, and the process exits under it.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeAlias, assert_never

from region_tick.contract import TERMINATION_GRACE_SECONDS, Reason, State
from region_tick.fence import Ending
from region_tick.handlers import LeaseLostError, Outcome, PermanentError, Tick, load

if TYPE_CHECKING:
    from types import FrameType

    from region_tick.lease import Lease

PATIENCE_SECONDS = 8.0
"""How long a handler may take to end once it is stop_reason to; the rest of the pod's grace is for writing its row."""
FAILSAFE_SECONDS = TERMINATION_GRACE_SECONDS - 1
"""How long after SIGTERM or the deadline the process is ended whatever hangs; unlike SIGKILL it shows the stacks."""

Message: TypeAlias = Reason | Outcome | BaseException
"""How the handler ended, or why it is to stop."""

log = logging.getLogger("region_tick")


class HandlerHungError(Exception):
    """The handler was stop_reason to end and did not."""


def listen_for_signals(timeout_seconds: int) -> SimpleQueue[Message]:
    """Turn signals into messages, and arm the failsafe."""
    messages: SimpleQueue[Message] = SimpleQueue()

    def terminated(_number: int, _frame: FrameType | None) -> None:
        faulthandler.dump_traceback_later(FAILSAFE_SECONDS, exit=True)
        messages.put(Reason.TERMINATED)

    faulthandler.dump_traceback_later(timeout_seconds + FAILSAFE_SECONDS, exit=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, terminated)
    return messages


def start_handler(name: str, tick: Tick, messages: SimpleQueue[Message]) -> Thread:
    """Run a handler in a thread of its own; its end becomes a message."""
    thread = Thread(target=_handle, args=(name, tick, messages), name="handler", daemon=True)
    thread.start()
    return thread


def _handle(name: str, tick: Tick, messages: SimpleQueue[Message]) -> None:
    try:
        outcome = load(name)(tick)
        if not isinstance(outcome, Outcome | None):
            raise PermanentError(f"handler {name!r} returned {outcome!r}: return an Outcome or None")
        messages.put(outcome or Outcome())
    except BaseException as error:
        messages.put(error)


def supervise(messages: SimpleQueue[Message], lease: Lease, tick: Tick) -> Ending:
    """Wait for the handler's end; tell it to end when SIGTERM comes, the deadline passes or the lease is lost."""
    stop_reason: Reason | None = None
    until = tick.deadline
    while True:
        match _next(messages, None if stop_reason else lease, until=until):
            case Outcome(counts, reason):
                return Ending(state=State.SUCCEEDED, reason=reason, counts=counts)
            case LeaseLostError() as error:
                return Ending(state=State.INTERRUPTED, reason=Reason.LEASE_LOST, error=error)
            case PermanentError() as error:
                return Ending(state=State.FAILED, reason=Reason.ERROR, error=error)
            case BaseException() as error:
                return Ending(state=State.INTERRUPTED, reason=stop_reason or Reason.ERROR, error=error)
            case Reason() as reason if stop_reason is None:
                stop_reason, until = reason, time.monotonic() + PATIENCE_SECONDS
                tick.stopping.set()
                log.warning("stopping", extra={"reason": reason})
            case Reason.TIMEOUT as reason:
                hung = HandlerHungError(f"the handler did not end within {PATIENCE_SECONDS:.0f} s of being told to")
                return Ending(state=State.INTERRUPTED, reason=stop_reason or reason, error=hung)
            case Reason():  # it was told to stop already
                continue
            case never:
                assert_never(never)


def _next(messages: SimpleQueue[Message], lease: Lease | None, *, until: float) -> Message:
    """Return the next message: TIMEOUT at `until`, LEASE_LOST when the lease is over."""
    while True:
        ends = lease.over if lease else float("inf")
        with suppress(Empty):
            return messages.get(timeout=max(0.0, min(until, ends) - time.monotonic()))
        if time.monotonic() >= until:
            return Reason.TIMEOUT
        if lease and time.monotonic() >= lease.over:  # which a renewal may have moved meanwhile
            return Reason.LEASE_LOST
