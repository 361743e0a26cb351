"""Opens urllib3's HTTP connections to a chosen address, and limits the time and the size of every answer.

urllib3's read timeout applies to each recv (urllib3.util.Timeout, "read"): a server that sends a byte now and then
could hold a request for ever. urllib3 also has no limit for the framing around a body's chunks. This module therefore
replaces the sockets: every recv gets the remaining time of the whole request, and every received byte is counted.
"""

from __future__ import annotations

import socket
import ssl
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from urllib3.util import Url

CONNECT_SECONDS = 5.0
"""The limit for connecting to one address, and again for the TLS handshake."""
PORTS = {"http": 80, "https": 443}


class TooMuchError(Exception):
    """A server sends more bytes than the limit."""


class BoundedSocket(socket.socket):
    """A socket that receives nothing after `until` and no more than `room` bytes. Set both before use."""

    until = 0.0
    """The deadline, in seconds of time.monotonic()."""
    room = 0
    """How many more bytes may be received."""

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        """Receive bytes. Raises TimeoutError at `until`, TooMuchError beyond `room`."""
        self.settimeout(_seconds_left(self.until))
        received = super().recv_into(*arguments, **options)
        self.room -= received
        if self.room < 0:
            raise TooMuchError
        return received


class BoundedTlsSocket(BoundedSocket, ssl.SSLSocket):
    """A BoundedSocket with TLS that verifies the server's certificate. `room` counts the decrypted bytes."""


class PlainConnection(HTTPConnection):
    """A connection without TLS."""

    def connect(self) -> None:
        """Connect, and replace the socket by a BoundedSocket."""
        super().connect()
        unbounded = self.sock
        self.sock = BoundedSocket(unbounded.family, unbounded.type, unbounded.proto, fileno=unbounded.detach())


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
        connection = HTTPSConnection(address, port, timeout=timeout, server_hostname=host, ssl_context=tls())
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


def _seconds_left(until: float) -> float:
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the time for the whole request is over")
    return seconds
