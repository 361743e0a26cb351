"""Sends one HTTP request and follows redirects, within limits of time, memory and allowed addresses.

Any HTTP status is an answer. A request without an answer raises an error, and the error's type says whether the
failure may pass by itself. The retry module tries again. No message holds a query, a password or a key. The proxy
settings of the environment are ignored: behind a proxy, every connection goes to the proxy's address, and no upstream
address could be checked.
"""

from __future__ import annotations

import ssl
import time
import zlib
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urljoin

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NewConnectionError,
    ReadTimeoutError,
)
from urllib3.util import Url, parse_url

from region_tick.addresses import Addresses, ForbiddenAddressError
from region_tick.contract import VERSION
from region_tick.gunzip import PIECE, CutShortError, gunzip
from region_tick.http_connection import PORTS, TooMuchError, connect, limit_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse
    from urllib3.connection import HTTPConnection

REDIRECTS = 5
BODY_LIMIT = 5 * 1024 * 1024
"""The largest body in bytes, both compressed and decompressed."""
_FRAMING_BYTES = 1024 * 1024
"""How many more bytes an answer may have for its headers and the framing of its chunks."""
USER_AGENT = f"region-tick/{VERSION}"
Origin: TypeAlias = tuple[str | None, str | None, int]
_GZIP = ("gzip", "x-gzip")
_REDIRECT = frozenset({301, 302, 303, 307, 308})


class FetchError(Exception):
    """A request got no useful answer. The message names the host and the cause."""


class TransientError(FetchError):
    """A failure that may pass by itself: a timeout, a broken connection, a server's own error."""


class RefusedError(FetchError):
    """A failure that a repetition cannot repair. `response` is the answer that refused, if there was an answer."""

    def __init__(self, message: str, response: Response | None = None) -> None:
        super().__init__(message)
        self.response = response


class CredentialsError(RefusedError):
    """A platform's keys are missing or refused. All creators of the platform are affected, and none is to blame."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A key. The repr does not show the value."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request. Only a GET follows redirects."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """Headers for the origin of `url` only. Other origins, after a redirect, do not get the secrets."""
    body: bytes | None = field(default=None, repr=False)
    cost: int = 0
    """What the request takes from the platform's quota, in the platform's units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The answer after all redirects."""

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """The headers, with case-insensitive names."""
    body: bytes = field(repr=False)


class Client:
    """Sends requests one after the other, in one thread, and keeps the last connection for the next request."""

    def __init__(self, addresses: Addresses, *, body_limit: int = BODY_LIMIT) -> None:
        self._addresses, self._body_limit = addresses, body_limit
        self._kept_connection: tuple[Origin, HTTPConnection] | None = None

    def send(self, request: Request, *, until: float) -> Response:
        """Return the answer, by the time `until` at the latest (seconds of time.monotonic()).

        A DNS look-up or a TLS handshake under way at `until` may take a few seconds more. Raises TransientError and
        RefusedError.
        """
        first = target = _parse_target(request.url)
        for _ in range(REDIRECTS + 1):
            response = self._exchange(request, target, own=_origin(target) == _origin(first), until=until)
            location = response.headers.get("location")
            if response.status not in _REDIRECT or location is None:
                return response
            if request.method != "GET":
                raise RefusedError(f"{target.host} redirects a {request.method}, which is not followed", response)
            previous, target = target, _redirect_target(target, location)
            if previous.scheme == "https" and target.scheme != "https":
                raise RefusedError(f"{previous.host} redirects from https to http, which is not followed", response)
        raise RefusedError(f"{first.host} redirects more than {REDIRECTS} times")

    def close(self) -> None:
        """Close the kept connection, if any."""
        kept, self._kept_connection = self._kept_connection, None
        if kept:
            kept[1].close()

    def _exchange(self, request: Request, target: Url, *, own: bool, until: float) -> Response:
        secrets = {name: secret.value for name, secret in request.secrets.items()} if own else {}
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip", **request.headers, **secrets}
        started_at = time.monotonic()
        try:
            connection = self._connection(target, until)
            limit_answer(connection, until=until, size=self._body_limit + _FRAMING_BYTES)
            connection.request(
                request.method,
                target.request_uri,
                body=request.body,
                headers={"Host": target.netloc or "", **headers},
                preload_content=False,
            )
            answer = connection.getresponse()
            body = self._read_body(answer, target)
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise _to_fetch_error(error, target, seconds=time.monotonic() - started_at) from None
            raise
        return Response(host=target.host or "", status=answer.status, headers=answer.headers, body=body)

    def _connection(self, target: Url, until: float) -> HTTPConnection:
        """Return the kept connection if it leads to the target, or a new connection to an allowed address."""
        origin = _origin(target)
        kept = self._kept_connection
        if kept and kept[0] == origin and kept[1].is_connected:
            return kept[1]
        self.close()
        failure: Exception = OSError("the name has no address")
        for address in self._addresses.of((target.host or "").strip("[]")):
            try:
                connection = connect(target, address, until=until)
            except (HTTPError, OSError) as error:
                failure = error
            else:
                self._kept_connection = (origin, connection)
                return connection
        raise failure

    def _read_body(self, answer: BaseHTTPResponse, target: Url) -> bytes:
        body = bytearray()
        try:
            encoding = answer.headers.get("content-encoding", "").strip().lower()
            if encoding not in ("", "identity", *_GZIP):
                raise RefusedError(f"{target.host} sends another Content-Encoding than was asked for")
            pieces = iter(lambda: answer.read(PIECE, decode_content=False), b"")
            for piece in gunzip(pieces) if encoding in _GZIP else pieces:
                body += piece
                if len(body) > self._body_limit:
                    raise RefusedError(f"{target.host} sends more than {self._body_limit} bytes")
        except BaseException:
            answer.close()
            raise
        return bytes(body)


def host_of(url: str) -> str:
    """Return a URL's host and port. Raises RefusedError for a text that cannot be requested."""
    return _parse_target(url).netloc or ""


