"""Provides clusters made by kind (Kubernetes in Docker), through the widely known KindCluster of pytest-kind.

The provider uses the `kind` on PATH only. Without a path, KindCluster would download a `kind` from the internet.
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
        """The gateway of kind's Docker network: the host's address."""
        networks = _run("docker", "network", "inspect", "kind")
        return gateway(json.loads(networks))

    def load_image(self, archive: Path) -> None:
        _run(_kind(), "load", "image-archive", str(archive), "--name", self.name)

    def down(self) -> None:
        down(self.name)


def gateway(networks: list[dict[str, Any]]) -> str:
    """Return the IPv4 gateway in the output of `docker network inspect`. Raises ClusterError if there is none."""
    configurations = [configuration for network in networks for configuration in network["IPAM"]["Config"]]
    for address in (configuration.get("Gateway", "") for configuration in configurations):
        if address and ipaddress.ip_address(address).version == 4:
            return str(address)
    message = "kind's Docker network has no IPv4 gateway: stop all kind clusters and run `docker network rm kind`"
    raise ClusterError(message)


def up(name: str, *, node: bool) -> Kind:
    """Start a kind cluster. `node` is ignored, because a kind cluster always has a node."""
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
    # The import is here, because it loads pykube and requests, and the other providers need neither.
    from pytest_kind import KindCluster

    kubeconfig = _kubeconfig(name)
    kubeconfig.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return KindCluster(name, kubeconfig=kubeconfig, kind_path=Path(_kind()))


def _kubeconfig(name: str) -> Path:
    return cluster_folder(name) / "kubeconfig"


def _kind() -> str:
    path = shutil.which("kind")
    if path is None:
        message = "`kind` is not on PATH: install it (https://kind.sigs.k8s.io), or use CLUSTER=local on Linux as root"
        raise ClusterError(message)
    return path


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        message = f"`{' '.join(command)}` failed: {done.stderr.strip()}"
        raise ClusterError(message)
    return done.stdout
