"""Provides clusters made of local processes, for the callers of a cluster.

A caller relies on the supervisor's one-line answer and on the supervisor's record file. A caller does nothing that the
supervisor must survive: the supervisor alone owns the cluster's processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import debian, leftovers, progress
from devcluster import node as containers
from devcluster.binaries import CONTROL_PLANE, NODE, ensure
from devcluster.errors import ClusterError
from devcluster.state import Answer, Layout, Order, Record, alive, claim_folder, cluster_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHECKOUT = Path(__file__).resolve().parent.parent
_START_SECONDS = 240.0
_STOP_SECONDS = 60.0
_ORDER_SECONDS = 100.0  # longer than the supervisor waits for the API server


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """A running cluster of local processes."""

    name: str
    layout: Layout

    @property
    def kubeconfig(self) -> Path:
        return self.layout.kubeconfig

    @property
    def host_address(self) -> str:
        """The address at which pods (and the host) reach a server on the host: 127.0.0.1 without a node."""
        return self.layout.host_address

    @property
    def audit_log(self) -> Path:
        """A file with a JSON line per answered write request (audit.k8s.io/v1 Event, level Metadata).

        Reads are in it only of service accounts of the namespace region-tick.
        """
        return self.layout.audit_log

    @property
    def api_server_pid(self) -> int:
        """The API server's process id, or 0 while the API server is down."""
        return _record_of(self.name).api_server_pid

    @property
    def controller_manager_pid(self) -> int:
        return _record_of(self.name).controller_manager_pid

    def kill_api_server(self) -> None:
        """Kill the API server, until start_api_server. If the API server is down already, do nothing."""
        self._order(Order.KILL_API_SERVER, lambda: not self.api_server_pid)

    def start_api_server(self) -> None:
        """Start the API server again, and wait until the API server is ready. If the API server runs, do nothing.

        Raises ClusterError if the API server does not become ready. The cluster then ends.
        """
        self._order(Order.START_API_SERVER, lambda: bool(self.api_server_pid))

    def _order(self, order: Order, is_done: Callable[[], bool]) -> None:
        """Send an order to the supervisor and wait until `is_done`. Raises ClusterError after _ORDER_SECONDS."""
        if is_done():
            return
        _signal_supervisor(self.layout.folder, order)
        deadline = time.monotonic() + _ORDER_SECONDS
        while not is_done():
            if time.monotonic() > deadline:
                message = f"cluster {self.name!r} did not obey {order.name} within {_ORDER_SECONDS:.0f} s"
                raise ClusterError(message)
            time.sleep(0.05)

    def load_image(self, archive: Path) -> None:
        """Load an image archive into the node. Raises ClusterError without a node, or if containerd refuses."""
        record = Record.read(self.layout.folder)
        if record is None or not record.node_pid:
            message = f"cluster {self.name!r} has no node that could take an image"
            raise ClusterError(message)
        containers.load_image(record.node_pid, ensure(NODE), archive)

    def allow_plain_http(self, registry: str) -> None:
        """Have the node pull images from `registry`, an address with a port, by plain HTTP. It is for tests only."""
        containers.allow_plain_http(self.layout, registry)

    def down(self) -> None:
        down(self.name)


def up(name: str, *, node: bool) -> LocalCluster:
    """Start a cluster, or return the running cluster with that name.

    Raises ClusterError if the cluster cannot start, or if the running cluster does not match `node`.
    """
    _prepare(node=node)
    with _launch(name, node=node, lifeline=False) as process, progress.step(f"starting cluster {name}"):
        if _answer_of(process, name) is Answer.ALREADY:
            return _running(name, node=node)
    return _cluster(name)


