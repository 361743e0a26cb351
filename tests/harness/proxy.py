"""Forwards connections to a server, and can slow, silence, forget or close the connections."""

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
    """Forwards TCP connections to a port of this machine. All data arrives `delay` seconds late. After `cut`, the proxy
    accepts data and passes nothing on.
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
        """Run a proxy in front of a kubeconfig's API server. Write a kubeconfig for the proxy to `copy`."""
        content = yaml.safe_load(kubeconfig.read_text())
        cluster = content["clusters"][0]["cluster"]
        with cls.to(urlsplit(cluster["server"]).port or 443) as proxy:
            cluster["server"] = f"https://127.0.0.1:{proxy.port}"
            copy.write_text(yaml.safe_dump(content))
            yield proxy

    @classmethod
    @contextmanager
    def to(cls, port: int) -> Iterator[Self]:
        """Run a proxy in front of a port of this machine."""
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
        """Pass nothing on until `mend`."""
        self._gate.clear()

    def mend(self) -> None:
        """Pass on the data that arrived meanwhile, and all later data."""
        self._gate.set()

    def forget(self) -> None:
        """Silence the open connections for ever, like a firewall that lost its state. New connections work."""
        self._gate.clear()
        self._gate = self._new_gate()

    def drop(self) -> None:
        """Close the open connections."""
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
        """Pass on data in both directions until both end. Then close the sockets: there may be thousands of
        connections.
        """
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
