"""Sends one HTTP request and follows redirects, within limits of time, memory and allowed addresses.

Any HTTP status is an answer. A request without an answer raises an error, and the error's type says whether the
failure may pass by itself. The retry module tries again. No message holds a query, a password or a key. The proxy
settings of the environment are ignored: behind a proxy, every connection goes to the proxy's address, and no upstream
address could be checked.
"""

from __future__ import annotations

import socket
import ssl
import time
import zlib
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from typing import TYPE_CHECKING

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from region_tick.addresses import Addresses, ForbiddenAddressError
from region_tick.contract import VERSION
from region_tick.gunzip import CutShortError
from region_tick.http_connection import EncodingError, TooMuchError, connect, limit_answer, may_serve_again, read_body
from region_tick.upstream_url import Origin, UrlError, origin_of, parse, parse_redirect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3.connection import HTTPConnection
    from urllib3.util import Url

    from region_tick.daily_budget import DailyBudget

REDIRECTS = 5
BODY_LIMIT = 5 * 1024 * 1024
"""The largest body in bytes, both compressed and decompressed."""
LONGEST_PAUSE_SECONDS = 86_400.0
"""The longest pause of a creator whose upstream refuses."""
_FRAMING_BYTES = 1024 * 1024
"""How many more bytes an answer may have for its headers and the framing of its chunks."""
USER_AGENT = f"region-tick/{VERSION}"
ACCEPT = "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, */*;q=0.8"
"""Some servers and firewalls turn away requests without Accept."""
_MOVED = frozenset({301, 308})
_REDIRECT = frozenset({302, 303, 307}) | _MOVED


class FetchError(Exception):
    """A request got no useful answer. The message names the host and the cause."""


class TransientError(FetchError):
    """A failure that may pass by itself: a timeout, a broken connection, a server's own error."""


class NoSuchHostError(TransientError):
    """The resolver says that the host's name does not exist. A name may be away for an hour, or for good."""


class RefusedError(FetchError):
    """A failure that a repetition cannot repair. `response` is the answer that refused, if there was an answer."""

    longest_pause = LONGEST_PAUSE_SECONDS
    """The limit of the creator's growing pause, in seconds. A refusal that is likely an outage has a shorter one."""

    def __init__(self, message: str, response: Response | None = None) -> None:
        super().__init__(message)
        self.response = response


class GoneError(RefusedError):
    """The upstream says that the URL is gone for good (410)."""


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
    budget: DailyBudget | None = None  # what `cost` is taken from before the request is sent
    judge: Callable[[Response], FetchError | None] | None = field(default=None, repr=False, compare=False)
    """Returns the error that an answer of this platform means; None leaves it to region_tick.retry.judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The answer after all redirects."""

    url: str = field(default="", repr=False)
    """The URL that answered, against which the document's relative links count."""
    moved_to: str | None = field(default=None, repr=False)
    """Where the requested URL has moved for good: the end of the redirects 301 and 308 at the beginning."""
    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """The headers, with case-insensitive names."""
    body: bytes = field(repr=False)


class Client:
    """Sends requests one after the other, in one thread, and keeps the last connection for the next request."""

    def __init__(self, addresses: Addresses, *, body_limit: int = BODY_LIMIT, user_agent: str = "") -> None:
        self._addresses, self._body_limit, self._user_agent = addresses, body_limit, user_agent or USER_AGENT
        self._kept_connection: tuple[Origin, HTTPConnection] | None = None

    def send(self, request: Request, *, until: float) -> Response:
        """Return the answer, by the time `until` at the latest (seconds of time.monotonic()).

        A DNS look-up or a TLS handshake under way at `until` may take a few seconds more. Raises TransientError and
        RefusedError.
        """
        first = target = _parse_target(request.url)
        moved_to, permanent = None, True
        for _ in range(REDIRECTS + 1):
            response = self._exchange(request, target, own=origin_of(target) == origin_of(first), until=until)
            location = response.headers.get("location")
            if response.status not in _REDIRECT or location is None:
                return replace(response, moved_to=moved_to)
            if request.method != "GET":
                raise RefusedError(f"{target.host} redirects a {request.method}, which is not followed", response)
            previous, target = target, _redirect_target(target, location)
            if previous.scheme == "https" and target.scheme != "https":
                raise RefusedError(f"{previous.host} redirects from https to http, which is not followed", response)
            permanent = permanent and response.status in _MOVED
            moved_to = target.url if permanent else moved_to
        raise RefusedError(f"{first.host} redirects more than {REDIRECTS} times")

    def close(self) -> None:
        """Close the kept connection, if any."""
        kept, self._kept_connection = self._kept_connection, None
        if kept:
            kept[1].close()

    def _exchange(self, request: Request, target: Url, *, own: bool, until: float) -> Response:
        secrets = {name: secret.value for name, secret in request.secrets.items()} if own else {}
        ours = {"User-Agent": self._user_agent, "Accept": ACCEPT, "Accept-Encoding": "gzip"}
        headers = {**ours, **request.headers, **secrets}
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
            body = read_body(answer, limit=self._body_limit)
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise _to_fetch_error(error, target, seconds=time.monotonic() - started_at) from None
            raise
        if not may_serve_again(connection):
            self.close()
        return Response(url=target.url, host=target.host or "", status=answer.status, headers=answer.headers, body=body)

    def _connection(self, target: Url, until: float) -> HTTPConnection:
        """Return the kept connection if it leads to the target, or a new connection to an allowed address."""
        origin = origin_of(target)
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


def host_of(url: str) -> str:
    """Return a URL's host, and the port if it is not the scheme's own. Raises RefusedError for what is no URL."""
    return _parse_target(url).netloc or ""


def _parse_target(url: str) -> Url:
    try:
        return parse(url)
    except UrlError as error:
        raise RefusedError(str(error)) from None


def _redirect_target(target: Url, location: str) -> Url:
    try:
        return parse_redirect(target, location)
    except UrlError as error:
        raise RefusedError(f"{target.host} redirects to where no request goes: {error}") from None


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
        case EncodingError():
            return RefusedError(f"{host} sends another Content-Encoding than was asked for")
        case CutShortError():
            return TransientError(f"{host} sends a body that breaks off")
        case zlib.error():
            return RefusedError(f"{host} sends a body that is not the gzip that it is said to be")
        case socket.gaierror() if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return NoSuchHostError(f"{host} does not exist, as DNS says")
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
