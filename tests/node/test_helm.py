"""The chart on a node: installed by one command, under Pod Security `restricted`, it ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.helm import CHART, RELEASE, Helm
from tests.harness.kubectl import Kubectl
from tests.harness.regions import EVERY_MINUTE, add_regions
from tests.harness.waiting import eventually
from tests.node.installation import NAMESPACE, empty, pod_url, uninstall, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    from devcluster.local import LocalCluster
    from tests.node.installation import Installation

pytestmark = [pytest.mark.gitops, pytest.mark.timeout(900)]


@pytest.fixture
def namespace(installation: Installation, node: LocalCluster) -> Iterator[Kubectl]:
    """A namespace that takes no pods but `restricted` ones, in a cluster without anything of ours."""
    installation.remove()
    kubectl = Kubectl(node.kubeconfig, NAMESPACE)
    kubectl("create", "namespace", NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    yield kubectl
    uninstall(kubectl)


def test_one_command_installs_what_ticks_and_ticks_outlive_the_release(
    namespace: Kubectl, node: LocalCluster, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    empty(database)
    helm = Helm(tmp_path, NAMESPACE, node.kubeconfig)
    options = (f"--set=database.url={pod_url(database, node)}", "--set=networkPolicies.enabled=true")
    helm("install", RELEASE, str(CHART), *options, "--wait", "--timeout=150s")
    wait_until_ready(namespace)
    add_regions(database, 1, cron=EVERY_MINUTE)
    eventually(lambda: succeeded(database), what="a tick has succeeded", seconds=150)

    helm("uninstall", RELEASE, "--wait")
    assert namespace.get("deployments")["items"] == []
    before = succeeded(database)
    assert namespace.cronjobs().keys() == {"R1"}
    eventually(lambda: succeeded(database) > before, what="a tick without an operator", seconds=150)


def succeeded(database: psycopg.Connection[Any]) -> int:
    [(count,)] = database.execute("SELECT count(*) FROM region_tick.job_run WHERE state = 'succeeded'").fetchall()
    return int(count)
