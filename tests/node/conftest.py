"""A cluster with a kubelet and the images, what a user installs on it, and a Postgres that pods reach."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from devcluster import images, start_local
from devcluster.postgres import Postgres
from region_tick.contract import VERSION
from tests.cluster.kubectl import Kubectl
from tests.cluster.operator_process import CHECKOUT
from tests.node.installation import (
    MANIFESTS,
    NAMESPACE,
    NEXT_VERSION,
    USERS_DOCKERFILE,
    USERS_IMAGE,
    create_secret,
    retagged,
    uninstall,
    wait_until_ready,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.local import LocalCluster


@pytest.fixture(scope="package")
def node() -> Iterator[LocalCluster]:
    """A cluster with a node that has both images, each also under the next version's tag, and a user's own."""
    archives = {
        name: images.build(CHECKOUT / f"Dockerfile.{name}", f"region-tick/{name}:{VERSION}")
        for name in ("operator", "tick")
    }
    with start_local(f"tests-node-{os.getpid()}", node=True) as cluster:
        for name, archive in archives.items():
            cluster.load_image(archive)
            cluster.load_image(
                retagged(archive, f"region-tick/{name}:{NEXT_VERSION}", cluster.layout.folder / f"{name}.tar")
            )
        cluster.load_image(images.build(USERS_DOCKERFILE, USERS_IMAGE, base=archives["tick"]))
        yield cluster


@pytest.fixture
def installed(node: LocalCluster) -> Iterator[Kubectl]:
    """The manifests applied to the cluster; in the end they are deleted, which has to end."""
    kubectl = Kubectl(node.kubeconfig, NAMESPACE)
    kubectl("apply", "-f", str(MANIFESTS))
    yield kubectl
    uninstall(kubectl)


@pytest.fixture
def database(node: LocalCluster) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection to a Postgres that pods reach too."""
    with Postgres.temporary() as server:
        server.start(("127.0.0.1", node.host_address))
        with psycopg.connect(server.url(), autocommit=True) as connection:
            yield connection


@pytest.fixture
def running(installed: Kubectl, database: psycopg.Connection[tuple[Any, ...]], node: LocalCluster) -> Kubectl:
    """The operator, ready."""
    create_secret(installed, database, node)
    wait_until_ready(installed)
    return installed
