"""The interface of all kinds of clusters, for the demo and the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path


class Cluster(Protocol):
    """A running cluster."""

    @property
    def name(self) -> str: ...

    @property
    def kubeconfig(self) -> Path:
        """The path of a kubeconfig file whose current context is this cluster, with an administrator's rights."""

    @property
    def host_address(self) -> str:
        """The address at which pods reach a server that listens on the host."""

    def load_image(self, archive: Path) -> None:
        """Load the image in a docker-archive (the format of `docker save`) into the nodes. Raises ClusterError."""

    def down(self) -> None:
        """Stop the cluster and remove its leftovers."""


class Provider(Protocol):
    """Starts, finds and stops clusters. The modules local, kind and current are providers."""

    def up(self, name: str, *, node: bool) -> Cluster:
        """Start a cluster, or return the running cluster with that name. Raises ClusterError if neither is possible."""

    def find(self, name: str) -> Cluster | None:
        """Return the cluster with that name if it runs and is ready, or None."""

    def down(self, name: str) -> bool:
        """Stop a cluster and remove its leftovers, also after a crash. Return False if there was no cluster."""
