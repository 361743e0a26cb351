"""Serves /healthz, /readyz and /metrics from a separate thread, so that a busy event loop cannot block the answers.

Live: the event loop turns, and reconciles begin and end in time. The result of a reconcile does not matter, because a
restart does not repair a database or an API server that is away. Ready: the last reconcile was completed, or another
process leads and this process could take over. If the process is not ready, the answer's text says why.
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

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from region_operator.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT_SECONDS = 0.1
"""How often the event loop's lag is measured. A lag that is shorter may be missed."""
SILENCE_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
"""How many seconds a reconcile may be overdue before this process counts as stuck."""

REQUEST_TIMEOUT_SECONDS = 5

NOT_RECONCILED = "no reconcile has ended yet"


class Health:
    """Knows whether the process is live and ready. The event loop and the election write, other threads read."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beat = clock()
        self._expected = math.inf
        self._readiness = (HTTPStatus.SERVICE_UNAVAILABLE, NOT_RECONCILED)

    async def beat(self) -> None:
        """Record every BEAT_SECONDS that the event loop turns, and how late, until cancelled."""
        while True:
            self._beat = self._clock()
            await asyncio.sleep(BEAT_SECONDS)
            metrics.EVENT_LOOP_LAG.observe(max(0.0, self.silence() - BEAT_SECONDS))

    def silence(self) -> float:
        """Return for how many seconds the event loop has not turned. Any thread may ask."""
        return self._clock() - self._beat

    def expect_progress(self, seconds: float) -> None:
        """Expect within `seconds` that a reconcile begins or ends."""
        self._expected = self._clock() + seconds

    def expect_nothing(self) -> None:
        """Expect no reconcile any more, because there is nothing to reconcile."""
        self._expected = math.inf

    def mark_ready(self, facts: str = "") -> None:
        """Record that a reconcile was completed. `facts` is shown to everybody who asks for the readiness."""
        self._readiness = (HTTPStatus.OK, f"ok\n{facts}".rstrip())

    def mark_standby(self) -> None:
        """Record that another process leads, and that this process would notice the end of the other process."""
        self._readiness = (HTTPStatus.OK, "standby")

    def mark_unready(self, reason: str) -> None:
        """Record why reconciles fail, or why this process could not take over."""
        self._readiness = (HTTPStatus.SERVICE_UNAVAILABLE, reason)

    def answer(self, path: str, accept: str = "") -> tuple[HTTPStatus, str, bytes]:
        """Return the status, the content type and the body for a GET of `path`. `accept` is the header Accept, by which
        metrics come as OpenMetrics or as Prometheus' older text.
        """
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
                encode, content_type = choose_encoder(accept)
                return HTTPStatus.OK, content_type, encode(REGISTRY)
        return HTTPStatus.NOT_FOUND, text, b"try /healthz, /readyz or /metrics\n"

    def _stuck(self) -> str | None:
        """Return why the process is not live, or None if the process is live."""
        silence, late = self.silence(), self._clock() - self._expected
        if silence > SILENCE_SECONDS:
            return f"the event loop has not turned for {silence:.0f} s"
        if late > PATIENCE_SECONDS:
            return f"reconciles make no progress: one should have begun or ended {late:.0f} s ago"
        return None


class _Server(ThreadingHTTPServer):
    """Listens on IPv4, and on IPv6 if the machine has IPv6: the address of a pod may be either."""

    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(health: Health, port: int) -> ThreadingHTTPServer:
    """Start the server on all addresses, because the kubelet probes the pod's address. Port 0 chooses a free port.

    The caller shuts the server down.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_SECONDS

        def do_GET(self) -> None:
            code, content_type, body = health.answer(self.path, self.headers.get("Accept", ""))
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
