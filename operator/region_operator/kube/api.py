"""Sends the operator's requests to the API server.

Every request has a timeout. A leader's timeout also never exceeds the time for which this process still leads. A
failure that a retry can mend is retried a limited number of times. An error answer becomes
`kubernetes.aio.client.ApiException` (`status` is the HTTP status). No answer becomes ApiUnavailableError.

Bodies are plain dictionaries. A typed model costs five times the time and memory, and drops the fields that the model
does not know.
"""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import aiohttp
import msgspec
from kubernetes.aio import client
from kubernetes.aio.utils.retry import Backoff, on_retry_after_error

from region_operator.cronjobs.wire import Page, decode_page
from region_operator.kube.date_header import learn_from_answers
from region_operator.kube.last_check import check_before_bytes_leave
from region_operator.kube.yaml_body import as_yaml
from region_operator.runtime.remote_clock import RemoteClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from kubernetes.aio.client.rest import RESTResponse

    from region_operator.cronjobs.manifest_parts import Manifest

T = TypeVar("T")

REQUEST_TIMEOUT_SECONDS = 20
PAGE_SIZE = 500
CONCURRENT_REQUESTS = 32
"""How many requests are under way at once. More gain nothing: the API server is the limit."""

_RETRY = Backoff(steps=5, duration=0.2, factor=3.0, jitter=0.5)  # no cap: at its cap, wait.Backoff ends all retries
_RETRIED = frozenset({429, 500, 502, 503, 504})

APPLY = "application/apply-patch+yaml; charset=utf-8"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class Propagation(StrEnum):
    """What a deletion does to the object's dependents."""

    ORPHAN = "Orphan"
    BACKGROUND = "Background"
    """Delete the dependents too."""


class ApiUnavailableError(Exception):
    """The API server did not answer, after all retries."""


ERRORS = (client.ApiException, ApiUnavailableError)
"""Every error of a request: an error answer, and no answer."""


def no_limit() -> float:
    """Return infinitely many seconds, for a sender that needs no Lease."""
    return math.inf


class Api:
    """Connections to the API server.

    `api_client` must be a client that has sent nothing yet. `time_left` returns for how many seconds a request may be
    under way. `time_left` is called before each request and each retry, and once more right before the bytes leave. If
    no time is left, `time_left` ends the process instead of returning. `clock` is the API server's clock.
    """

    def __init__(self, api_client: client.ApiClient, *, time_left: Callable[[], float] = no_limit) -> None:
        self.clock = RemoteClock()
        api_client.configuration.trace_configs = [check_before_bytes_leave(time_left), learn_from_answers(self.clock)]
        self._client, self._time_left = api_client, time_left

    def now(self) -> datetime:
        """Return the API server's time in UTC; until an answer has shown that time, this process's."""
        return self.clock.now() or datetime.now(UTC)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | list[Manifest] | bytes | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Send one request, with retries, and return the answer's body.

        A retry may reach the API server twice, so only send requests that may be repeated. Raises what ERRORS lists.
        """
        answer: dict[str, Any] = msgspec.json.decode(
            await self.request_bytes(method, path, query=query, body=body, content_type=content_type)
        )
        return answer

    async def request_bytes(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | list[Manifest] | bytes | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Do what `request` does, but return the answer's body undecoded."""

        async def attempt() -> bytes:
            # not aiohttp's own timeout: aiohttp rounds timeouts up to a whole second
            async with asyncio.timeout(min(REQUEST_TIMEOUT_SECONDS, self._time_left())):
                response = await self.send(method, path, query=query, body=body, content_type=content_type)
                content: bytes = await response.read()
            raise_for_status(response, content)
            return content

        try:
            return await on_retry_after_error(_RETRY, _is_retried, attempt)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiUnavailableError(f"{method} {path}: {error or type(error).__name__}") from error

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        body: Manifest | list[Manifest] | bytes | None = None,
        content_type: str = "application/json",
        client_timeout: aiohttp.ClientTimeout | None = None,
    ) -> RESTResponse:
        """Send one request, once. Return the answer with the body still to be read, whatever the status.

        The caller limits the time. Raises aiohttp.ClientError.
        """
        arguments = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Content-Type": content_type, "Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._client.call_api(*arguments, _request_timeout=client_timeout)

    async def apply(self, path: str, body: Manifest, *, manager: str, force: bool = True) -> bytes:
        """Server-side apply `body` to the object at `path`; return the object as the apply left the object, as JSON.

        Raises ApiException 409 on a conflict, unless `force` is true.
        """
        query = {"fieldManager": manager, "force": str(force).lower()}
        return await self.request_bytes("PATCH", path, query=query, body=as_yaml(body), content_type=APPLY)

    async def patch(self, path: str, operations: list[Manifest], *, manager: str) -> bytes:
        """Send a JSON patch (RFC 6902); return the new object as JSON.

        Raises ApiException 422 if a test operation fails.
        """
        return await self.request_bytes(
            "PATCH", path, query={"fieldManager": manager}, body=operations, content_type=JSON_PATCH
        )

    async def get(self, path: str) -> dict[str, Any] | None:
        """Return the object at `path`, None if no object is there."""
        try:
            return await self.request("GET", path)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    async def pages(self, path: str) -> AsyncIterator[Page]:
        """Yield a collection in pages of PAGE_SIZE objects. `path` may have a query."""
        path, query = split_query(path)
        query["limit"] = str(PAGE_SIZE)
        while True:
            page = decode_page(await self.request_bytes("GET", path, query=query))
            yield page
            if not page.metadata.token:
                return
            query["continue"] = page.metadata.token

    async def items(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the objects of a collection. `path` may have a query."""
        async for page in self.pages(path):
            for item in page.items:
                yield msgspec.json.decode(item)

    async def delete(
        self, path: str, *, uid: str, resource_version: str, propagation: Propagation = Propagation.ORPHAN
    ) -> datetime | None:
        """Delete an object if the object still has this uid and resourceVersion. Return None if the object is gone.

        Otherwise return when the deletion was, by the API server's clock (UTC): in whole seconds, if a finalizer keeps
        the object for a moment, as with ORPHAN. Raises ApiException 409 if the object has changed since.
        """
        body: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        body["preconditions"] = {"uid": uid, "resourceVersion": resource_version}
        try:
            answer = await self.request("DELETE", path, body=body)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise
        deleted_at = answer.get("metadata", {}).get("deletionTimestamp")
        return datetime.fromisoformat(deleted_at) if deleted_at else self.now()


def split_query(path: str) -> tuple[str, dict[str, str]]:
    """Return a collection's path without its query, and the query: the selectors of the objects that are meant."""
    path, _, query = path.partition("?")
    return path, dict(parse_qsl(query))


def raise_for_status(response: RESTResponse, content: bytes) -> None:
    """Raise ApiException if the answer is an error."""
    if not 200 <= response.status <= 299:
        raise client.ApiException.from_response(http_resp=response, body=content.decode(errors="replace"), data=None)


async def answer_within(request: Awaitable[T], *, seconds: float) -> T:
    """Wait for a request and all its retries, at most `seconds`.

    A limit is needed because the API server may ask to delay each retry for long (Retry-After). Raises
    ApiUnavailableError.
    """
    try:
        async with asyncio.timeout(seconds):
            return await request
    except TimeoutError as error:
        raise ApiUnavailableError(f"no answer within {seconds:g} s") from error


def _is_retried(error: Exception) -> bool:
    if isinstance(error, client.ApiException):
        return error.status in _RETRIED
    return isinstance(error, (aiohttp.ClientError, TimeoutError))
