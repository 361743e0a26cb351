"""HTTP connections of urllib3 to an address that was chosen before, each of whose reads ends in time.

urllib3's read timeout is one per recv (urllib3.util.Timeout, "read"): a server that sends a byte now and then holds a
request for ever. So the sockets are our own: every recv gets what is left of the time that the whole request has.
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


class TimedSocket(socket.socket):
    """A socket from which nothing is received after `until`, in seconds of time.monotonic(), which is to be set."""

    until = 0.0

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        """Receive, or raise TimeoutError at `until`."""
        self.settimeout(_left(self.until))
        return super().recv_into(*arguments, **options)


class TimedTlsSocket(ssl.SSLSocket):
    """The same for TLS, with the server's certificate verified."""

    until = 0.0

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        """Receive, or raise TimeoutError at `until`."""
        self.settimeout(_left(self.until))
        return super().recv_into(*arguments, **options)


class Plain(HTTPConnection):
    """A connection without TLS."""

    def connect(self) -> None:
        """Connect."""
        super().connect()
        bare = self.sock
        self.sock = TimedSocket(bare.family, bare.type, bare.proto, fileno=bare.detach())


@cache
def tls() -> ssl.SSLContext:
    """Return the one context of the process: the system's authorities, or those of SSL_CERT_FILE."""
    context = ssl.create_default_context()
    context.sslsocket_class = TimedTlsSocket
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


def give_time(connection: HTTPConnection, until: float) -> None:
    """Let a connection's answers come until then."""
    if isinstance(connection.sock, TimedSocket | TimedTlsSocket):
        connection.sock.until = until


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for the whole request is over")
    return left
