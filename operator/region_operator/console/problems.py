"""Turns the errors of an answer into what a person reads: what is wrong, and what to do. Pure.

Whoever may look at the console sees these texts, so they have no address and no user of the database.
"""

from __future__ import annotations

from kubernetes.aio.client import ApiException
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import DBAPIError

from region_operator.console.cluster import describe_error
from region_operator.console.parameters import BadParameterError
from region_operator.console.region_answers import NotFoundError
from region_operator.console.views import Error, ErrorReason
from region_operator.errors import explain
from region_operator.kube.api import ApiUnavailableError
from region_operator.plan.conditions import ReadyReason
from region_operator.planning import MissingSchedulerError

_LESS = "ask for less: a shorter time (from, until), or fewer regions (code)"
_LOOK_AT_DATABASE = (
    "look at it again in a moment; the console's log says more, and the RegionScheduler's condition Ready"
)
_CREATE_SECRET = "create the Secret with a URL of a role that reads: docs/console.md"  # noqa: S105 - a text
_RIGHTS = "kubectl apply -f manifests/console gives the console the rights that it needs"


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
        case ApiException() | ApiUnavailableError():
            return Error(reason=ErrorReason.CLUSTER_UNAVAILABLE, message=describe_error(error), remedy=_RIGHTS)
    problem = explain(error)
    if problem is None:
        message = "an error of the console itself"
        return Error(reason=ErrorReason.INTERNAL, message=message, remedy="its log has the error: please report it")
    missing = problem.reason is ReadyReason.DATABASE_NOT_CONFIGURED
    remedy = _CREATE_SECRET if missing else _LOOK_AT_DATABASE
    return Error(reason=ErrorReason.DATABASE_UNAVAILABLE, message=problem.public, remedy=remedy)
