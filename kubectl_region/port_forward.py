"""Reaches the console by `kubectl port-forward`, where the API server's proxy is refused or reaches no pod.

kubectl listens on a free port of 127.0.0.1, and whoever is on this machine reaches the console by that port while it
listens. So a port-forward is opened when it is needed first, and ends with the command, whatever ends the command, and
with all that it has started: kubectl may be a script that starts the real one. Only `kill -9` leaves a kubectl behind,
which is an ordinary `kubectl port-forward` then.

When to use one, and what to say if there is none, is left to `console`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubectl_region.errors import PluginError
from kubectl_region.kubectl import KubectlError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from queue import SimpleQueue
    from typing import IO

    from kubectl_region.kubectl import Kubectl

HOST = "127.0.0.1"
OPEN_SECONDS = 20.0
"""How long kubectl may take until it listens."""
POD_SECONDS = 2
"""How long kubectl waits for a pod of the Service that runs. The console is there already, or is not."""
END_SECONDS = 5.0
"""How long kubectl may take to end before it is killed."""
_LISTENS = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> \d+")


class BrokenForwardError(PluginError):
    """A port-forward does not carry an answer any more, or carried none."""


@dataclass(frozen=True, slots=True)
class PortForward:
    """A port of this machine that leads to a Service. `limit_seconds` is how long an answer may keep silent."""

    port: int
    limit_seconds: float | None

    def get(self, path: str) -> str:
        """Return the answer to a GET. Raises BrokenForwardError, and PluginError for the status of an error."""
        from http import HTTPStatus
        from http.client import HTTPConnection, HTTPException

        connection = HTTPConnection(HOST, self.port, timeout=self.limit_seconds)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise BrokenForwardError(
                f"the port-forward by {HOST}:{self.port} gave no answer: {reason}",
                "the pod may be restarting: the same command opens a new port-forward",
            ) from error
        finally:
            connection.close()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise PluginError(f"the console answered with the status {answer.status} {answer.reason}")
        return text


@contextmanager
def port_forward(kubectl: Kubectl, service: str, port: str, namespace: str) -> Iterator[PortForward]:
    """Open a port-forward to a port of a Service, until the end of the block.

    SIGTERM, SIGHUP and SIGQUIT end the block too. Raises KubectlError, and PluginError if kubectl does not listen in
    time.
    """
    where = (f"service/{service}", f":{port}", "--namespace", namespace, "--address", HOST)
    with _ended_by_signals():
        process = kubectl.begin("port-forward", *where, f"--pod-running-timeout={POD_SECONDS}s")
        try:
            yield PortForward(_wait_for_port(process), kubectl.limit_seconds)
        finally:
            _end(process)


def listening_port(line: str) -> int | None:
    """Return the local port that a line of `kubectl port-forward` names; None if it names none."""
    match = _LISTENS.match(line)
    return int(match[1]) if match else None


def _wait_for_port(process: subprocess.Popen[str]) -> int:
    """Return the port on which kubectl listens. Raises PluginError with all that kubectl said instead."""
    import time
    from queue import Empty

    assert process.stdout is not None  # noqa: S101 - `Kubectl.begin` makes it a pipe
    read, said, deadline = _read(process.stdout), "", time.monotonic() + OPEN_SECONDS
    try:
        while char := read.get(timeout=max(0.0, deadline - time.monotonic())):
            said += char
            if char == "\n" and (port := listening_port(said.splitlines()[-1])):
                return port
    except Empty:
        told = f", and said: {said.strip()}" if said.strip() else ""
        raise PluginError(f"kubectl port-forward did not listen within {OPEN_SECONDS:g} s{told}") from None
    raise KubectlError(said, process.wait())


def _read(stream: IO[str]) -> SimpleQueue[str]:
    """Read characters in a thread. "" is the end.

    A question has no end of its line. And kubectl would stop if nobody read what it says of each connection.
    """
    from queue import SimpleQueue
    from threading import Thread

    chars: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        with stream:
            while char := stream.read(1):
                chars.put(char)
        chars.put("")

    Thread(target=read, daemon=True).start()
    return chars


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have the signals that end a program raise SystemExit. Those that are ignored, as by nohup, stay so."""
    import signal
    import sys

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    names = ("SIGTERM", "SIGHUP", "SIGQUIT")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]  # Windows has the first only
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end(process: subprocess.Popen[str]) -> None:
    """End kubectl and what it has started, and wait until kubectl is gone."""
    import signal
    import subprocess

    _signal(process, signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()


def _signal(process: subprocess.Popen[str], number: int) -> None:
    """Send a signal to a process of a session of its own, and to what it has started; on Windows to it alone."""
    import os

    if not hasattr(os, "killpg"):
        process.send_signal(number)
        return
    with suppress(ProcessLookupError, PermissionError):  # all have ended; macOS says so in the second way
        os.killpg(process.pid, number)