def _redirect_target(target: Url, location: str) -> Url:
    try:
        return _parse_target(urljoin(target.url, location))
    except ValueError:
        raise RefusedError(f"{target.host} redirects to what is no URL") from None


def _parse_target(url: str) -> Url:
    """Parse an absolute http or https URL, and drop the fragment. Raises RefusedError."""
    try:
        target = parse_url(url)
    except LocationParseError:
        target = Url()
    if target.scheme not in PORTS or not target.host:
        raise RefusedError("that is no URL to poll: write http:// or https://, a host in ASCII (xn--...), and a path")
    if target.auth is not None:
        raise RefusedError(f"the URL of {target.host} holds a user or a password, which would show: take it out")
    return target._replace(fragment=None)


def _origin(target: Url) -> Origin:
    return target.scheme, target.host, target.port or PORTS[target.scheme or ""]


def _to_fetch_error(error: Exception, target: Url, *, seconds: float) -> FetchError:
    """Return an error with a message for people. The original's text is left out: urllib3's errors hold URLs."""
    host = target.host
    match error:
        case FetchError():
            return error
        case ForbiddenAddressError():
            return RefusedError(str(error))
        case ssl.SSLCertVerificationError():
            return RefusedError(f"the certificate of {host} is not valid: {error.verify_message}")
        case TooMuchError():
            return RefusedError(f"{host} sends more bytes than an answer may have")
        case CutShortError():
            return TransientError(f"{host} sends a body that breaks off")
        case zlib.error():
            return RefusedError(f"{host} sends a body that is not the gzip that it is said to be")
        case NewConnectionError():
            return TransientError(f"{host} cannot be connected to{_cause_suffix(error)}")
        case TimeoutError() | ConnectTimeoutError() | ReadTimeoutError():
            return TransientError(f"{host} did not answer in full within {seconds:.1f} s")
        case HTTPError() | HTTPException() | OSError():
            return TransientError(f"{host}: {type(error).__name__}{_cause_suffix(error)}")
        case _:
            return RefusedError(f"the request to {host} cannot be sent: {type(error).__name__}")


def _cause_suffix(error: BaseException) -> str:
    cause = error if isinstance(error, OSError) else error.__cause__
    return f", {cause.strerror}" if isinstance(cause, OSError) and cause.strerror else ""
