"""The cluster of the user's own kubeconfig, only where the user has named its context on purpose.

Believes that a test or a demo must never meet somebody's production by accident: CLUSTER_CONTEXT must equal the current
context. Neither starts nor stops anything.
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
    """A cluster that is not ours."""

    name: str
    kubeconfig: Path
    server: str

    @property
    def host_address(self) -> str:
        """The address from which this machine talks to the API server, found without sending anything."""
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
        """Leaves the cluster as it is: it was there before us."""


def up(name: str, *, node: bool) -> Current:
    """Answers with the cluster of the current context, whatever `name` and `node` say.

    Raises ClusterError where CLUSTER_CONTEXT does not name that context.
    """
    del name, node
    kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    return allowed(kubeconfig, os.environ.get("CLUSTER_CONTEXT", ""))


def allowed(kubeconfig: Path, context: str) -> Current:
    """The cluster of the current context of `kubeconfig`, whose name `context` must be exactly."""
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
    cluster = next(one["context"]["cluster"] for one in config["contexts"] if one["name"] == actual)
    server = next(one["cluster"]["server"] for one in config["clusters"] if one["name"] == cluster)
    return Current(name=actual, kubeconfig=kubeconfig, server=server)


def find(name: str) -> Current | None:
    return up(name, node=False)


def down(name: str) -> bool:
    """Always False: nothing here is ours to stop."""
    del name
    return False
