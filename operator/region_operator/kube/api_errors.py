"""What the API server refuses with, in one line for people, with what to do where that can be known. Pure."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiException

RIGHTS = "kubectl apply -f manifests/30-rbac.yaml gives the operator the rights that it needs"


def describe(error: ApiException) -> str:
    """Return status, reason and the message of the answer, which is a Status (apimachinery, pkg/apis/meta/v1/types.go)
    or, where the request got no further than to a filter, plain text.
    """
    message = _message(error.body or "")
    words = f"{error.status} {error.reason}" + (f": {message}" if message else "")
    lacks_right = error.status == HTTPStatus.FORBIDDEN and " cannot " in message  # a quota or a policy forbids too
    return f"{words}; {RIGHTS}" if lacks_right else words


def _message(body: str) -> str:
    try:
        status = json.loads(body)
    except ValueError:
        return " ".join(body.split())
    return str(status.get("message", "")) if isinstance(status, dict) else ""
