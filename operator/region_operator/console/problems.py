"""Turns the errors of an answer into what a person reads: what is wrong, and what to do. Pure.

Whoever may look at the console sees these texts, so they have no address and no user of the database.
"""

from __future__ import annotations

from http import HTTPStatus

from kubernetes.aio.client import ApiException
from psycopg.errors import InsufficientPrivilege, QueryCanceled, UndefinedColumn, UndefinedTable
from sqlalchemy.exc import DBAPIError

from region_operator.console.cluster import RIGHTS, describe_error
from region_operator.console.not_found import NotFoundError
from region_operator.console.parameters import BadParameterError
from region_operator.console.sight import BusyError
from region_operator.console.views import Error, ErrorReason
from region_operator.database.engine import first_line, is_away
from region_operator.errors import explain
from region_operator.kube.api import ApiUnavailableError
from region_operator.plan.conditions import ReadyReason
from region_operator.planning import MissingSchedulerError

_LESS = "ask for less: a shorter time (from, until), or fewer regions (code)"
_DATABASE_AWAY = (
    "bring Postgres back, or mend the console's Secret: the RegionScheduler's condition Ready and the console's log say"
    " what it answered. Nothing is deleted meanwhile. A tick that comes now waits for the database as long as it may"
    " still start; what does not run all the same can be run again later, by `kubectl region backfill CODE --from 2h"
    " --state missed,failed,skipped`"
)
_LOOK_AT_DATABASE = (
    "look at it again in a moment; the console's log says more, and the RegionScheduler's condition Ready"
)
_CREATE_SECRET = "create the Secret with a URL of a role that reads: docs/console.md"  # noqa: S105 - a text
_GRANTS = (
    "give it the right, and after each upgrade: kubectl exec -n NAMESPACE deploy/region-operator --"
    " /opt/region-tick/bin/python -m region_operator grants --console-role ROLE | psql, as an administrator of the"
    " database"
)
_MIGRATE = (
    "the operator migrates it once it runs in this console's release: kubectl region doctor or the operator's log says"
    " why it did not"
)
_LOOK_AT_API_SERVER = "look at it again in a moment; kubectl get --raw /readyz says how the API server is"


def explain_problem(error: Exception) -> Error:
    """Return what a person reads about an error. An error that nobody expected is a bug: the log has it."""
    match error:
        case BadParameterError():
            return Error(reason=ErrorReason.BAD_PARAMETER, message=str(error), remedy=error.allowed)
        case NotFoundError():
            return Error(reason=ErrorReason.NOT_FOUND, message=str(error), remedy=error.remedy)
        case MissingSchedulerError():
            message, _, remedy = str(error).partition(": ")
            return Error(reason=ErrorReason.NO_SCHEDULER, message=message, remedy=remedy)
        case DBAPIError(orig=QueryCanceled()):
            return Error(reason=ErrorReason.TOO_SLOW, message="the database took too long", remedy=_LESS)
        case DBAPIError(orig=UndefinedColumn() | UndefinedTable() as lack):
            message = f"the database's schema is older than this console: {first_line(lack)}"
            return Error(reason=ErrorReason.DATABASE_UNAVAILABLE, message=message, remedy=_MIGRATE)
        case BusyError():
            return Error(reason=ErrorReason.TOO_SLOW, message=str(error), remedy=_LESS)
        case ApiException() | ApiUnavailableError():
            refused = isinstance(error, ApiException) and error.status == HTTPStatus.FORBIDDEN
            remedy = RIGHTS if refused else _LOOK_AT_API_SERVER
            return Error(reason=ErrorReason.CLUSTER_UNAVAILABLE, message=describe_error(error), remedy=remedy)
    if refusal := _missing_grant(error):
        message = f"the console's role in the database lacks a right: {first_line(refusal)}"
        return Error(reason=ErrorReason.DATABASE_UNAVAILABLE, message=message, remedy=_GRANTS)
    problem = explain(error)
    if problem is None:
        message = "an error of the console itself"
        return Error(reason=ErrorReason.INTERNAL, message=message, remedy="its log has the error: please report it")
    remedy = _remedy(problem.reason, refused=isinstance(error, DBAPIError) and not is_away(error))
    return Error(reason=ErrorReason.DATABASE_UNAVAILABLE, message=problem.public, remedy=remedy)


def _remedy(reason: ReadyReason, *, refused: bool) -> str:
    """Return what to do about a database that gives no answer. `refused`: it answers, and refused a statement."""
    if reason is ReadyReason.DATABASE_NOT_CONFIGURED:
        return _CREATE_SECRET
    return _DATABASE_AWAY if reason is ReadyReason.DATABASE_UNAVAILABLE and not refused else _LOOK_AT_DATABASE


def _missing_grant(error: Exception) -> InsufficientPrivilege | None:
    """Return Postgres' refusal for want of a right, if that is an error or its cause; else None."""
    for each in (error, error.__cause__):
        if isinstance(each, DBAPIError) and isinstance(each.orig, InsufficientPrivilege):
            return each.orig
    return None
