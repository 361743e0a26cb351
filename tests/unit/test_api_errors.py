"""kube/api_errors.py, on answers that a real API server gave."""

from __future__ import annotations

import asyncio
import json

import pytest
from kubernetes.aio.client import ApiException
from kubernetes.aio.utils.retry import Backoff, on_retry_after_error

from region_operator.kube.api_errors import RIGHTS, describe, describe_cause, is_overload

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


async def test_who_waited_for_a_retry_in_vain_was_refused_and_not_left_without_an_answer() -> None:
    async def refuse() -> None:
        raise ApiException(status=429, reason="Too Many Requests", body="later")

    with pytest.raises(TimeoutError) as refused:
        async with asyncio.timeout(0.01):
            await on_retry_after_error(Backoff(steps=2, duration=60, factor=1), lambda _: True, refuse)
    with pytest.raises(TimeoutError) as unanswered:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    assert describe_cause(refused.value) == "429 Too Many Requests: later"
    assert describe_cause(unanswered.value) == "the API server does not answer"


@pytest.mark.parametrize(
    ("error", "overloaded"),
    [
        (ApiException(status=429, reason="Too Many Requests"), True),
        (ApiException(status=503, reason="Service Unavailable"), True),
        (TimeoutError(), True),
        (ApiException(status=403, reason="Forbidden"), False),
        (ApiException(status=422, reason="Invalid"), False),
    ],
)
def test_an_error_about_the_server_is_told_from_one_about_the_object(error: Exception, overloaded: bool) -> None:
    assert is_overload(error) is overloaded
