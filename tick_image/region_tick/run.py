"""Runs one tick, from the claim to the exit code.

The main thread claims the tick, supervises the handler, and in the end writes how the handler ended. The handler runs
in a second thread, and a third thread renews the lease.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import closing
from dataclasses import replace
from threading import Event, Thread
from typing import TYPE_CHECKING

import psycopg

from region_tick import logs, supervise
from region_tick.await_claim import ClaimWait, Verdict, longest_wait
from region_tick.claim import Claimed, Final, NotDue, Refused
from region_tick.contract import ExitCode
from region_tick.effects import Effects
from region_tick.environment import Environment, EnvironmentVariableError
from region_tick.handlers import Tick
from region_tick.lease import Lease
from region_tick.record import acknowledge, exit_code_for, record
from region_tick.session import IDLE_SECONDS
from region_tick.supervise import HandlerHungError, arm_failsafe, listen_for_signals, start_handler

if TYPE_CHECKING:
    from queue import SimpleQueue

    from region_tick.log_tail import LogTail
    from region_tick.supervise import Message

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
HANDLER_LOG = logs.TolerantLogger("region_tick.handler")


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
    logs.configure(keys=_log_keys(environment))
    messages = listen_for_signals(longest_wait(environment) + environment.timeout_seconds)
    wait = ClaimWait(environment, messages, lease_seconds=lease_seconds, answer_seconds=ANSWER_SECONDS)
    try:
        with closing(wait):
            match wait.claim():
                case Verdict(connection, Claimed() as claimed, deadline):
                    arm_failsafe(deadline - time.monotonic(), messages)
                    effects = Effects(connection, claimed, idle_seconds=idle_seconds)
                    tick = make_tick(environment, claimed, connection, effects, deadline)
                    seconds = {"lease_seconds": lease_seconds, "renewal_seconds": renewal_seconds}
                    lease = Lease(claimed, environment.database, effects, **seconds)
                    return _run_handler(environment, claimed, tick, effects, lease, messages)
                case Verdict(_, Final(key, state, reason, detail)):
                    ended = {"tick_at": key.tick_at, "state": state, "reason": reason}
                    log.info("final", extra=ended | ({"detail": detail} if detail else {}))
                    return ExitCode.FINAL
                case Verdict(_, Refused(key, owner, since)):
                    fields = {"tick_at": key.tick_at, "owner": owner, "since": since}
                    log.error("refused", extra=fields | {"reason": "another installation owns the region"})
                    return ExitCode.NOT_PERMITTED
                case Verdict(_, NotDue(key, why)):
                    log.error("refused", extra={"tick_at": key.tick_at, "reason": why})
                    return ExitCode.CONFIGURATION
                case _:
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


def make_tick(
    environment: Environment, claimed: Claimed, connection: psycopg.Connection, effects: Effects, deadline: float
) -> Tick:
    """Return what a handler gets for a claim. `deadline` is in seconds of time.monotonic()."""
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
        log=HANDLER_LOG,
        source=claimed.key.source,
        manual_uid=claimed.key.manual_uid,
        params=environment.params,
        rerun=claimed.rerun,
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
    tail = _keep_log_tail(environment.failed_log_lines)
    window = {"window_start": tick.window.start, "window_end": tick.window.end}
    rerun = {"rerun_by": environment.rerun_by} if tick.rerun else {}
    log.info("claimed", extra={"manual": tick.manual, **rerun, **window})
    if tick.window.end < tick.tick_at:
        behind = (tick.tick_at - tick.window.end).total_seconds()
        log.warning("window cut", extra={**window, "behind_seconds": behind})
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
        if tail and ending.error:
            ending = replace(ending, log_lines=tail.text(ending))
        code = record(environment, claimed, ending, connection=None if hung else tick.connection, within=within)
    if hung:
        os._exit(code)  # the hung thread cannot be ended, and still uses the connection that return would close
    return code


def _keep_log_tail(lines: int) -> LogTail | None:
    """Begin to keep the attempt's last log lines, if any are wanted."""
    if not lines:
        return None
    from region_tick.log_tail import LogTail  # who wants none does not pay for the import

    tail = LogTail(lines, os.environ)
    logging.getLogger().addHandler(tail)
    return tail


def _log_keys(environment: Environment) -> dict[str, object]:
    return {
        "region.id": environment.region.id,
        "region.code": environment.region.code,
        "handler": environment.handler,
        "cron": environment.cron,
        "job": environment.job_name,
        "pod": environment.pod,
    }
