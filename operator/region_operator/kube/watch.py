"""Watches a collection: yields the events that the API server sends, until the server ends the watch.

A watch may begin with all objects that exist, a streaming list, and say where the list ends (KEP-3157: WatchList, on by
default since Kubernetes 1.34). A server without streaming lists refuses the request. Silence is normal, but not for
long: the API server sends a bookmark about every minute (apiserver, storage/cacher, bookmarkFrequency). So a watch that
is silent for longer has lost its server, and ends with an error.

What the events mean, and what follows after an end, is left to the caller.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from kubernetes.aio import client

from region_operator.cronjobs.wire import WatchEvent, decode_event, decode_status
from region_operator.kube.api import REQUEST_TIMEOUT_SECONDS, ApiUnavailableError, raise_for_status, split_query

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from region_operator.kube.api import Api

SERVER_TIMEOUT_SECONDS = 300
SILENCE_SECONDS = 90.0
CHUNK_BYTES = 65_536
"""How much of an answer is read in one piece. The event loop turns between two pieces."""

_FOLLOWING = {
    "watch": "true",
    "allowWatchBookmarks": "true",
    "timeoutSeconds": str(SERVER_TIMEOUT_SECONDS),
}
_STREAMING_LIST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}


async def watch(
    api: Api, path: str, *, since: str | None, on_open: Callable[[], None] = lambda: None
) -> AsyncGenerator[WatchEvent]:
    """Yield the events after the resourceVersion `since`. None: first a streaming list of all objects.

    `path` may have selectors in a query. An object that no longer fits the selectors is told of as deleted.

    `on_open` is called when the server has accepted the watch. Raises ApiException if the server refuses: 410 if the
    server no longer knows the events since then. Raises ApiUnavailableError if the server does not answer or falls
    silent.
    """
    path, selectors = split_query(path)
    query = selectors | _FOLLOWING | (_STREAMING_LIST if since is None else {"resourceVersion": since})
    async with aclosing(_lines(api, path, query, on_open)) as lines:
        async for line in lines:
            event = decode_event(line)
            if event.type == "ERROR":
                status = decode_status(event.object)
                raise client.ApiException(status=status.code, reason=status.reason)
            yield event


async def _lines(api: Api, path: str, query: Mapping[str, str], on_open: Callable[[], None]) -> AsyncGenerator[bytes]:
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
            response = await api.send("GET", path, query=query, client_timeout=aiohttp.ClientTimeout(total=None))
        try:
            if response.status != HTTPStatus.OK:
                async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                    raise_for_status(response, await response.read())
            on_open()
            rest = b""
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    chunk = await response.response.content.read(CHUNK_BYTES)
                if not chunk:
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
                await asyncio.sleep(0)
        finally:
            _hang_up(response.response)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ApiUnavailableError(f"GET {path}: {error or type(error).__name__}") from error


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Close the connection at once. An orderly end of TLS would wait for a server that goes on sending."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
    response.close()
