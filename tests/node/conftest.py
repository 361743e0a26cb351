"""A cluster with a kubelet and the images, what a user installs on it, and a Postgres that pods reach."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import images, start_local
from devcluster.postgres import Postgres
from region_tick.contract import VERSION
from tests.harness.operator_process import CHECKOUT
from tests.node.installation import (
    NEXT_VERSION,
    USERS_DOCKERFILE,
    USERS_IMAGE,
    Installation,
    connect,
    console_of,
    listen_for_pods,
    retagged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from devcluster.local import LocalCluster
    from tests.harness.kubectl import Kubectl


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


@pytest.fixture(scope="package")
def server(node: LocalCluster) -> Iterator[Postgres]:
    """The Postgres of the shared installation. A test that stops it starts it again."""
    with Postgres.temporary() as server:
        listen_for_pods(server, node)
        yield server


@pytest.fixture(scope="package")
def installation(node: LocalCluster, server: Postgres) -> Installation:
    """The one that tests share which do not install themselves; it comes with the first of them and ends with the
    cluster, or before a test that installs.
    """
    return Installation(node, server)


@pytest.fixture
def running(installation: Installation) -> Kubectl:
    """The operator, ready, with a RegionScheduler that is as new and no regions."""
    installation.renew()
    return installation.kubectl


@pytest.fixture
def database(server: Postgres) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection to a Postgres that pods reach too."""
    with connect(server) as connection:
        yield connection


@pytest.fixture
def console(running: Kubectl, database: psycopg.Connection[tuple[Any, ...]], node: LocalCluster) -> Iterator[Kubectl]:
    """The operator and the console, both ready."""
    with console_of(running, database, node):
        yield running
