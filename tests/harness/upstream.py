"""Runs an HTTP server on 127.0.0.1 that answers as badly as a test wants, and remembers the requests."""

from __future__ import annotations

import json
import ssl
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Answer = Callable[["Asked"], None]

NO_KEY = "this-is-no-key-but-must-not-be-shown"
TIMES_AT_MOST = 20_000
"""The most repetitions of a slow or endless answer, if the client never hangs up."""


@dataclass
class Asked:
    """A request, with the methods that answer the request."""

    handler: BaseHTTPRequestHandler
    closing: Event
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    """The names are in lower case."""
    body: bytes
    status: int = field(default=0)
    sent: int = field(default=0)
    """The bytes sent of the answer's body."""

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Send a complete answer. Keywords are headers, e.g. `content_type="text/plain"`."""
        self.start(status, content_length=str(len(body)), **headers)
        if status != 304 and self.method != "HEAD":
            self.write(body)

    def json(self, value: object, status: int = 200, **headers: str) -> None:
        self.answer(status, json.dumps(value).encode(), **headers)

    def start(self, status: int, **headers: str) -> None:
        """Send the status and the headers."""
        self.status = status
        self.handler.send_response_only(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()

    def write(self, data: bytes) -> None:
        self.handler.wfile.write(data)
        self.sent += len(data)

    def repeat(self, data: bytes, *, pause: float = 0.0) -> None:
        """Send `data` again and again until the client hangs up, `pause` seconds apart."""
        for _ in range(TIMES_AT_MOST):
            self.write(data)
            if self.closing.wait(pause) if pause else self.closing.is_set():
                return


class Upstream:
    """Answers each path as `on` says, and any other path with `default`, a 404."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str, closing: Event) -> None:
        self.host = "{}:{}".format(*server.server_address[:2])
        self.port = server.server_address[1]
        self.url = f"{scheme}://{self.host}"
        self.asked: list[Asked] = []
        self.default: Answer = replying(404)
        self._answers: dict[str, list[Answer]] = {}
        self._closing = closing

    def on(self, path: str, *answers: Answer) -> str:
        """Answer `path` with `answers` in turn, and repeat the last answer. Return the path's URL."""
        self._answers[path] = list(answers)
        return self.url + path

    def paths(self) -> list[str]:
        """Return the requested paths, in the order of the requests."""
        return [asked.path for asked in self.asked]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        asked = Asked(
            handler=handler,
            closing=self._closing,
            method=handler.command,
            path=parts.path,
            query=parse_qs(parts.query),
            headers={name.lower(): value for name, value in handler.headers.items()},
            body=handler.rfile.read(int(handler.headers.get("content-length", 0))),
        )
        self.asked.append(asked)
        answers = self._answers.get(parts.path, [self.default])
        (answers.pop(0) if len(answers) > 1 else answers[0])(asked)


@contextmanager
def upstream(*, address: str = "127.0.0.1", certificate: Path | None = None) -> Iterator[Upstream]:
    """Run a server until the end of the block. With `certificate` (a file with the key), the server speaks TLS."""
    closing = Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_GET(self) -> None:
            try:
                running.handle(self)
            except OSError:  # hung up on
                self.close_connection = True

        do_HEAD = do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            """Print nothing: tests hang up on purpose."""

    with Server((address, 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        running = Upstream(server, "http" if certificate is None else "https", closing)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            closing.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[Upstream]:
    """Run a server without TLS."""
    with upstream() as running:
        yield running


def make_certificate(folder: Path, *, name: str) -> Path:
    """Make a self-signed certificate for the host `name`. Return a file with the certificate and the key."""
    path = folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(path), "-out", str(path) + ".crt", "-subj", f"/CN={name}", "-days", "2"]
    subprocess.run([*command, "-addext", f"subjectAltName=DNS:{name}"], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_name(path.name + ".crt").read_text())
    return path


def http_date(seconds: float) -> str:
    """Return a time (seconds since 1970, UTC) in HTTP's format."""
    return formatdate(seconds, usegmt=True)


def replying(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer that is always the same."""
    return lambda asked: asked.answer(status, body, **dict(headers or {}))


def conditional(body: bytes, *, etag: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return the answer of a resource with an ETag: 304 if the client already has the ETag, otherwise 200."""

    def answer(asked: Asked) -> None:
        if asked.headers.get("if-none-match") == etag:
            asked.answer(304, etag=etag)
        else:
            asked.answer(200, body, etag=etag, **dict(headers or {}))

    return answer
