"""What a demo or a test may ask of a cluster, whichever it is."""

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
        """A file whose current context is this cluster, with an administrator's rights."""

    @property
    def host_address(self) -> str:
        """Where pods reach a server that listens on the host."""

    def load_image(self, archive: Path) -> None:
        """Gives the nodes the image in a docker-archive (the format of `docker save`); raises ClusterError where that
        fails.
        """

    def down(self) -> None:
        """Stops the cluster and removes what is left of it."""


class Provider(Protocol):
    """Somebody who has clusters. The modules local, kind and current are such."""

    def up(self, name: str, *, node: bool) -> Cluster:
        """Starts the cluster or answers with the running one of that name; raises ClusterError where neither can be."""

    def find(self, name: str) -> Cluster | None:
        """The cluster where it runs and is ready."""

    def down(self, name: str) -> bool:
        """Stops the cluster and removes what is left of it, also after a crash; False where there was none."""
