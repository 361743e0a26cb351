"""The clusters that not every machine can give: kind's, and the user's own."""

from __future__ import annotations

import os

import pytest

from devcluster import current, docker, kind
from tests.conftest import NO_CURRENT_CLUSTER, NO_DOCKER
from tests.harness.kubectl import Kubectl


@pytest.mark.timeout(900)
@pytest.mark.skipif(not docker.engine_answers(), reason=NO_DOCKER)
def test_kind_gives_a_cluster() -> None:
    name = f"tests-{os.getpid()}"
    try:
        cluster = kind.up(name, node=True)
        assert len(Kubectl(cluster.kubeconfig, "default").get("nodes")["items"]) == 1
        assert kind.find(name) == cluster
    finally:
        assert kind.down(name)
    assert kind.find(name) is None


@pytest.mark.skipif(not os.environ.get("CLUSTER_CONTEXT"), reason=NO_CURRENT_CLUSTER)
def test_the_current_cluster_is_taken_where_it_is_named() -> None:
    cluster = current.up("any", node=True)
    assert Kubectl(cluster.kubeconfig, "default")("version")
