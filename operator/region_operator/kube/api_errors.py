"""Describes an error answer of the API server to people, in one line, with the remedy if a remedy is known. Pure."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiException

RIGHTS = "kubectl apply -f manifests/30-rbac.yaml gives the operator the rights that it needs"


def describe(error: ApiException) -> str:
    """Return the answer's HTTP status, reason and message, and the remedy for a missing right.

    The answer's body is a Status (apimachinery, pkg/apis/meta/v1/types.go). If a filter of the API server stopped the
    request, the body is plain text.
    """
    message = _message(error.body or "")
    words = f"{error.status} {error.reason}" + (f": {message}" if message else "")
    lacks_right = error.status == HTTPStatus.FORBIDDEN and " cannot " in message  # quotas and policies answer 403 too
    return f"{words}; {RIGHTS}" if lacks_right else words


def _message(body: str) -> str:
    try:
        status = json.loads(body)
    except ValueError:
        return " ".join(body.split())
    return str(status.get("message", "")) if isinstance(status, dict) else ""
