"""Chooses the cluster's provider: by the variable CLUSTER, or the first provider that works on this machine."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from typing import TYPE_CHECKING

from devcluster import current, docker, kind, local
from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devcluster.cluster import Provider


class Kind(StrEnum):
    """The values of the variable CLUSTER."""

    CURRENT = "current"
    KIND = "kind"
    LOCAL = "local"


def choose(environ: Mapping[str, str]) -> Provider:
    """Return the provider that CLUSTER names.

    Without CLUSTER, return kind if Docker and kind are installed, and otherwise local on Linux. Raises ClusterError for
    any other value of CLUSTER, or if no provider works on this machine.
    """
    match environ.get("CLUSTER", ""):
        case Kind.CURRENT:
            return current
        case Kind.KIND:
            return kind
        case Kind.LOCAL:
            return local
        case "":
            return _first_possible()
        case other:
            message = f"CLUSTER={other!r} is unknown: use one of {', '.join(Kind)}, or leave it unset"
            raise ClusterError(message)


def _first_possible() -> Provider:
    if docker.engine_answers() and shutil.which("kind"):
        return kind
    if sys.platform == "linux":
        return local
    message = (
        "no cluster is possible here: start a Docker engine and install `kind`, or run on Linux, "
        "or name a cluster of your own with CLUSTER=current and CLUSTER_CONTEXT"
    )
    raise ClusterError(message)
