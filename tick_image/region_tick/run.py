"""One tick, from its claim to its exit code.

The main thread claims, then attends to the handler, which runs in a thread of its own, as the lease does: it passes on
SIGTERM, the deadline and the lease's end, and writes how the handler ended. It waits for nothing but news until then,
which arrive in one queue, because `SimpleQueue.put` may be called in a signal handler and `Event.set` may not
(https://docs.python.org/3/library/queue.html#simplequeue-objects). A handler that does not end when told to is left
behind: its row says interrupted, and the process exits under it.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import random
import signal
import sys
import time
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeAlias, assert_never

import psycopg

from region_tick import logs
from region_tick.answer import answered
from region_tick.claim import IDLE_SECONDS, Claimed, Ending, Final, Leased, claim, connect
from region_tick.contract import TERMINATION_GRACE_SECONDS, ExitCode, Reason, State
from region_tick.effects import Effects
from region_tick.environment import Environment, EnvironmentVariableError
from region_tick.handlers import LeaseLostError, Outcome, PermanentError, Tick, load
from region_tick.lease import Lease
from region_tick.record import acknowledge, record, refusal

if TYPE_CHECKING:
    from types import FrameType

LEASE_SECONDS = 30.0
RENEWAL_SECONDS = 10.0
PATIENCE_SECONDS = 8.0
"""How long a handler may take to end once it is told to; the rest of the pod's grace is for writing its row."""
EXIT_SECONDS = 1.0
"""How long the interpreter may take to end once the tick has its row."""
ANSWER_SECONDS = 12.0
"""How long a claim, or the write of the end, waits for a server that hangs; shorter than the failsafe. A claim so
outlasts the server's own bounds (statements.BOUNDS: 5 s for a lock, 10 s for a statement). The write of the end has
half of it on the handler's connection, which outlasts the bound for a lock only, and the rest on a fresh one (record).
"""
FAILSAFE_SECONDS = TERMINATION_GRACE_SECONDS - 1
"""How long after SIGTERM or the deadline the process is ended whatever hangs; unlike SIGKILL it shows the stacks."""

News: TypeAlias = Reason | Outcome | BaseException
log = logging.getLogger("region_tick")


class HandlerHungError(Exception):
    """The handler was told to end and did not."""


def main() -> ExitCode:
    """Run the tick that the environment describes."""
    logs.configure()
    try:
        code = run(Environment.read(os.environ))
    except EnvironmentVariableError as error:
        log.error("not configured", extra={"error": str(error)})
        code = ExitCode.CONFIGURATION
    except Exception:
        log.exception("crashed")
        code = ExitCode.AGAIN
    Thread(target=_leave, args=(code,), name="leave", daemon=True).start()
    return code


def run(
    environment: Environment,
    *,
    lease_seconds: float = LEASE_SECONDS,
    renewal_seconds: float = RENEWAL_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
) -> ExitCode:
    """Claim, handle, finish. Only in the main thread of a process that then exits: signals and failsafe stay set."""
    deadline = time.monotonic() + environment.timeout_seconds
    logs.configure(keys=_keys(environment))
    news = _hear(environment.timeout_seconds)
    try:
        with closing(connect(environment.database)) as connection:
            match _await_claim(connection, environment, news, deadline=deadline, lease_seconds=lease_seconds):
                case Claimed() as claimed:
                    effects = Effects(connection, claimed, job_name=environment.job_name, idle_seconds=idle_seconds)
                    tick = _tick(environment, claimed, connection, effects, deadline)
                    seconds = {"lease_seconds": lease_seconds, "renewal_seconds": renewal_seconds}
                    lease = Lease(claimed, environment.database, effects, **seconds)
                    return _work(environment, claimed, tick, effects, lease, news)
                case Final(key, state, reason):
                    log.info("final", extra={"tick_at": key.tick_at, "state": state, "reason": reason})
                    return ExitCode.FINAL
                case None:
                    return ExitCode.AGAIN
    except psycopg.Error as error:
        log.error("database failed", extra={"error": str(error), "database": environment.database.address})
        return refusal(error)


