"""Runs one tick, from the claim to the exit code.

The main thread claims the tick, supervises the handler, and in the end writes how the handler ended. The handler runs
in a second thread, and a third thread renews the lease.
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
from region_tick.claim import Claimed, Final, Leased, Refused, claim
from region_tick.contract import ExitCode, Reason
from region_tick.effects import Effects
from region_tick.environment import Environment, EnvironmentVariableError
from region_tick.handlers import Tick
from region_tick.lease import Lease
from region_tick.record import acknowledge, exit_code_for, record
from region_tick.session import IDLE_SECONDS, connect
from region_tick.supervise import HandlerHungError, Message, listen_for_signals, start_handler

LEASE_SECONDS = 30.0
RENEWAL_SECONDS = 10.0
EXIT_SECONDS = 1.0
"""How long the interpreter may take to exit after the tick's row is written."""
ANSWER_SECONDS = 12.0
"""How long a claim or the write of the final row waits for a hanging server. The limit is shorter than the failsafe.

A claim waits longer than the server's own bounds (statements.BOUNDS: 5 s for a lock, 10 s for a statement). The final
row gets half of the time on the handler's connection, which outlasts only the bound for a lock. A fresh connection gets
the rest (record).
"""
log = logging.getLogger("region_tick")


def main() -> ExitCode:
    """Run the tick that the environment variables describe, and return the exit code."""
    logs.configure()
    try:
        code = run(Environment.read(os.environ))
    except EnvironmentVariableError as error:
        log.error("not configured", extra={"error": str(error)})
        code = ExitCode.CONFIGURATION
    except Exception:
        log.exception("crashed")
        code = ExitCode.AGAIN
    Thread(target=_exit_soon, args=(code,), name="leave", daemon=True).start()
    return code


def run(
    environment: Environment,
    *,
    lease_seconds: float = LEASE_SECONDS,
    renewal_seconds: float = RENEWAL_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
) -> ExitCode:
    """Claim the tick, run the handler, write the ending, and return the exit code.

    Call run() only in the main thread of a process that exits afterwards: signal handlers and failsafe stay armed.
    """
    deadline = time.monotonic() + environment.timeout_seconds
    logs.configure(keys=_log_keys(environment))
    messages = listen_for_signals(environment.timeout_seconds)
    try:
        with closing(connect(environment.database)) as connection:
            match _await_claim(connection, environment, messages, deadline=deadline, lease_seconds=lease_seconds):
                case Claimed() as claimed:
                    effects = Effects(connection, claimed, idle_seconds=idle_seconds)
                    tick = _make_tick(environment, claimed, connection, effects, deadline)
                    seconds = {"lease_seconds": lease_seconds, "renewal_seconds": renewal_seconds}
                    lease = Lease(claimed, environment.database, effects, **seconds)
                    return _run_handler(environment, claimed, tick, effects, lease, messages)
                case Final(key, state, reason):
                    log.info("final", extra={"tick_at": key.tick_at, "state": state, "reason": reason})
                    return ExitCode.FINAL
                case Refused(key, owner, since):
                    fields = {"tick_at": key.tick_at, "owner": owner, "since": since}
                    log.error("refused", extra=fields | {"reason": "another installation owns the region"})
                    return ExitCode.NOT_PERMITTED
                case None:
                    return ExitCode.AGAIN
    except psycopg.Error as error:
        log.error("database failed", extra={"error": str(error), "database": environment.database.address})
        return exit_code_for(error)


def _exit_soon(code: ExitCode) -> None:
    """End the process after EXIT_SECONDS, if the orderly exit waits for leftovers of the handler such as a thread."""
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
) -> Claimed | Final | Refused | None:
    """Claim the tick; wait while another attempt holds the lease or another session holds a lock.

    Return None if a signal or the deadline ends the wait.
    """
    pause = 0.0
    while time.monotonic() + pause < deadline:
        with suppress(Empty):
            log.warning("not claimed", extra={"reason": messages.get(timeout=pause)})
            return None
        fields: dict[str, object]
        try:
            with answer_deadline(connection, within=ANSWER_SECONDS):
                verdict = claim(connection, environment, lease_seconds=lease_seconds)
        except psycopg.errors.LockNotAvailable as error:
            fields = {"error": str(error)}
        else:
            if not isinstance(verdict, Leased):
                return verdict
            fields = {"tick_at": verdict.key.tick_at, "leased_by": verdict.attempt, "leased_until": verdict.until}
        if not pause:
            log.info("waiting", extra=fields)
        pause = random.uniform(0.5, 1.5)  # noqa: S311
    log.warning("not claimed", extra={"reason": Reason.TIMEOUT})
    return None


def _make_tick(
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


def _run_handler(
    environment: Environment,
    claimed: Claimed,
    tick: Tick,
    effects: Effects,
    lease: Lease,
    messages: SimpleQueue[Message],
) -> ExitCode:
    """Run the handler, write the ending, and return the exit code."""
    logs.configure(keys=_log_keys(environment) | {"tick_at": tick.tick_at, "attempt": tick.attempt})
    log.info("claimed", extra={"handler": environment.handler, "manual": bool(claimed.key.manual_uid)})
    handler_thread = start_handler(environment.handler, tick, messages)
    lease.start(messages.put)
    ending = supervise.supervise(messages, lease, tick)
    lease.end()
    handler_thread.join(timeout=0.0 if isinstance(ending.error, HandlerHungError) else 1.0)
    hung = handler_thread.is_alive()
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
        os._exit(code)  # the hung thread cannot be ended, and still uses the connection that return would close
    return code


def _log_keys(environment: Environment) -> dict[str, object]:
    return {
        "region.code": environment.region.code,
        "cron": environment.cron,
        "job": environment.job_name,
        "pod": environment.pod,
    }
