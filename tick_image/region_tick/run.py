"""One tick, from its claim to its exit code.

The main thread claims, then supervises the handler, which runs in a thread of its own, as the lease does. In the end
the main thread writes how the handler ended.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import time
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread

import psycopg

from region_tick import logs, supervise
from region_tick.answer_deadline import answer_deadline
from region_tick.claim import Claimed, Final, Leased, claim
from region_tick.contract import ExitCode, Reason
from region_tick.effects import Effects
from region_tick.environment import Environment, EnvironmentVariableError
from region_tick.handlers import Tick
from region_tick.lease import Lease
from region_tick.record import acknowledge, record, refusal
from region_tick.session import IDLE_SECONDS, connect
from region_tick.supervise import HandlerHungError, Message, listen_for_signals, start_handler

LEASE_SECONDS = 30.0
RENEWAL_SECONDS = 10.0
EXIT_SECONDS = 1.0
"""How long the interpreter may take to end once the tick has its row."""
ANSWER_SECONDS = 12.0
"""How long a claim, or the write of the end, waits for a server that hangs; shorter than the failsafe. A claim so
outlasts the server's own bounds (statements.BOUNDS: 5 s for a lock, 10 s for a statement). The write of the end has
half of it on the handler's connection, which outlasts the bound for a lock only, and the rest on a fresh one (record).
"""
log = logging.getLogger("region_tick")


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
    messages = listen_for_signals(environment.timeout_seconds)
    try:
        with closing(connect(environment.database)) as connection:
            match _await_claim(connection, environment, messages, deadline=deadline, lease_seconds=lease_seconds):
                case Claimed() as claimed:
                    effects = Effects(connection, claimed, job_name=environment.job_name, idle_seconds=idle_seconds)
                    tick = _tick(environment, claimed, connection, effects, deadline)
                    seconds = {"lease_seconds": lease_seconds, "renewal_seconds": renewal_seconds}
                    lease = Lease(claimed, environment.database, effects, **seconds)
                    return _work(environment, claimed, tick, effects, lease, messages)
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


def _await_claim(
    connection: psycopg.Connection,
    environment: Environment,
    messages: SimpleQueue[Message],
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
            log.warning("not claimed", extra={"reason": messages.get(timeout=pause)})
            return None
        about: dict[str, object]
        try:
            with answer_deadline(connection, within=ANSWER_SECONDS):
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
    environment: Environment,
    claimed: Claimed,
    tick: Tick,
    effects: Effects,
    lease: Lease,
    messages: SimpleQueue[Message],
) -> ExitCode:
    """Run the handler and write how it ended."""
    logs.configure(keys=_keys(environment) | {"tick_at": tick.tick_at, "attempt": tick.attempt})
    log.info("claimed", extra={"handler": environment.handler, "manual": bool(claimed.key.manual_uid)})
    worker = start_handler(environment.handler, tick, messages)
    lease.start(messages.put)
    ending = supervise.supervise(messages, lease, tick)
    lease.end()
    worker.join(timeout=0.0 if isinstance(ending.error, HandlerHungError) else 1.0)
    hung = worker.is_alive()
    if effects.finished:
        code = acknowledge(claimed, effects.finished, after=ending.error)
    else:
        within = (
            supervise.FAILSAFE_SECONDS - supervise.PATIENCE_SECONDS - EXIT_SECONDS
            if tick.stopping.is_set()
            else ANSWER_SECONDS
        )
        code = record(environment, claimed, ending, connection=None if hung else tick.connection, within=within)
    if hung:
        os._exit(code)  # nothing ends the thread, and it uses the connection that an orderly exit would close
    return code


def _keys(environment: Environment) -> dict[str, object]:
    return {
        "region.code": environment.region.code,
        "cron": environment.cron,
        "job": environment.job_name,
        "pod": environment.pod,
    }
