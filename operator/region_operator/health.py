"""/healthz, /readyz and /metrics, served by a thread of its own so that a busy event loop cannot make them hang.

Live: the event loop still turns. Ready: the last reconcile came to its end, or another process leads and this one
could take over; else the answer's text says why not.
"""

from __future__ import annotations

import asyncio
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
REQUEST_TIMEOUT_SECONDS = 5

NOT_RECONCILED = "no reconcile has ended yet"


class Health:
    """What the process knows of itself. Written by the event loop, read by the server's threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beat = clock()
        self._readiness = (HTTPStatus.SERVICE_UNAVAILABLE, NOT_RECONCILED)

    async def beat(self) -> None:
        """Show that the event loop turns, until cancelled."""
        while True:
            self._beat = self._clock()
            await asyncio.sleep(BEAT_SECONDS)

    def ready(self) -> None:
        """Note that a reconcile came to its end."""
        self._readiness = (HTTPStatus.OK, "ok")

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
                silence = self._clock() - self._beat
                if silence > SILENCE_SECONDS:
                    return (
                        HTTPStatus.SERVICE_UNAVAILABLE,
                        text,
                        f"the event loop has not turned for {silence:.0f} s\n".encode(),
                    )
                return HTTPStatus.OK, text, b"ok\n"
            case "/readyz":
                code, reason = self._readiness
                return code, text, f"{reason}\n".encode()
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest()
        return HTTPStatus.NOT_FOUND, text, b"try /healthz, /readyz or /metrics\n"


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

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
