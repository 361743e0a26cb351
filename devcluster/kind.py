"""Clusters made by kind (Kubernetes in Docker), by way of pytest-kind's KindCluster, whose names its users know.

Believes in the `kind` on PATH and in no other: KindCluster would download one from the internet.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster import progress
from devcluster.errors import ClusterError
from devcluster.state import cluster_folder

_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Kind:
    """A running kind cluster."""

    name: str
    kubeconfig: Path

    @property
    def host_address(self) -> str:
        """The gateway of kind's Docker network, which is the host."""
        said = _run("docker", "network", "inspect", "kind")
        return gateway(json.loads(said))

    def load_image(self, archive: Path) -> None:
        _run(_kind(), "load", "image-archive", str(archive), "--name", self.name)

    def down(self) -> None:
        down(self.name)


def gateway(networks: list[dict[str, Any]]) -> str:
    """The IPv4 gateway in what `docker network inspect` says; raises ClusterError where there is none."""
    configurations = [one for network in networks for one in network["IPAM"]["Config"]]
    for gate in (one.get("Gateway", "") for one in configurations):
        if gate and ipaddress.ip_address(gate).version == 4:
            return str(gate)
    message = "kind's Docker network has no IPv4 gateway: stop all kind clusters and run `docker network rm kind`"
    raise ClusterError(message)


def up(name: str, *, node: bool) -> Kind:
    """A kind cluster always has a node, so it serves those who need none too."""
    del node
    with progress.step(f"starting kind cluster {name}"):
        _kind_cluster(name).create()
    return Kind(name, _kubeconfig(name))


def find(name: str) -> Kind | None:
    return Kind(name, _kubeconfig(name)) if name in _run(_kind(), "get", "clusters").split() else None


def down(name: str) -> bool:
    existed = find(name) is not None
    if existed:
        _kind_cluster(name).delete()
    shutil.rmtree(cluster_folder(name), ignore_errors=True)
    return existed


def _kind_cluster(name: str) -> Any:
    # Here, as it loads pykube and requests, which the other providers do without.
    from pytest_kind import KindCluster

    kubeconfig = _kubeconfig(name)
    kubeconfig.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return KindCluster(name, kubeconfig=kubeconfig, kind_path=Path(_kind()))


def _kubeconfig(name: str) -> Path:
    return cluster_folder(name) / "kubeconfig"


def _kind() -> str:
    found = shutil.which("kind")
    if found is None:
        message = "`kind` is not on PATH: install it (https://kind.sigs.k8s.io), or use CLUSTER=local on Linux as root"
        raise ClusterError(message)
    return found


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        message = f"`{' '.join(command)}` failed: {done.stderr.strip()}"
        raise ClusterError(message)
    return done.stdout
