"""Translates the errors of a reconcile into a reason for the status and a message for people.

How the error gets into the status and the log is left to `reconcile` and `loop`.
"""

from __future__ import annotations

from http import HTTPStatus

import sqlalchemy.exc
from kubernetes.aio.client import ApiException
from psycopg import errors
from pydantic import ValidationError

from region_operator.database.engine import first_line, is_away
from region_operator.database.store import SchemaError
from region_operator.kube.api_errors import describe
from region_operator.kube.apply import ApplyError
from region_operator.plan.conditions import ReadyReason
from region_operator.regions.source import SlowSourceError, UnreadableSourceError
from region_operator.settings import MissingDatabaseUrlError
from region_tick.contract import SCHEMA
from region_tick.database_url import DatabaseUrlError

_SEE_LOG = "the log and the RegionScheduler's status say why"


class ReconcileError(Exception):
    """A reconcile was not completed. `reason` is the reason of the status.

    `public` is the message for /readyz, which anybody may ask: without the database's address and its users.
    """

    def __init__(self, reason: ReadyReason, message: str, *, public: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.public = public or message


def explain(error: Exception) -> ReconcileError | None:
    """Return an error's reason and message, or None if the error is a bug of the operator."""
    match error:
        case ReconcileError():
            return error
        case ValidationError():
            return ReconcileError(ReadyReason.INVALID_SPEC, f"spec cannot be followed: {error}")
        case MissingDatabaseUrlError():
            return ReconcileError(ReadyReason.DATABASE_NOT_CONFIGURED, str(error))
        case DatabaseUrlError():
            return ReconcileError(ReadyReason.DATABASE_NOT_CONFIGURED, f"DATABASE_URL cannot be used: {error}")
        case SchemaError():
            return ReconcileError(ReadyReason.SCHEMA_MISMATCH, str(error))
        case SlowSourceError():
            return ReconcileError(ReadyReason.SOURCE_SLOW, str(error))
        case UnreadableSourceError():
            return ReconcileError(ReadyReason.SOURCE_UNREADABLE, str(error))
        case sqlalchemy.exc.ProgrammingError() | sqlalchemy.exc.DataError():  # our schema, not the user's table
            return ReconcileError(
                ReadyReason.SCHEMA_MISMATCH,
                f"the operator's own schema {SCHEMA} cannot be used: {first_line(error.orig)}: {_remedy(error.orig)}",
            )
        case sqlalchemy.exc.SQLAlchemyError() | OSError() | TimeoutError():
            refused = isinstance(error, sqlalchemy.exc.DBAPIError) and not is_away(error)
            cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
            problem = "the database refused a statement" if refused else "the database cannot be reached"
            return ReconcileError(
                ReadyReason.DATABASE_UNAVAILABLE, f"{problem}: {first_line(cause)}", public=f"{problem}: {_SEE_LOG}"
            )
        case ApplyError():
            return ReconcileError(_reason(error.first), str(error))
        case ApiException():
            return explain_refusal(error)
    return None


def explain_refusal(error: ApiException) -> ReconcileError:
    """Return the reason and message for a request that the API server refused."""
    return ReconcileError(_reason(error), f"the API server refused: {describe(error)}")


def explain_timeout(seconds: float) -> ReconcileError:
    """Return the reason and message for a reconcile that took longer than its limit of `seconds`."""
    return ReconcileError(
        ReadyReason.TIMED_OUT, f"not done within {seconds:g} s, and begun anew: its log says how far it came"
    )


def explain_internal(error: Exception) -> ReconcileError:
    """Return the reason and message for a bug of the operator."""
    return ReconcileError(ReadyReason.INTERNAL, f"an error of the operator itself, see its log: {error!r}")


def _remedy(cause: BaseException | None) -> str:
    if isinstance(cause, errors.InsufficientPrivilege):
        return "let the operator's role own it, or GRANT it the use of the schema and all rights on its tables"
    return "run `region-operator migrate`, which makes it anew where it is gone; a lone table comes back from a backup"


def _reason(error: Exception) -> ReadyReason:
    match error:
        case ApiException(status=HTTPStatus.FORBIDDEN):
            return ReadyReason.FORBIDDEN
        case ApiException(status=HTTPStatus.TOO_MANY_REQUESTS):
            return ReadyReason.THROTTLED
    return ReadyReason.APPLY_FAILED
