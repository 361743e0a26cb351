"""The cluster made of local processes: what a caller holds of it.

Believes the supervisor's one-line answer and its record; does nothing itself that the supervisor must survive.
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
_ORDER_SECONDS = 100.0  # longer than the supervisor itself waits


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """A running cluster; `host_address` is where pods (and the host) reach a server on the host, 127.0.0.1 without a
    node.
    """

    name: str
    layout: Layout

    @property
    def kubeconfig(self) -> Path:
        return self.layout.kubeconfig

    @property
    def host_address(self) -> str:
        return self.layout.host_address

    @property
    def audit_log(self) -> Path:
        """JSON lines, one per write request that was answered (audit.k8s.io/v1 Event, level Metadata); reads are not in
        it.
        """
        return self.layout.audit_log

    @property
    def api_server_pid(self) -> int:
        """0 while it is down."""
        return _record_of(self.name).api_server_pid

    @property
    def controller_manager_pid(self) -> int:
        return _record_of(self.name).controller_manager_pid

    def kill_api_server(self) -> None:
        """Kills the API server, which stays down until start_api_server; harmless where it is down."""
        self._order(Order.KILL_API_SERVER, lambda: not self.api_server_pid)

    def start_api_server(self) -> None:
        """Starts the API server again; returns when it is ready. Harmless where it runs.

        Raises ClusterError where it does not become ready: then the cluster ends.
        """
        self._order(Order.START_API_SERVER, lambda: bool(self.api_server_pid))

    def _order(self, order: Order, is_done: Callable[[], bool]) -> None:
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
        """Raises ClusterError without a node, or where containerd refuses the archive."""
        record = Record.read(self.layout.folder)
        if record is None or not record.node_pid:
            message = f"cluster {self.name!r} has no node that could take an image"
            raise ClusterError(message)
        containers.load_image(record.node_pid, ensure(NODE), archive)

    def down(self) -> None:
        down(self.name)


def up(name: str, *, node: bool) -> LocalCluster:
    """Starts the cluster, or answers with the one of that name that runs already.

    Raises ClusterError where it cannot start, or runs in the other shape (with or without a node).
    """
    _prepare(node=node)
    with _launch(name, node=node, lifeline=False) as process, progress.step(f"starting cluster {name}"):
        if _answer_of(process, name) is Answer.ALREADY:
            return _running(name, node=node)
    return _cluster(name)


@contextmanager
def start_local(name: str, *, node: bool) -> Iterator[LocalCluster]:
    """A cluster for the block, which ends with this process however that ends, also by `kill -9`.

    Raises ClusterError where it cannot start or where one of that name runs already: a temporary cluster is nobody
    else's.
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
    """Stops the cluster and removes all that is left of it, also after a crash; False where there was none."""
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
    """The cluster where it runs and is ready."""
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
        start_new_session=True,  # a Ctrl-C in the caller's terminal is the caller's
    )


def _answer_of(process: subprocess.Popen[str], name: str) -> Answer:
    """The supervisor's answer, which it gives or dies; raises ClusterError for one that says no."""
    said = ""
    if process.stdout:
        with process.stdout:
            said = process.stdout.read()
    word, _, message = said.strip().partition(" ")
    if word in (Answer.READY, Answer.ALREADY):
        return Answer(word)
    logs = cluster_folder(name) / "logs"
    reason = message or "its supervisor died without a word"
    raise ClusterError(f"cluster {name!r} did not start: {reason} (logs: {logs})")


def _running(name: str, *, node: bool) -> LocalCluster:
    """The cluster that another caller started, once it is ready."""
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
    # The pid may be of a dead supervisor whose successor has not written its own yet.
    if record and "devcluster.supervisor" in _command_line(record.pid):
        os.kill(record.pid, number)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return ""
