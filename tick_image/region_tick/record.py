"""Ends an attempt: writes the row and the last log line, and chooses the exit code that Kubernetes acts on."""

from __future__ import annotations

import logging
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import TransactionStatus

from region_tick.answer_deadline import answer_deadline
from region_tick.contract import ExitCode
from region_tick.fence import Ending, finish, is_finished
from region_tick.session import connect

if TYPE_CHECKING:
    from region_tick.claim import Claimed
    from region_tick.environment import Environment

log = logging.getLogger("region_tick")


def record(
    environment: Environment, claimed: Claimed, ending: Ending, *, connection: psycopg.Connection | None, within: float
) -> ExitCode:
    """Write the ending and return the exit code; give up after `within` seconds.

    The handler's `connection` is used first, if no transaction is open there, and then a fresh connection.
    """
    fields = _log_fields(claimed, ending)
    try:
        written = _finish(environment, claimed, ending, connection, until=time.monotonic() + within)
    except psycopg.Error as error:
        log.error("not recorded", extra=fields | {"database": str(error)}, exc_info=ending.error)
        return exit_code_for(error)
    if not written:
        log.warning("lease lost", extra=fields, exc_info=ending.error)
        return ExitCode.AGAIN
    log.log(logging.ERROR if ending.error else logging.INFO, "finished", extra=fields, exc_info=ending.error)
    return ending.exit_code


def acknowledge(claimed: Claimed, ending: Ending, *, after: BaseException | None) -> ExitCode:
    """Log an ending that the handler committed together with its effects, and return the exit code.

    An error `after` the commit is logged as well, and changes nothing: the tick is final.
    """
    log.log(logging.WARNING if after else logging.INFO, "finished", extra=_log_fields(claimed, ending), exc_info=after)
    return ExitCode.FINAL


def exit_code_for(error: psycopg.Error) -> ExitCode:
    """Return the exit code after a database error: missing privileges are permanent, other errors are tried again."""
    refused = isinstance(error, psycopg.errors.InsufficientPrivilege)
    return ExitCode.NOT_PERMITTED if refused else ExitCode.AGAIN


def _finish(
    environment: Environment, claimed: Claimed, ending: Ending, connection: psycopg.Connection | None, *, until: float
) -> bool:
    """Write the ending by the time `until` (time.monotonic()); return False if the lease is lost.

    Raises psycopg.Error.
    """
    tried = False
    if connection and not connection.closed and connection.info.transaction_status is TransactionStatus.IDLE:
        tried = True
        with (
            suppress(psycopg.Error),  # the connection may be broken: a fresh connection shows if more is wrong
            answer_deadline(connection, within=(until - time.monotonic()) / 2),
        ):
            return finish(connection, claimed, ending)
    with (
        closing(connect(environment.database, within=until - time.monotonic())) as fresh,
        answer_deadline(fresh, within=until - time.monotonic()),
    ):
        if finish(fresh, claimed, ending):
            return True
        return tried and is_finished(fresh, claimed, ending)  # the first COMMIT may have succeeded without an answer


def _log_fields(claimed: Claimed, ending: Ending) -> dict[str, object]:
    seconds = round(time.monotonic() - claimed.asked, 3)
    return {"state": ending.state, "reason": ending.reason, "seconds": seconds, "counts": dict(ending.counts)}
