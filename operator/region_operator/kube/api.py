"""The API server, as far as the operator uses it. Every request has a timeout, never longer than its sender may write;
what a retry can mend is retried, with a bound.

Bodies are plain dictionaries: a typed model costs five times the time and memory and would drop the fields that it does
not know. It answers with an error: `kubernetes.aio.client.ApiException`, whose `status` is the HTTP status. It does not
answer: ApiUnavailableError.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.utils.retry import Backoff, on_retry_after_error

from region_tick.contract import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from region_operator.cronjobs.manifest import Manifest

T = TypeVar("T")

REQUEST_TIMEOUT_SECONDS = 20
PAGE_SIZE = 500
CONCURRENT_REQUESTS = 32

_RETRY = Backoff(steps=5, duration=0.2, factor=3.0, jitter=0.5)  # a cap would end it: wait.Backoff has no steps then
_RETRIED = frozenset({429, 500, 502, 503, 504})

_ESCAPE = re.compile(r"\\(?:ud[89ab]..\\ud[c-f]..|.)")

APPLY = "application/apply-patch+yaml; charset=utf-8"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class Propagation(StrEnum):
    """What becomes of an object's dependents."""

    ORPHAN = "Orphan"
    BACKGROUND = "Background"
    """They are deleted too."""


class ApiUnavailableError(Exception):
    """The API server did not answer, after all retries."""


ERRORS = (client.ApiException, ApiUnavailableError)


def no_limit() -> float:
    """Return the seconds for which one may write who needs nobody's leave."""
    return math.inf


class Api:
    """Connections to the API server, over a client that has sent nothing yet. `time_left` is asked before each request,
    also before one that is sent again: for how many seconds it may be under way; and once more when its bytes are about
    to leave. It does not return where that is over.
    """

    def __init__(self, api_client: client.ApiClient, *, time_left: Callable[[], float] = no_limit) -> None:
        api_client.configuration.trace_configs = [_before_bytes_leave(time_left)]
        self._client = api_client
        self._time_left = time_left

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | list[Manifest] | bytes | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Send one request and return the answer's body. Meant for requests that may be sent twice."""

        async def attempt() -> dict[str, Any]:
            arguments = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Content-Type": content_type, "Accept": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            # aiohttp rounds a timeout of its own up to a whole second
            async with asyncio.timeout(min(REQUEST_TIMEOUT_SECONDS, self._time_left())):
                response = await self._client.call_api(*arguments)
                content = await response.read()
            if not 200 <= response.status <= 299:
                raise client.ApiException.from_response(http_resp=response, body=content.decode(), data=None)
            answer: dict[str, Any] = json.loads(content)
            return answer

        try:
            return await on_retry_after_error(_RETRY, _is_retried, attempt)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiUnavailableError(f"{method} {path}: {error or type(error).__name__}") from error

    async def apply(self, path: str, body: Manifest, *, manager: str, force: bool = True) -> dict[str, Any]:
        """Server-side apply `body` to the object at `path`. Raises ApiException 409 on a conflict where not forced."""
        query = {"fieldManager": manager, "force": str(force).lower()}
        return await self.request("PATCH", path, query=query, body=as_yaml(body), content_type=APPLY)

    async def patch(self, path: str, operations: list[Manifest], *, manager: str) -> dict[str, Any]:
        """Send a JSON patch (RFC 6902). Raises ApiException 422 where one of its tests fails."""
        return await self.request(
            "PATCH", path, query={"fieldManager": manager}, body=operations, content_type=JSON_PATCH
        )

    async def get(self, path: str) -> dict[str, Any] | None:
        """Return the object at `path`, None where there is none."""
        try:
            return await self.request("GET", path)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    async def items(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the objects of a collection, read in pages so that no answer is large; `path` may have a query."""
        path, _, selectors = path.partition("?")
        query = {"limit": str(PAGE_SIZE)} | dict(parse_qsl(selectors))
        while True:
            page = await self.request("GET", path, query=query)
            for item in page["items"]:
                yield item
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def delete(
        self, path: str, *, uid: str, resource_version: str, propagation: Propagation = Propagation.ORPHAN
    ) -> bool:
        """Delete an object as it was seen. False where it is gone already.

        Raises ApiException 409 where it is no longer the same.
        """
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
        }
        try:
            await self.request("DELETE", path, body=body)
        except client.ApiException as error:
            if error.status == 404:
                return False
            raise
        return True


async def answer_within(request: Awaitable[T], *, seconds: float) -> T:
    """Wait for a request with all its retries, of which the API server may want each much later. Raises
    ApiUnavailableError.
    """
    try:
        async with asyncio.timeout(seconds):
            return await request
    except TimeoutError as error:
        raise ApiUnavailableError(f"no answer within {seconds:g} s") from error


@asynccontextmanager
async def connect(identity: str, *, time_left: Callable[[], float] = no_limit) -> AsyncIterator[Api]:
    """Connect as the pod's service account, or by KUBECONFIG outside a cluster. An audit log names `identity`."""
    configuration = client.Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(configuration)
    else:
        await config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
    configuration.connection_pool_maxsize = CONCURRENT_REQUESTS
    configuration.retries = None  # ours above: the client's own know neither PATCH, 429 nor, for False, an end
    async with client.ApiClient(configuration) as api_client:
        api_client.user_agent = f"region-operator/{VERSION} ({identity})"
        yield Api(api_client, time_left=time_left)


def _before_bytes_leave(ask: Callable[[], float]) -> aiohttp.TraceConfig:
    """Have `ask` called where nothing is awaited any more before the socket is written to: a request may have waited
    long for its connection.

    Where that is, aiohttp's StreamWriter says (http_writer.py): both signals come before what their names tell of.
    Headers wait in a buffer for the body, which up to Python 3.11 is written by a task of its own.
    """

    async def asked(*_: object) -> None:
        ask()

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(asked)
    trace.on_request_chunk_sent.append(asked)
    return trace


def as_yaml(body: Manifest) -> bytes:
    """Write JSON that is YAML too: JSON escapes what is beyond U+FFFF, such as an emoji, by two surrogates, which the
    API server's YAML reader refuses.
    """
    return _ESCAPE.sub(lambda found: _unescaped(found[0]), json.dumps(body)).encode()


def _unescaped(escape: str) -> str:
    return escape if len(escape) == 2 else str(json.loads(f'"{escape}"'))


def _is_retried(error: Exception) -> bool:
    if isinstance(error, client.ApiException):
        return error.status in _RETRIED
    return isinstance(error, (aiohttp.ClientError, TimeoutError))
