"""Nodes that are lost, and another that is not: where none is left, no pod is given up."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.local import LocalCluster
    from tests.harness.kubectl import Kubectl

OTHER = "other"
HEARTBEAT_SECONDS = 5


@contextmanager
def lost(node: LocalCluster) -> Iterator[None]:
    """Let the cluster hear nothing more of its kubelet's node, whose processes go on."""
    with frozen(_kubelet(node)):
        yield


@contextmanager
def another_node(kubectl: Kubectl) -> Iterator[None]:
    """Have a node that is well, by its word, and takes no pods.

    Of a cluster whose nodes are all lost the control plane believes that it has lost itself, and gives up no pod
    (pkg/controller/nodelifecycle/node_lifecycle_controller.go, handleDisruption).
    """
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": OTHER}, "spec": {"unschedulable": True}}
    kubectl("create", "-f", "-", stdin=json.dumps(node))
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            _say_ready(kubectl)

    thread = threading.Thread(target=beat, daemon=True)
    try:
        _say_ready(kubectl)
        thread.start()
        yield
    finally:
        ended.set()
        thread.join()
        kubectl("delete", "node", OTHER)


def _say_ready(kubectl: Kubectl) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now}
    status = json.dumps({"status": {"conditions": [ready]}})
    kubectl("patch", "node", OTHER, "--subresource=status", "--type=strategic", f"--patch={status}")


def _kubelet(node: LocalCluster) -> int:
    """Return the pid, on this machine, of a cluster's kubelet."""
    home = str(node.layout.folder).encode()
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if command.partition(b"\0")[0].endswith(b"/kubelet") and home in command:
                return int(folder.name)
    raise AssertionError(f"no kubelet of {node.name}")
