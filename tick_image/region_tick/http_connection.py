"""Opens urllib3's HTTP connections to a chosen address, limits the time and the size of every answer, and knows when
an answer ended.

urllib3's read timeout applies to each recv (urllib3.util.Timeout, "read"): a server that sends a byte now and then
could hold a request for ever. urllib3 also has no limit for the framing around a body's chunks. This module therefore
replaces the sockets: every recv gets the remaining time of the whole request, and every received byte is counted.

http.client takes every interim answer but 100 for the final one, and throws away what it has received beyond an
answer's end. The answer to one request would then be read as the answer to the next one. This module therefore
replaces the answers too.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from functools import cache
from http.client import HTTPException, HTTPResponse
from io import BufferedReader
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection

from region_tick.gunzip import PIECE, gunzip
from region_tick.upstream_url import PORTS

if TYPE_CHECKING:
    from io import RawIOBase

    from urllib3 import BaseHTTPResponse
    from urllib3.util import Url

CONNECT_SECONDS = 5.0
"""The limit for connecting to one address, and again for the TLS handshake."""
_INTERIM_LIMIT = 20
"""How many interim answers may come before the final one."""
_BODYLESS = (204, 304)
_GZIP = ("gzip", "x-gzip")


class TooMuchError(Exception):
    """A server sends more bytes than the limit."""


class EncodingError(Exception):
    """A body is encoded otherwise than was asked for."""


class BoundedSocket(socket.socket):
    """A socket that receives nothing after `until` and no more than `room` bytes. Set both before use."""

    until = 0.0
    """The deadline, in seconds of time.monotonic()."""
    room = 0
    """How many more bytes may be received."""
    at_end = False
    """True if the last answer was read to its end. Then nothing is received until the next request."""
    left_over = False
    """True if more bytes came than the last answer has."""

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        """Receive bytes. Raises TimeoutError at `until`, TooMuchError beyond `room`, BlockingIOError at an end."""
        if self.at_end:
            raise BlockingIOError(errno.EAGAIN, "the answer is at its end")
        self.settimeout(_seconds_left(self.until))
        received = super().recv_into(*arguments, **options)
        self.room -= received
        if self.room < 0:
            raise TooMuchError
        return received


class BoundedTlsSocket(BoundedSocket, ssl.SSLSocket):
    """A BoundedSocket with TLS that verifies the server's certificate. `room` counts the decrypted bytes."""


class _Reader(BufferedReader):
    """Buffers an answer's bytes. http.client closes the reader at the answer's end."""

    def __init__(self, raw: RawIOBase, connection: BoundedSocket) -> None:
        super().__init__(raw)
        self._connection = connection

    def close(self) -> None:
        """Close, and tell the socket whether bytes are left over in the buffer."""
        if not self.closed:
            self._connection.at_end = True  # peek must not wait for more
            try:
                self._connection.left_over = bool(self.peek(1))
            except OSError:
                self._connection.left_over = True
        super().close()


class FinalAnswer(HTTPResponse):
    """Reads past interim answers (1xx) to the final one (RFC 9110, 15.2)."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        if isinstance(sock, BoundedSocket):
            self.fp = _Reader(self.fp.detach(), sock)

    def begin(self) -> None:
        """Read the status and the headers. Raises HTTPException and what the socket raises."""
        super().begin()
        interim = 0
        while 100 <= self.status < 200:
            interim += 1
            if self.status == 101 or interim > _INTERIM_LIMIT:
                raise HTTPException(f"answers {self.status}, which leads to no final answer")
            self.headers = self.msg = None  # type: ignore[assignment]  # begin() reads headers where there are none
            super().begin()
        if self.status in _BODYLESS and (self.chunked or self.headers.get("content-length", "0") != "0"):
            # Some servers send a body all the same, and http.client would wait for announced chunks.
            self.chunked, self.will_close = False, True


class PlainConnection(HTTPConnection):
    """A connection without TLS."""

    response_class = FinalAnswer

    def connect(self) -> None:
        """Connect, and replace the socket by a BoundedSocket."""
        super().connect()
        unbounded = self.sock
        self.sock = BoundedSocket(unbounded.family, unbounded.type, unbounded.proto, fileno=unbounded.detach())


class TlsConnection(HTTPSConnection):
    """A connection with TLS."""

    response_class = FinalAnswer


@cache
def tls() -> ssl.SSLContext:
    """Return the process's TLS context, which trusts the system's certificate authorities or SSL_CERT_FILE."""
    context = ssl.create_default_context()
    context.sslsocket_class = BoundedTlsSocket
    return context


def connect(target: Url, address: str, *, until: float) -> HTTPConnection:
    """Connect to `address`, and expect the certificate of the target's host.

    `until` is a time in seconds of time.monotonic(). Raises TimeoutError at `until`, and the errors of urllib3 and ssl.
    """
    assert target.scheme is not None  # noqa: S101 - for the type checker: fetch refuses a URL without a scheme
    port = target.port or PORTS[target.scheme]
    timeout = min(CONNECT_SECONDS, _seconds_left(until))
    connection: HTTPConnection
    if target.scheme == "https":
        host = (target.host or "").strip("[]")
        connection = TlsConnection(address, port, timeout=timeout, server_hostname=host, ssl_context=tls())
    else:
        connection = PlainConnection(address, port, timeout=timeout)
    try:
        connection.connect()
    except BaseException:
        connection.close()
        raise
    return connection


def limit_answer(connection: HTTPConnection, *, until: float, size: int) -> None:
    """Limit a connection's next answer to `size` bytes (with headers) and to the time `until` (time.monotonic())."""
    if isinstance(connection.sock, BoundedSocket):
        connection.sock.until, connection.sock.room = until, size
        connection.sock.at_end = connection.sock.left_over = False


def read_body(answer: BaseHTTPResponse, *, limit: int) -> bytes:
    """Read and unpack an answer's body.

    Raises TooMuchError for more than `limit` bytes, EncodingError, and the errors of gunzip and urllib3.
    """
    body = bytearray()
    try:
        encoding = answer.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", *_GZIP):
            raise EncodingError
        pieces = iter(lambda: answer.read(PIECE, decode_content=False), b"")
        for piece in gunzip(pieces) if encoding in _GZIP else pieces:
            body += piece
            if len(body) > limit:
                raise TooMuchError
    except BaseException:
        answer.close()
        raise
    return bytes(body)


def may_serve_again(connection: HTTPConnection) -> bool:
    """Tell whether the last answer was read to its end, and nothing came behind it."""
    answered = connection.sock
    if not isinstance(answered, BoundedSocket) or not answered.at_end or answered.left_over:
        return False
    return not (isinstance(answered, BoundedTlsSocket) and answered.pending())


def _seconds_left(until: float) -> float:
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the time for the whole request is over")
    return seconds
