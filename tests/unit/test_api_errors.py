"""kube/api_errors.py, on answers that a real API server gave."""

from __future__ import annotations

import json

import pytest
from kubernetes.aio.client import ApiException

from region_operator.kube.api_errors import RIGHTS, describe

NO_RIGHT = (
    'cronjobs.batch is forbidden: User "system:serviceaccount:region-tick:region-operator" cannot list resource'
    ' "cronjobs" in API group "batch" in the namespace "region-tick"'
)
NO_QUOTA = (
    'cronjobs.batch "a" is forbidden: exceeded quota: few, requested: count/cronjobs.batch=1, used:'
    " count/cronjobs.batch=5, limited: count/cronjobs.batch=5"
)


@pytest.mark.parametrize(
    ("status", "reason", "body", "words"),
    [
        (403, "Forbidden", json.dumps({"message": NO_RIGHT}), f"403 Forbidden: {NO_RIGHT}; {RIGHTS}"),
        (403, "Forbidden", json.dumps({"message": NO_QUOTA}), f"403 Forbidden: {NO_QUOTA}"),
        (
            429,
            "Too Many Requests",
            "Too many requests, please try again later.\n",
            "429 Too Many Requests: Too many requests, please try again later.",
        ),
        (503, "Service Unavailable", "", "503 Service Unavailable"),
        (500, "Internal Server Error", "[1]", "500 Internal Server Error"),
        (500, "Internal Server Error", None, "500 Internal Server Error"),
        (500, "Internal Server Error", "{}", "500 Internal Server Error"),
    ],
)
def test_a_refusal_is_one_line_with_the_remedy_where_there_is_one(
    status: int, reason: str, body: str | None, words: str
) -> None:
    assert describe(ApiException(status=status, reason=reason, body=body)) == words