@contextmanager
def start_local(name: str, *, node: bool) -> Iterator[LocalCluster]:
    """Start a temporary cluster for the `with` block. The cluster also ends with this process, even on `kill -9`.

    Raises ClusterError if the cluster cannot start, or if a cluster with that name runs already: a temporary cluster
    has one caller only.
    """
    _prepare(node=node)
    process = _launch(name, node=node, lifeline=True)
    try:
        if _answer_of(process, name) is Answer.ALREADY:
            message = (
                f"a cluster named {name!r} runs already: choose another name, or stop it with `{_down_command(name)}`"
            )
            raise ClusterError(message)
        yield _cluster(name)
    finally:
        if process.stdin:
            process.stdin.close()
        process.wait(_STOP_SECONDS)


def down(name: str) -> bool:
    """Stop a cluster and remove all its leftovers, also after a crash. Return False if there was no cluster."""
    folder = cluster_folder(name)
    existed = folder.exists()
    deadline = time.monotonic() + _STOP_SECONDS
    while alive(folder):
        _signal_supervisor(folder, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.1)
    if holder := claim_folder(folder):
        with holder:
            if folder.exists():
                leftovers.clean(folder)
    return existed


def find(name: str) -> LocalCluster | None:
    """Return the cluster with that name if it runs and is ready, or None."""
    folder = cluster_folder(name)
    record = Record.read(folder) if alive(folder) else None
    return _cluster(name) if record and record.ready else None


def _down_command(name: str) -> str:
    return f"python -m devcluster down --name {name}"


def _prepare(*, node: bool) -> None:
    debian.complete_path()
    if node and os.geteuid():
        message = (
            "a node needs root, for its namespaces and cgroups: run as root, "
            "start the control plane alone with --no-node, or install Docker and `kind` and use CLUSTER=kind"
        )
        raise ClusterError(message)
    debian.ensure(debian.NODE if node else debian.CONTROL_PLANE)
    leftovers.sweep()
    ensure((*CONTROL_PLANE, *NODE) if node else CONTROL_PLANE)


def _launch(name: str, *, node: bool, lifeline: bool) -> subprocess.Popen[str]:
    options = [*(["--node"] if node else []), *(["--lifeline"] if lifeline else [])]
    return subprocess.Popen(
        [sys.executable, "-m", "devcluster.supervisor", str(cluster_folder(name)), *options],
        cwd=_CHECKOUT,
        stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C in the caller's terminal must not reach the supervisor
    )


def _answer_of(process: subprocess.Popen[str], name: str) -> Answer:
    """Wait for the supervisor's answer or death, and return READY or ALREADY. Raises ClusterError otherwise."""
    output = ""
    if process.stdout:
        with process.stdout:
            output = process.stdout.read()
    word, _, message = output.strip().partition(" ")
    if word in (Answer.READY, Answer.ALREADY):
        return Answer(word)
    logs = cluster_folder(name) / "logs"
    reason = message or "its supervisor died without a word"
    raise ClusterError(f"cluster {name!r} did not start: {reason} (logs: {logs})")


def _running(name: str, *, node: bool) -> LocalCluster:
    """Wait until the cluster that another caller started is ready, and return the cluster. Raises ClusterError."""
    folder = cluster_folder(name)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and alive(folder):
        if cluster := find(name):
            if cluster.layout.node is not node:
                shape = "without" if node else "with"
                message = f"cluster {name!r} runs {shape} a node: stop it first with `{_down_command(name)}`"
                raise ClusterError(message)
            return cluster
        time.sleep(0.1)
    message = f"cluster {name!r} is not ready; see {folder / 'logs'}, or stop it with `{_down_command(name)}`"
    raise ClusterError(message)


def _cluster(name: str) -> LocalCluster:
    return LocalCluster(name=name, layout=_record_of(name).layout(cluster_folder(name)))


def _record_of(name: str) -> Record:
    record = Record.read(cluster_folder(name))
    if record is None:
        message = f"cluster {name!r} has gone"
        raise ClusterError(message)
    return record


def _signal_supervisor(folder: Path, number: int) -> None:
    record = Record.read(folder)
    # The record may hold the pid of a dead supervisor, if the next supervisor has not written its record yet. Another
    # process may have the pid by now.
    if record and "devcluster.supervisor" in _command_line(record.pid):
        os.kill(record.pid, number)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return ""
