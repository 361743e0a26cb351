"""Provides the cluster of the user's own kubeconfig, if the user allows the cluster explicitly.

A test or a demo must never write to a production cluster by accident. CLUSTER_CONTEXT must therefore equal the
kubeconfig's current context. This module starts and stops nothing.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from devcluster.errors import ClusterError


@dataclass(frozen=True, slots=True)
class Current:
    """A cluster that devcluster neither started nor stops."""

    name: str
    kubeconfig: Path
    server: str

    @property
    def host_address(self) -> str:
        """The address from which this machine connects to the API server. No packet is sent to find the address."""
        url = urlsplit(self.server)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((url.hostname, url.port or 443))
            return str(probe.getsockname()[0])

    def load_image(self, archive: Path) -> None:
        message = (
            f"cannot load {archive.name} into {self.name}: push the image to a registry that this cluster pulls from"
        )
        raise ClusterError(message)

    def down(self) -> None:
        """Do nothing: the cluster was there before."""


def up(name: str, *, node: bool) -> Current:
    """Return the cluster of the current context. `name` and `node` are ignored.

    Raises ClusterError if CLUSTER_CONTEXT does not name the current context.
    """
    del name, node
    kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    return allowed(kubeconfig, os.environ.get("CLUSTER_CONTEXT", ""))


def allowed(kubeconfig: Path, context: str) -> Current:
    """Return the cluster of the kubeconfig's current context.

    Raises ClusterError if `context` is not exactly the current context's name.
    """
    if not kubeconfig.is_file():
        message = f"CLUSTER=current: there is no kubeconfig file {kubeconfig}; set KUBECONFIG to one file"
        raise ClusterError(message)
    config = yaml.safe_load(kubeconfig.read_text()) or {}
    actual = config.get("current-context")
    if not actual or context != actual:
        message = (
            f"CLUSTER=current: the current context of {kubeconfig} is {actual!r}, "
            f"but CLUSTER_CONTEXT allows {context!r}; "
            f"if that cluster may be written to, say so with CLUSTER_CONTEXT={actual}"
        )
        raise ClusterError(message)
    cluster = next(entry["context"]["cluster"] for entry in config["contexts"] if entry["name"] == actual)
    server = next(entry["cluster"]["server"] for entry in config["clusters"] if entry["name"] == cluster)
    return Current(name=actual, kubeconfig=kubeconfig, server=server)


def find(name: str) -> Current | None:
    return up(name, node=False)


def down(name: str) -> bool:
    """Return False: this provider never stops a cluster."""
    del name
    return False
