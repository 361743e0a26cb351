"""Runs a handler on a real database, and takes back all that it did there.

One transaction holds the claim, the handler's work and the final row, and is rolled back. What the handler does
elsewhere, an HTTP request or a statement on a connection of its own, is done for real. A handler's error in SQL ends
the transaction, so that every later statement fails too.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg

from region_tick.claim import Claimed, claim
from region_tick.contract import ExitCode
from region_tick.effects import WITHOUT_LIMITS, Effects
from region_tick.few_tables import make_missing_tables
from region_tick.handlers import PermanentError, load
from region_tick.handlers.calling import call
from region_tick.record import exit_code_for
from region_tick.run import make_tick
from region_tick.session import connect

if TYPE_CHECKING:
    from region_tick.environment import Environment

_LEASE_SECONDS = 86400.0

log = logging.getLogger("region_tick")


def dry_run(environment: Environment) -> ExitCode:
    """Claim a manual run, run the handler in this thread, log how the run would have ended, and roll it back.

    The tables are made in the transaction if the database lacks them. Returns the exit code of such a tick.
    """
    try:
        with closing(connect(environment.database)) as connection, connection.transaction(force_rollback=True):
            if make_missing_tables(connection):
                log.info("tables made", extra={"reason": "the database has no schema region_tick; rolled back as well"})
            claimed = claim(connection, environment, lease_seconds=_LEASE_SECONDS)
            if not isinstance(claimed, Claimed):
                log.error("not claimed", extra={"reason": str(claimed)})
                return ExitCode.AGAIN
            connection.execute(WITHOUT_LIMITS)
            return _run(environment, claimed, connection)
    except psycopg.Error as error:
        log.error("database failed", extra={"error": str(error), "database": environment.database.address})
        return exit_code_for(error)


def _run(environment: Environment, claimed: Claimed, connection: psycopg.Connection) -> ExitCode:
    effects = Effects(connection, claimed, idle_seconds=0.0, depth=1)  # 0 s: no limit, also while the handler fetches
    tick = make_tick(environment, claimed, connection, effects, time.monotonic() + environment.timeout_seconds)
    try:
        outcome = call(environment.handler, load(environment.handler), tick)
        if effects.finished is None:
            with tick.transaction():
                tick.finish(outcome)
    except Exception as error:
        if effects.finished is None:
            log.exception("would fail")
            return error.exit_code if isinstance(error, PermanentError) else ExitCode.AGAIN
        log.warning("failed after its end", exc_info=True)
    ending = effects.finished
    assert ending is not None  # noqa: S101 - for the type checker: the transaction above has finished it
    fields: dict[str, object] = {"counts": dict(ending.counts), "reason": ending.reason}
    window_end = ending.fetched_until or tick.window.end
    log.info("would succeed", extra=fields | {"window_start": tick.window.start, "window_end": window_end})
    return ExitCode.FINAL
