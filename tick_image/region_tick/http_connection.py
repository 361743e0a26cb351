"""HTTP connections of urllib3 to an address that was chosen before, whose answers end in time and in size.

urllib3's read timeout is one per recv (urllib3.util.Timeout, "read"): a server that sends a byte now and then holds a
request for ever; and no limit holds for the frames around a body's chunks. So the sockets are our own: every recv gets
what is left of the time that the whole request has, and is counted.
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
"""For one address: to connect, and once more for the TLS handshake."""
PORTS = {"http": 80, "https": 443}


class TooMuchError(Exception):
    """A server sends more than was allowed."""


class BoundedSocket(socket.socket):
    """A socket from which nothing is received after `until`, in seconds of time.monotonic(), nor more than `room`
    bytes. Both are to be set.
    """

    until = 0.0
    room = 0

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        """Receive, or raise TimeoutError at `until`, TooMuchError beyond `room`."""
        self.settimeout(_left(self.until))
        received = super().recv_into(*arguments, **options)
        self.room -= received
        if self.room < 0:
            raise TooMuchError
        return received


class BoundedTlsSocket(BoundedSocket, ssl.SSLSocket):
    """The same for TLS, with the server's certificate verified; `room` is for what is inside."""


class Plain(HTTPConnection):
    """A connection without TLS."""

    def connect(self) -> None:
        """Connect."""
        super().connect()
        bare = self.sock
        self.sock = BoundedSocket(bare.family, bare.type, bare.proto, fileno=bare.detach())


@cache
def tls() -> ssl.SSLContext:
    """Return the one context of the process: the system's authorities, or those of SSL_CERT_FILE."""
    context = ssl.create_default_context()
    context.sslsocket_class = BoundedTlsSocket
    return context


def connect(target: Url, address: str, *, until: float) -> HTTPConnection:
    """Connect to `address` as the target's host: the certificate must be the host's.

    Raises what urllib3 and ssl raise, TimeoutError at `until` among it.
    """
    assert target.scheme is not None  # noqa: S101 - for the type checker: fetch refuses others
    port = target.port or PORTS[target.scheme]
    timeout = min(CONNECT_SECONDS, _left(until))
    connection: HTTPConnection
    if target.scheme == "https":
        host = (target.host or "").strip("[]")
        connection = HTTPSConnection(address, port, timeout=timeout, server_hostname=host, ssl_context=tls())
    else:
        connection = Plain(address, port, timeout=timeout)
    try:
        connection.connect()
    except BaseException:
        connection.close()
        raise
    return connection


def allow(connection: HTTPConnection, *, until: float, size: int) -> None:
    """Let a connection's next answer come until then, in so many bytes with all that is around its body."""
    if isinstance(connection.sock, BoundedSocket):
        connection.sock.until, connection.sock.room = until, size


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for the whole request is over")
    return left
