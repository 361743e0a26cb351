"""A way to a server that can be cut, with or without a word, or be made slow."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Proxy:
    """Forwards TCP connections to a port of this machine; while `cut`, it takes bytes and passes none on. What it
    passes on comes `delay` seconds late.
    """

    delay = 0.0

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._gate = self._new_gate()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]

    @classmethod
    @contextmanager
    def before(cls, kubeconfig: Path, copy: Path) -> Iterator[Self]:
        """Stand before a kubeconfig's API server; `copy` becomes a kubeconfig that goes through the proxy."""
        content = yaml.safe_load(kubeconfig.read_text())
        cluster = content["clusters"][0]["cluster"]
        with cls.to(urlsplit(cluster["server"]).port or 443) as proxy:
            cluster["server"] = f"https://127.0.0.1:{proxy.port}"
            copy.write_text(yaml.safe_dump(content))
            yield proxy

    @classmethod
    @contextmanager
    def to(cls, port: int) -> Iterator[Self]:
        """Stand before a port of this machine."""
        proxy = cls(port)
        threading.Thread(target=proxy._accept, daemon=True).start()
        try:
            yield proxy
        finally:
            with suppress(OSError):
                proxy._listener.shutdown(socket.SHUT_RDWR)
            proxy._listener.close()
            proxy.drop()

    def cut(self) -> None:
        """Pass nothing on."""
        self._gate.clear()

    def mend(self) -> None:
        """Pass on what has come in meanwhile, and what comes."""
        self._gate.set()

    def forget(self) -> None:
        """Pass nothing on any more on the connections that there are, as a firewall does that has lost its state."""
        self._gate.clear()
        self._gate = self._new_gate()

    def drop(self) -> None:
        """End the connections that there are."""
        connections, self._connections = self._connections, []
        for one in connections:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @staticmethod
    def _new_gate() -> threading.Event:
        gate = threading.Event()
        gate.set()
        return gate

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                try:
                    far = socket.create_connection(self._target)
                except ConnectionRefusedError:
                    near.close()  # as the server itself would
                    continue
                self._connections += [near, far]
                threading.Thread(target=self._carry, args=(near, far, self._gate), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket, gate: threading.Event) -> None:
        """Pass on both ways to the end of both, and let go of the connection: there may be thousands."""
        back = threading.Thread(target=self._pump, args=(far, near, gate), daemon=True)
        back.start()
        self._pump(near, far, gate)
        back.join()
        for one in (near, far):
            with suppress(ValueError):  # dropped already
                self._connections.remove(one)
            one.close()

    def _pump(self, source: socket.socket, sink: socket.socket, gate: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                gate.wait()
                time.sleep(self.delay)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)  # also where the server was killed, which may reset the connection