def _leave(code: ExitCode) -> None:
    """End the process in a moment, where the orderly end waits for what the handler left behind, such as a thread."""
    time.sleep(EXIT_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _hear(timeout_seconds: int) -> SimpleQueue[News]:
    """Turn signals into news, and arm the failsafe."""
    news: SimpleQueue[News] = SimpleQueue()

    def terminated(_number: int, _frame: FrameType | None) -> None:
        faulthandler.dump_traceback_later(FAILSAFE_SECONDS, exit=True)
        news.put(Reason.TERMINATED)

    faulthandler.dump_traceback_later(timeout_seconds + FAILSAFE_SECONDS, exit=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, terminated)
    return news


def _await_claim(
    connection: psycopg.Connection,
    environment: Environment,
    news: SimpleQueue[News],
    *,
    deadline: float,
    lease_seconds: float,
) -> Claimed | Final | None:
    """Claim, waiting while another attempt holds the lease or anybody a lock; None when told to stop, or when time is
    over, before that.
    """
    pause = 0.0
    while time.monotonic() + pause < deadline:
        with suppress(Empty):
            log.warning("not claimed", extra={"reason": news.get(timeout=pause)})
            return None
        about: dict[str, object]
        try:
            with answered(connection, within=ANSWER_SECONDS):
                verdict = claim(connection, environment, lease_seconds=lease_seconds)
        except psycopg.errors.LockNotAvailable as error:
            about = {"error": str(error)}
        else:
            if not isinstance(verdict, Leased):
                return verdict
            about = {"tick_at": verdict.key.tick_at, "leased_by": verdict.attempt, "leased_until": verdict.until}
        if not pause:
            log.info("waiting", extra=about)
        pause = random.uniform(0.5, 1.5)  # noqa: S311
    log.warning("not claimed", extra={"reason": Reason.TIMEOUT})
    return None


def _tick(
    environment: Environment, claimed: Claimed, connection: psycopg.Connection, effects: Effects, deadline: float
) -> Tick:
    return Tick(
        region=environment.region,
        cron=environment.cron,
        tick_at=claimed.key.tick_at,
        window=claimed.window,
        attempt=claimed.attempt,
        deadline=deadline,
        stopping=Event(),
        connection=connection,
        transaction=effects.transaction,
        finish=effects.finish,
        log=log,
    )


def _work(
    environment: Environment, claimed: Claimed, tick: Tick, effects: Effects, lease: Lease, news: SimpleQueue[News]
) -> ExitCode:
    """Run the handler and write how it ended."""
    logs.configure(keys=_keys(environment) | {"tick_at": tick.tick_at, "attempt": tick.attempt})
    log.info("claimed", extra={"handler": environment.handler, "manual": bool(claimed.key.manual_uid)})
    worker = Thread(target=_handle, args=(environment.handler, tick, news), name="handler", daemon=True)
    worker.start()
    lease.start(news.put)
    ending = _attend(news, lease, tick)
    lease.end()
    worker.join(timeout=0.0 if isinstance(ending.error, HandlerHungError) else 1.0)
    hung = worker.is_alive()
    if effects.finished:
        code = acknowledge(claimed, effects.finished, after=ending.error)
    else:
        within = FAILSAFE_SECONDS - PATIENCE_SECONDS - EXIT_SECONDS if tick.stopping.is_set() else ANSWER_SECONDS
        code = record(environment, claimed, ending, connection=None if hung else tick.connection, within=within)
    if hung:
        os._exit(code)  # nothing ends the thread, and it uses the connection that an orderly exit would close
    return code


def _handle(name: str, tick: Tick, news: SimpleQueue[News]) -> None:
    try:
        outcome = load(name)(tick)
        if not isinstance(outcome, Outcome | None):
            raise PermanentError(f"handler {name!r} returned {outcome!r}: return an Outcome or None")
        news.put(outcome or Outcome())
    except BaseException as error:
        news.put(error)


def _attend(news: SimpleQueue[News], lease: Lease, tick: Tick) -> Ending:
    """Wait for the handler's end; tell it to end when SIGTERM comes, the deadline passes or the lease is lost."""
    told: Reason | None = None
    until = tick.deadline
    while True:
        match _next(news, None if told else lease, until=until):
            case Outcome(counts, reason):
                return Ending(state=State.SUCCEEDED, reason=reason, counts=counts)
            case LeaseLostError() as error:
                return Ending(state=State.INTERRUPTED, reason=Reason.LEASE_LOST, error=error)
            case PermanentError() as error:
                return Ending(state=State.FAILED, reason=Reason.ERROR, error=error)
            case BaseException() as error:
                return Ending(state=State.INTERRUPTED, reason=told or Reason.ERROR, error=error)
            case Reason() as reason if told is None:
                told, until = reason, time.monotonic() + PATIENCE_SECONDS
                tick.stopping.set()
                log.warning("stopping", extra={"reason": reason})
            case Reason.TIMEOUT as reason:
                hung = HandlerHungError(f"the handler did not end within {PATIENCE_SECONDS:.0f} s of being told to")
                return Ending(state=State.INTERRUPTED, reason=told or reason, error=hung)
            case Reason():  # told already
                continue
            case never:
                assert_never(never)


def _next(news: SimpleQueue[News], lease: Lease | None, *, until: float) -> News:
    """Return the next news: TIMEOUT at `until`, LEASE_LOST when the lease is over."""
    while True:
        ends = lease.over if lease else float("inf")
        with suppress(Empty):
            return news.get(timeout=max(0.0, min(until, ends) - time.monotonic()))
        if time.monotonic() >= until:
            return Reason.TIMEOUT
        if lease and time.monotonic() >= lease.over:  # which a renewal may have moved meanwhile
            return Reason.LEASE_LOST


def _keys(environment: Environment) -> dict[str, object]:
    return {
        "region.code": environment.region.code,
        "cron": environment.cron,
        "job": environment.job_name,
        "pod": environment.pod,
    }
