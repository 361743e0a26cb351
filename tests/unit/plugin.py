"""Runs commands of the plugin with the real kubectl, on a little server that answers as the console behind the API
server does.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import yaml
from click.testing import CliRunner, Result

from kubectl_region.commands import group

if TYPE_CHECKING:
    from collections.abc import Iterator

PROXY = "/api/v1/namespaces/{namespace}/services/http:region-tick-console:http/proxy/{path}"


@dataclass
class ConsoleServer:
    """Answers what `answers` has by the path below the proxy's, in namespace region-tick or `namespace:path`.

    `asked` are the requests so far: the path as it came, and the query.
    """

    kubeconfig: Path
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def answer(self, path: str, answer: Any, *, namespace: str = "region-tick") -> None:
        """Have a path of the console answer so: an object, a text, a function of the query, or a status and an
        object.
        """
        self.answers[PROXY.format(namespace=namespace, path=path)] = answer

    def run(self, *arguments: str, namespace: str = "region-tick") -> Result:
        """Run a command of the plugin in this process. Without a `namespace` the command line names none."""
        where = ["-n", namespace] if namespace else []
        return CliRunner().invoke(group, [*arguments, *where], env=self.env)

    @property
    def env(self) -> dict[str, str]:
        """The variables by which kubectl finds the server."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": f"{self.kubeconfig}.cache", "PATH": path}


@contextmanager
def console_server(folder: Path, *, namespace: str = "") -> Iterator[ConsoleServer]:
    """Start a server, with a kubeconfig in `folder` whose context has a namespace, or none."""
    server = ConsoleServer(folder / "kubeconfig")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            server.asked.append((url.path, dict(parse_qsl(url.query))))
            answer = server.answers.get(url.path, (HTTPStatus.NOT_FOUND, {"kind": "Unknown"}))
            answer = answer(server.asked[-1][1]) if callable(answer) else answer
            status, body = answer if isinstance(answer, tuple) else (HTTPStatus.OK, answer)
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parameter's name is given
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = {"cluster": "c", "user": "u"} | ({"namespace": namespace} if namespace else {})
    server.kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{http.server_port}"}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "here", "context": context}],
                "current-context": "here",
            }
        )
    )
    thread = Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def status(code: HTTPStatus, reason: str, message: str) -> tuple[HTTPStatus, dict[str, Any]]:
    """Return an answer of the API server that refuses."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    return code, body | {"code": int(code)}


def write_kubectl(folder: Path, script: str) -> str:
    """Write a kubectl of the test's own, for what no real one does at a test's wish. Return the PATH that has it."""
    path = folder / "kubectl"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"{folder}{os.pathsep}{os.defpath}"
