"""Judges an error answer of the API server, and describes it to people, in one line, with the remedy if a remedy is
known. Pure.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from kubernetes.aio.client import ApiException

RIGHTS = "kubectl apply -f manifests/30-rbac.yaml gives the operator the rights that it needs"


def describe(error: ApiException, *, rights: str = RIGHTS) -> str:
    """Return the answer's HTTP status, reason and message, and for a missing right `rights`, which says what gives it.

    The answer's body is a Status (apimachinery, pkg/apis/meta/v1/types.go). If a filter of the API server stopped the
    request, the body is plain text.
    """
    message = _message(error.body or "")
    words = f"{error.status} {error.reason}" + (f": {message}" if message else "")
    lacks_right = error.status == HTTPStatus.FORBIDDEN and " cannot " in message  # quotas and policies answer 403 too
    return f"{words}; {rights}" if lacks_right else words


def is_overload(error: Exception) -> bool:
    """Tell whether a failed request is about the API server and not about the object: the next request would probably
    fail too. An error without an answer counts.
    """
    return not isinstance(error, ApiException) or error.status == HTTPStatus.TOO_MANY_REQUESTS or error.status >= 500


def describe_cause(error: Exception) -> str:
    """Describe an error by the API server's error answer behind the error, if there is one."""
    if answer := _find_answer(error):
        return describe(answer)
    return "the API server does not answer" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"


def _find_answer(error: BaseException | None) -> ApiException | None:
    """Return the error answer behind an error. A timeout may have ended the wait for a retry after the answer."""
    while error:
        if isinstance(error, ApiException):
            return error
        error = error.__cause__ or error.__context__
    return None


def _message(body: str) -> str:
    try:
        status = json.loads(body)
    except ValueError:
        return " ".join(body.split())
    return str(status.get("message", "")) if isinstance(status, dict) else ""
