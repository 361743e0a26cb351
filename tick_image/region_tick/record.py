"""The end of an attempt: its row, its last line in the log, and the exit code that tells Kubernetes what to do next."""

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
from region_tick.handlers import PermanentError
from region_tick.session import connect

if TYPE_CHECKING:
    from region_tick.claim import Claimed
    from region_tick.environment import Environment

log = logging.getLogger("region_tick")


def record(
    environment: Environment, claimed: Claimed, ending: Ending, *, connection: psycopg.Connection | None, within: float
) -> ExitCode:
    """Write the ending, on the handler's connection where that is free again; give it up after `within` seconds."""
    about = _about(claimed, ending)
    try:
        written = _finish(environment, claimed, ending, connection, until=time.monotonic() + within)
    except psycopg.Error as error:
        log.error("not recorded", extra=about | {"database": str(error)}, exc_info=ending.error)
        return refusal(error)
    if not written:
        log.warning("lease lost", extra=about, exc_info=ending.error)
        return ExitCode.AGAIN
    log.log(logging.ERROR if ending.error else logging.INFO, "finished", extra=about, exc_info=ending.error)
    if isinstance(ending.error, PermanentError):
        return ending.error.exit_code
    return ExitCode.AGAIN if ending.error else ExitCode.FINAL


def acknowledge(claimed: Claimed, ending: Ending, *, after: BaseException | None) -> ExitCode:
    """Log an ending that the handler committed with its effects; whatever came `after` changes nothing about it."""
    log.log(logging.WARNING if after else logging.INFO, "finished", extra=_about(claimed, ending), exc_info=after)
    return ExitCode.FINAL


def refusal(error: psycopg.Error) -> ExitCode:
    """Return the exit code of an attempt that the database refused, which none can mend, or failed."""
    refused = isinstance(error, psycopg.errors.InsufficientPrivilege)
    return ExitCode.NOT_PERMITTED if refused else ExitCode.AGAIN


def _finish(
    environment: Environment, claimed: Claimed, ending: Ending, connection: psycopg.Connection | None, *, until: float
) -> bool:
    tried = False
    if connection and not connection.closed and connection.info.transaction_status is TransactionStatus.IDLE:
        tried = True
        with (
            suppress(psycopg.Error),  # cut meanwhile, perhaps: a fresh one shows whether more is wrong
            answer_deadline(connection, within=(until - time.monotonic()) / 2),
        ):
            return finish(connection, claimed, ending, job_name=environment.job_name)
    with (
        closing(connect(environment.database, within=until - time.monotonic())) as fresh,
        answer_deadline(fresh, within=until - time.monotonic()),
    ):
        if finish(fresh, claimed, ending, job_name=environment.job_name):
            return True
        return tried and is_finished(fresh, claimed, ending)  # a COMMIT may be done that was not answered


def _about(claimed: Claimed, ending: Ending) -> dict[str, object]:
    seconds = round(time.monotonic() - claimed.asked, 3)
    return {"state": ending.state, "reason": ending.reason, "seconds": seconds, "counts": dict(ending.counts)}
