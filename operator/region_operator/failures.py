"""What keeps a reconcile from its end, by the reason that the status gives and in words for people."""

from __future__ import annotations

from http import HTTPStatus

import sqlalchemy.exc
from kubernetes.aio.client import ApiException
from pydantic import ValidationError

from region_operator.apply import ApplyError
from region_operator.database.store import SchemaError
from region_operator.refusal import in_words
from region_operator.settings import MissingDatabaseUrlError
from region_operator.source import SlowSourceError
from region_operator.status import ReadyReason
from region_tick.database_url import DatabaseUrlError


class ReconcileError(Exception):
    """A reconcile that did not come to its end; `reason` is what the status says."""

    def __init__(self, reason: ReadyReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def explain(error: Exception) -> ReconcileError | None:
    """Give a failure its reason and a message for people; None for one of this program, not of the world."""
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
        case sqlalchemy.exc.ProgrammingError() | sqlalchemy.exc.DataError():
            return ReconcileError(
                ReadyReason.SOURCE_UNREADABLE, f"the region table cannot be read: {_first_line(error.orig)}"
            )
        case sqlalchemy.exc.SQLAlchemyError() | OSError() | TimeoutError():
            cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
            return ReconcileError(
                ReadyReason.DATABASE_UNAVAILABLE, f"the database cannot be reached: {_first_line(cause)}"
            )
        case ApplyError():
            return ReconcileError(_reason(error.first), str(error))
        case ApiException():
            return refused(error)
    return None


def refused(error: ApiException) -> ReconcileError:
    """Give what the API server refused its reason and a message for people."""
    return ReconcileError(_reason(error), f"the API server refused: {in_words(error)}")


def _reason(error: Exception) -> ReadyReason:
    match error:
        case ApiException(status=HTTPStatus.FORBIDDEN):
            return ReadyReason.FORBIDDEN
        case ApiException(status=HTTPStatus.TOO_MANY_REQUESTS):
            return ReadyReason.THROTTLED
    return ReadyReason.APPLY_FAILED


def _first_line(error: object) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
