"""One HTTP request, its redirects included, that cannot take more time, more memory or other ways than it was given.

A status is an answer, whatever it is; what is no answer is an error, and whether it may pass is in the error's type.
Trying again is another module's. No message holds a query, a password or a key. Proxies of the environment are not
used: behind one, the address that is connected to would be the proxy's, and no other could be checked.
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
from region_tick.http_connection import PORTS, TooMuchError, allow, connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse
    from urllib3.connection import HTTPConnection

REDIRECTS = 5
BODY_LIMIT = 5 * 1024 * 1024
"""In bytes, as it comes and after decompression."""
_AROUND = 1024 * 1024
"""How many bytes more an answer may have: its headers and the frames of its chunks."""
USER_AGENT = f"region-tick/{VERSION}"
Origin: TypeAlias = tuple[str | None, str | None, int]
_GZIP = ("gzip", "x-gzip")
_REDIRECT = frozenset({301, 302, 303, 307, 308})


class FetchError(Exception):
    """A request without a useful answer; the message names the host and the cause."""


class TransientError(FetchError):
    """It may pass by itself: a timeout, a broken connection, a server's own error."""


class RefusedError(FetchError):
    """Asking again would end the same. `response` is the answer that said so, where there was one."""

    def __init__(self, message: str, response: Response | None = None) -> None:
        super().__init__(message)
        self.response = response


class CredentialsError(RefusedError):
    """A platform's keys are missing or refused: no fault of the creator for whom it was asked, and the same for all."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A key. It shows itself nowhere."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask. Only a GET follows redirects."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """Headers that are sent to the origin of `url` and to no other."""
    body: bytes | None = field(default=None, repr=False)
    cost: int = 0
    """What it takes from the platform's quota, in the platform's units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What was answered in the end."""

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Their names are found whatever their case."""
    body: bytes = field(repr=False)


class Client:
    """Sends one request after the other, in one thread; keeps the last connection for the next request."""

    def __init__(self, addresses: Addresses, *, body_limit: int = BODY_LIMIT) -> None:
        self._addresses, self._body_limit = addresses, body_limit
        self._kept: tuple[Origin, HTTPConnection] | None = None

    def send(self, request: Request, *, until: float) -> Response:
        """Return the answer, at the latest `until` (seconds of time.monotonic()) and a few for DNS or a TLS handshake.

        Raises TransientError and RefusedError.
        """
        first = target = _parse(request.url)
        for _ in range(REDIRECTS + 1):
            response = self._exchange(request, target, own=_origin(target) == _origin(first), until=until)
            location = response.headers.get("location")
            if response.status not in _REDIRECT or location is None:
                return response
            if request.method != "GET":
                raise RefusedError(f"{target.host} redirects a {request.method}, which is not followed", response)
            before, target = target, _follow(target, location)
            if before.scheme == "https" and target.scheme != "https":
                raise RefusedError(f"{before.host} redirects from https to http, which is not followed", response)
        raise RefusedError(f"{first.host} redirects more than {REDIRECTS} times")

    def close(self) -> None:
        """Close the connection that was kept."""
        kept, self._kept = self._kept, None
        if kept:
            kept[1].close()

    def _exchange(self, request: Request, target: Url, *, own: bool, until: float) -> Response:
        secrets = {name: secret.value for name, secret in request.secrets.items()} if own else {}
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip", **request.headers, **secrets}
        asked = time.monotonic()
        try:
            connection = self._connection(target, until)
            allow(connection, until=until, size=self._body_limit + _AROUND)
            connection.request(
                request.method,
                target.request_uri,
                body=request.body,
                headers={"Host": target.netloc or "", **headers},
                preload_content=False,
            )
            answer = connection.getresponse()
            body = self._body(answer, target)
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise _told(error, target, seconds=time.monotonic() - asked) from None
            raise
        return Response(host=target.host or "", status=answer.status, headers=answer.headers, body=body)

    def _connection(self, target: Url, until: float) -> HTTPConnection:
        origin = _origin(target)
        if self._kept and self._kept[0] == origin and self._kept[1].is_connected:
            return self._kept[1]
        self.close()
        failure: Exception = OSError("the name has no address")
        for address in self._addresses.of((target.host or "").strip("[]")):
            try:
                connection = connect(target, address, until=until)
            except (HTTPError, OSError) as error:
                failure = error
            else:
                self._kept = (origin, connection)
                return connection
        raise failure

    def _body(self, answer: BaseHTTPResponse, target: Url) -> bytes:
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
    """Return a URL's host and port. Raises RefusedError for what is no URL of ours."""
    return _parse(url).netloc or ""


def _follow(target: Url, location: str) -> Url:
    try:
        return _parse(urljoin(target.url, location))
    except ValueError:
        raise RefusedError(f"{target.host} redirects to what is no URL") from None


def _parse(url: str) -> Url:
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


def _told(error: Exception, target: Url, *, seconds: float) -> FetchError:
    """Return the error that says it to people, without what the original may hold (urllib3's hold URLs)."""
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
            return TransientError(f"{host} cannot be connected to{_errno(error)}")
        case TimeoutError() | ConnectTimeoutError() | ReadTimeoutError():
            return TransientError(f"{host} did not answer in full within {seconds:.1f} s")
        case HTTPError() | HTTPException() | OSError():
            return TransientError(f"{host}: {type(error).__name__}{_errno(error)}")
        case _:
            return RefusedError(f"the request to {host} cannot be sent: {type(error).__name__}")


def _errno(error: BaseException) -> str:
    cause = error if isinstance(error, OSError) else error.__cause__
    return f", {cause.strerror}" if isinstance(cause, OSError) and cause.strerror else ""
