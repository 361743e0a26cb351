"""Counts the requests to the API server, retries and watches included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from region_operator.runtime import metrics

if TYPE_CHECKING:
    from types import SimpleNamespace

NO_ANSWER = "<error>"
"""The code of a request without an answer, as in client-go's rest_client_requests_total."""


def count_requests() -> aiohttp.TraceConfig:
    """Return what an aiohttp session needs to count its requests."""
    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(_count_answer)
    trace.on_request_exception.append(_count_failure)
    return trace


async def _count_answer(_: aiohttp.ClientSession, __: SimpleNamespace, request: aiohttp.TraceRequestEndParams) -> None:
    metrics.API_REQUESTS.labels(request.method, str(request.response.status)).inc()


async def _count_failure(
    _: aiohttp.ClientSession, __: SimpleNamespace, request: aiohttp.TraceRequestExceptionParams
) -> None:
    metrics.API_REQUESTS.labels(request.method, NO_ANSWER).inc()
