"""Serves /healthz and /metrics from a separate thread, so that a worker that hangs can still say so.

Live: the event loop turns, and the worker looks for tasks in time. A database that is away does not matter here: the
worker ends by itself then.
"""

from __future__ import annotations

import asyncio
import socket
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from region_worker import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT_SECONDS = 0.25
SILENCE_SECONDS = 30.0
"""How long the event loop may be silent before the worker counts as stuck."""
REQUEST_TIMEOUT_SECONDS = 5


class Health:
    """Knows whether the worker is live. The event loop writes, other threads read."""

    def __init__(self, *, look_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`look_seconds` is how long a worker may not look for tasks: all of its slots may be taken meanwhile."""
        self._clock, self._look_seconds = clock, look_seconds
        self._beat = self._looked = clock()

    async def beat(self) -> None:
        """Record every BEAT_SECONDS that the event loop turns, and how late, until cancelled."""
        while True:
            self._beat = self._clock()
            await asyncio.sleep(BEAT_SECONDS)
            metrics.EVENT_LOOP_LAG.observe(max(0.0, self._clock() - self._beat - BEAT_SECONDS))

    def looked(self) -> None:
        """Record that the worker looked for a task."""
        self._looked = self._clock()

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
            case "/metrics":
                encode, content_type = choose_encoder(accept)
                return HTTPStatus.OK, content_type, encode(REGISTRY)
        return HTTPStatus.NOT_FOUND, text, b"try /healthz or /metrics\n"

    def _stuck(self) -> str | None:
        """Return why the worker is not live, or None if the worker is live."""
        silent, idle = self._clock() - self._beat, self._clock() - self._looked
        if silent > SILENCE_SECONDS:
            return f"the event loop has not turned for {silent:.0f} s"
        if idle > self._look_seconds:
            return f"the worker has not looked for a task for {idle:.0f} s"
        return None


class _Server(ThreadingHTTPServer):
    """Listens on IPv4, and on IPv6 if the machine has IPv6: the address of a pod may be either."""

    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    daemon_threads = True

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(health: Health, port: int) -> ThreadingHTTPServer:
    """Start the server on all addresses, because the kubelet probes the pod's address. Port 0 chooses a free port.

    The caller shuts the server down. Raises OSError if the port is taken.
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
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
