"""Asks once more, right before a request's bytes leave, whether the request may still be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable


def check_before_bytes_leave(check: Callable[[], float]) -> aiohttp.TraceConfig:
    """Return a trace that calls `check` right before a request's bytes go to the socket, with no await in between.

    A check before the request is not enough, because a request may wait long for a connection. aiohttp's StreamWriter
    (http_writer.py) sends both signals before the events that the signals' names announce. Headers wait in a buffer for
    the body. Up to Python 3.11 a separate task writes the body.
    """

    async def call_check(*_: object) -> None:
        check()

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(call_check)
    trace.on_request_chunk_sent.append(call_check)
    return trace
