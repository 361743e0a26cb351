"""Runs the handler in a thread, and ends the handler on a signal, at the deadline or when the lease is lost.

The main thread waits for messages in a single queue. The queue is a SimpleQueue, because a signal handler may call
`SimpleQueue.put` and may not call `Event.set` (https://docs.python.org/3/library/queue.html#simplequeue-objects).
A handler that does not end when told to stop is abandoned: its row says interrupted, and the process exits while the
handler's thread still runs.
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
from region_tick.handlers.calling import call

if TYPE_CHECKING:
    from types import FrameType

    from region_tick.lease import Lease

PATIENCE_SECONDS = 8.0
"""How long a handler may take to end after being told to stop. The rest of the pod's grace period is for the row."""
FAILSAFE_SECONDS = TERMINATION_GRACE_SECONDS - 1
"""When the failsafe ends the process, in seconds after SIGTERM or the deadline. Unlike SIGKILL, the failsafe prints the
stacks of all threads.
"""

Message: TypeAlias = Reason | Outcome | BaseException
"""How the handler ended (Outcome, exception), or why the handler must stop (Reason)."""

log = logging.getLogger("region_tick")


class HandlerHungError(Exception):
    """The handler was told to stop and did not end."""


def listen_for_signals(seconds: float) -> SimpleQueue[Message]:
    """Turn SIGTERM and SIGINT into messages, arm the failsafe, and return the queue of messages.

    `seconds` is how long the process may run.
    """
    messages: SimpleQueue[Message] = SimpleQueue()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        faulthandler.dump_traceback_later(FAILSAFE_SECONDS, exit=True)
        messages.put(Reason.TERMINATED)

    arm_failsafe(seconds, messages)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return messages


def arm_failsafe(seconds: float, messages: SimpleQueue[Message]) -> None:
    """Have the failsafe end the process FAILSAFE_SECONDS after the next `seconds`, or now if it was told to end."""
    faulthandler.dump_traceback_later(seconds + FAILSAFE_SECONDS, exit=True)
    if not messages.empty():
        faulthandler.dump_traceback_later(FAILSAFE_SECONDS, exit=True)


def start_handler(name: str, tick: Tick, messages: SimpleQueue[Message]) -> Thread:
    """Run a handler in a thread of its own, and return the thread. The handler's end becomes a message."""
    thread = Thread(target=_run_handler, args=(name, tick, messages), name="handler", daemon=True)
    thread.start()
    return thread


def _run_handler(name: str, tick: Tick, messages: SimpleQueue[Message]) -> None:
    try:
        messages.put(call(name, load(name), tick))
    except BaseException as error:
        messages.put(error)


def supervise(messages: SimpleQueue[Message], lease: Lease, tick: Tick) -> Ending:
    """Wait for the handler's end and return the ending.

    On SIGTERM, at the deadline or when the lease is lost, tell the handler to stop and wait for PATIENCE_SECONDS more.
    """
    stop_reason: Reason | None = None
    until = tick.deadline
    while True:
        match _next_message(messages, None if stop_reason else lease, until=until):
            case Outcome(counts, reason, fetched_until):
                return Ending(state=State.SUCCEEDED, reason=reason, counts=counts, fetched_until=fetched_until)
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
            case Reason():  # the handler was told to stop already
                continue
            case never:
                assert_never(never)


def _next_message(messages: SimpleQueue[Message], lease: Lease | None, *, until: float) -> Message:
    """Wait for the next message. Return TIMEOUT at the time `until`, LEASE_LOST at the lease's end."""
    while True:
        lease_ends_at = lease.ends_at if lease else float("inf")
        with suppress(Empty):
            return messages.get(timeout=max(0.0, min(until, lease_ends_at) - time.monotonic()))
        if time.monotonic() >= until:
            return Reason.TIMEOUT
        if lease and time.monotonic() >= lease.ends_at:  # a renewal may have moved the end in the meantime
            return Reason.LEASE_LOST
