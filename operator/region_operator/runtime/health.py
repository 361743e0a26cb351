"""/healthz, /readyz and /metrics, served by a thread of its own so that a busy event loop cannot make them hang.

Live: the event loop turns, and reconciles begin and end when they should. How they end does not matter: a database or
API server that is away is nothing that a restart would mend. Ready: the last reconcile came to its end, or another
process leads and this one could take over; else the answer's text says why not.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT_SECONDS = 1.0
SILENCE_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
"""How much later than it should a reconcile may begin or end before this process counts as stuck."""

REQUEST_TIMEOUT_SECONDS = 5

NOT_RECONCILED = "no reconcile has ended yet"


class Health:
    """What the process knows of itself. Written by the event loop, read by the server's threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beat = clock()
        self._expected = math.inf
        self._readiness = (HTTPStatus.SERVICE_UNAVAILABLE, NOT_RECONCILED)

    async def beat(self) -> None:
        """Show that the event loop turns, until cancelled."""
        while True:
            self._beat = self._clock()
            await asyncio.sleep(BEAT_SECONDS)

    def expect(self, seconds: float) -> None:
        """Note that reconciles make progress, and within how many seconds the next one begins or this one ends."""
        self._expected = self._clock() + seconds

    def expect_nothing(self) -> None:
        """Note that no reconcile is to come, because there is nothing to reconcile."""
        self._expected = math.inf

    def ready(self, facts: str = "") -> None:
        """Note that a reconcile came to its end, and what whoever asks for the readiness should know beside."""
        self._readiness = (HTTPStatus.OK, f"ok\n{facts}".rstrip())

    def standby(self) -> None:
        """Note that another process leads, and that this one would learn of its end."""
        self._readiness = (HTTPStatus.OK, "standby")

    def unready(self, reason: str) -> None:
        """Note why reconciles do not come to their end, or why this process could not take over."""
        self._readiness = (HTTPStatus.SERVICE_UNAVAILABLE, reason)

    def answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Return status, content type and body of a GET."""
        text = "text/plain; charset=utf-8"
        match path:
            case "/healthz":
                stuck = self._stuck()
                code = HTTPStatus.SERVICE_UNAVAILABLE if stuck else HTTPStatus.OK
                return code, text, f"{stuck or 'ok'}\n".encode()
            case "/readyz":
                code, reason = self._readiness
                return code, text, f"{reason}\n".encode()
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest()
        return HTTPStatus.NOT_FOUND, text, b"try /healthz, /readyz or /metrics\n"

    def _stuck(self) -> str | None:
        silence, late = self._clock() - self._beat, self._clock() - self._expected
        if silence > SILENCE_SECONDS:
            return f"the event loop has not turned for {silence:.0f} s"
        if late > PATIENCE_SECONDS:
            return f"reconciles make no progress: one should have begun or ended {late:.0f} s ago"
        return None


class _Server(ThreadingHTTPServer):
    """Listens on IPv4 and, where the machine has it, IPv6: a pod's own address may be either."""

    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(health: Health, port: int) -> ThreadingHTTPServer:
    """Serve on all addresses (the kubelet probes the pod's own); port 0 chooses one. The caller shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_SECONDS

        def do_GET(self) -> None:
            code, content_type, body = health.answer(self.path)
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep probes out of the log."""

    server = _Server(("", port), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
