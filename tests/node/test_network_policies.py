"""manifests/network with an engine that enforces it: which connections pass, and which are dropped.

The engine is that of kube-network-policies, and it is built from source first: only `make test-network`, or
`-m network`, runs this test.
"""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import debian
from devcluster.controlplane import NODE_NAME
from devcluster.debian import Part
from devcluster.state import Record
from region_tick.contract import VERSION
from tests.harness.attached import attached
from tests.harness.go_program import go_program
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.local import LocalCluster

pytestmark = [pytest.mark.node, pytest.mark.network]

NAMESPACE = "region-tick"
DNS, HTTPS, POSTGRES, API, OTHER = HOST_PORTS = (53, 443, 5432, 6443, 8080)
HEALTH, NOT_HEALTH = POD_PORTS = (8080, 9090)
COMMON = {DNS, HTTPS, POSTGRES}
LABELS = {
    "tick": {"app": "region-tick"},
    "operator": {"app.kubernetes.io/name": "region-tick", "app.kubernetes.io/component": "operator"},
    "worker": {"app.kubernetes.io/name": "region-tick", "app.kubernetes.io/component": "worker"},
    "stranger": {"app": "stranger"},
}
TO_THE_WORLD = {"tick": COMMON, "operator": COMMON | {API}, "worker": COMMON, "stranger": {*HOST_PORTS}}
"""Which ports outside each kind of pod may connect to."""
FROM_A_STRANGER = {"tick": set(), "operator": {HEALTH}, "worker": set(), "stranger": {*POD_PORTS}}
"""Which ports of each kind of pod a stranger may connect to."""

LISTEN = f"""
import socket, time
listeners = [socket.create_server(("", port)) for port in {POD_PORTS}]
time.sleep(3600)
"""
CONNECT = """
import json, socket, sys
def passes(host, port):
    try:
        socket.create_connection((host, port), timeout=3).close()
    except TimeoutError:
        return False
    return True
print(json.dumps([[host, port, passes(host, port)] for host, port in json.loads(sys.argv[1])]))
"""
IPTABLES = Part("iptables", "iptables", "hands new connections to the engine")
NEW_CONNECTIONS = "FORWARD -m conntrack --ctstate NEW -j NFQUEUE --queue-num 100"
"""The engine's own rules need the kernel's nft_queue, which not every kernel has. xt_NFQUEUE is older."""
PYTHON = "/opt/region-tick/bin/python"


def pod(kind: str) -> dict[str, Any]:
    container = {
        "name": "probe",
        "image": f"region-tick/tick:{VERSION}",
        "command": [PYTHON, "-c", LISTEN],
        "ports": [{"name": "health", "containerPort": HEALTH}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": kind, "labels": LABELS[kind]},
        "spec": {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 0},
    }


@contextmanager
def listening(address: str) -> Iterator[None]:
    """Accept connections to HOST_PORTS of an address of this machine."""

    def accept(server: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                server.accept()[0].close()

    with ExitStack() as stack:
        for port in HOST_PORTS:
            server = stack.enter_context(socket.create_server((address, port)))
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=accept, args=(server,), daemon=True).start()
        yield


@contextmanager
def enforcing(node: LocalCluster, log: Path) -> Iterator[None]:
    """Have the NetworkPolicies enforced, in the node's network namespace."""
    record = Record.read(node.layout.folder)
    assert record is not None
    debian.complete_path()
    debian.ensure((IPTABLES,))
    inside = ("nsenter", f"--net=/proc/{record.node_pid}/ns/net")
    divert = [*inside, "iptables", "-t", "mangle", "-A", *NEW_CONNECTIONS.split()]
    command = (*inside, go_program("network_policies"), node.kubeconfig, NODE_NAME)
    with attached(command, log=log, environment={}):
        eventually(lambda: "enforcing" in log.read_text(), what="the engine knows the policies", seconds=60)
        subprocess.run(divert, check=True, timeout=30)
        try:
            yield
        finally:  # without the engine nothing would pass
            subprocess.run(["-D" if part == "-A" else part for part in divert], check=True, timeout=30)


def passing(kubectl: Kubectl, sender: str, targets: list[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return the targets to which a pod can connect."""
    answer = kubectl("exec", sender, "--", PYTHON, "-c", CONNECT, json.dumps(targets))
    return {(host, port) for host, port, passes in json.loads(answer) if passes}


def table(kubectl: Kubectl, host: str) -> dict[str, dict[str, set[int]]]:
    """Return which ports pass: of the world by sender, and from a stranger by receiver."""
    world = {
        kind: {port for _, port in passing(kubectl, kind, [(host, port) for port in HOST_PORTS])} for kind in LABELS
    }
    addresses = {kind: kubectl.get("pod", kind)["status"]["podIP"] for kind in LABELS}
    probes = [(address, port) for address in addresses.values() for port in POD_PORTS]
    reached = passing(kubectl, "stranger", probes)
    inside = {kind: {port for at, port in reached if at == address} for kind, address in addresses.items()}
    return {"to the world": world, "from a stranger": inside}


def test_what_must_pass_passes_and_all_else_is_dropped(node: LocalCluster, tmp_path: Path) -> None:
    kubectl = Kubectl(node.kubeconfig, NAMESPACE)
    kubectl("apply", "-f", str(CHECKOUT / "manifests/00-namespace.yaml"))
    try:
        for kind in LABELS:
            kubectl("create", "-f", "-", stdin=json.dumps(pod(kind)))
        kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=100s")
        with listening(node.host_address):
            kubectl("apply", "-f", str(CHECKOUT / "manifests/network"))
            everything = {
                "to the world": {kind: {*HOST_PORTS} for kind in LABELS},
                "from a stranger": {kind: {*POD_PORTS} for kind in LABELS},
            }
            assert table(kubectl, node.host_address) == everything, "nobody enforces them"
            with enforcing(node, tmp_path / "engine.log"):
                one_of_each = [(node.host_address, HTTPS), (node.host_address, OTHER)]
                eventually(
                    lambda: passing(kubectl, "worker", one_of_each) == {one_of_each[0]}, what="they are enforced"
                )
                assert table(kubectl, node.host_address) == {
                    "to the world": TO_THE_WORLD,
                    "from a stranger": FROM_A_STRANGER,
                }
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--timeout=60s")
