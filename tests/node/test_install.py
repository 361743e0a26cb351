"""Installing, upgrading and uninstalling as a user does, under Pod Security `restricted`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from region_tick.contract import VERSION
from tests.harness.kubectl import Kubectl
from tests.harness.regions import EVERY_MINUTE, add_regions
from tests.harness.waiting import eventually
from tests.node.installation import (
    MANIFESTS,
    NAMESPACE,
    NEXT_VERSION,
    create_secret,
    database_for_pods,
    operator_pods,
    uninstall,
    wait_until_ready,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    from devcluster.local import LocalCluster
    from tests.node.installation import Installation

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def installed(installation: Installation, node: LocalCluster) -> Iterator[Kubectl]:
    """The manifests applied to a cluster without any; in the end they are deleted, which has to end."""
    installation.remove()
    kubectl = Kubectl(node.kubeconfig, NAMESPACE)
    kubectl("apply", "-f", str(MANIFESTS))
    yield kubectl
    uninstall(kubectl)


@pytest.fixture
def database(node: LocalCluster) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection to a new Postgres that pods reach too."""
    with database_for_pods(node) as connection:
        yield connection


@pytest.fixture
def running(installed: Kubectl, database: psycopg.Connection[tuple[Any, ...]], node: LocalCluster) -> Kubectl:
    """The operator, ready."""
    create_secret(installed, database, node)
    wait_until_ready(installed)
    return installed


def test_a_missing_secret_is_a_state_and_no_crash_loop(
    installed: Kubectl, database: psycopg.Connection[tuple[Any, ...]], node: LocalCluster
) -> None:
    ready = eventually(installed.ready, what="a status", seconds=90)
    assert (ready["status"], ready["reason"]) == ("False", "DatabaseNotConfigured")
    assert "kubectl create secret generic region-tick-database" in ready["message"]
    before = operator_pods(installed)
    create_secret(installed, database, node)
    eventually(lambda: installed.ready()["status"] == "True", what="the Secret's creation is enough", seconds=180)
    after = operator_pods(installed)
    assert after.keys() == before.keys()
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in after.values()] == [0, 0]


def changed_by_apply(kubectl: Kubectl, folder: Path) -> list[str]:
    """Return what `kubectl apply` changes. Of a PodDisruptionBudget kubectl always says `configured`: a patch of its
    selector replaces the selector (api/policy/v1/types.go, patchStrategy).
    """
    said = re.findall(r"(.*) (?:configured|created)$", kubectl("apply", "-f", str(folder)), re.MULTILINE)
    return [name for name in said if name != "poddisruptionbudget.policy/region-operator"]


def test_a_second_apply_changes_nothing_and_a_new_version_rolls_the_operator_alone(
    running: Kubectl, tmp_path: Path
) -> None:
    assert changed_by_apply(running, MANIFESTS) == []
    for manifest in MANIFESTS.glob("*.yaml"):
        text = manifest.read_text()
        (tmp_path / manifest.name).write_text(
            re.sub(rf"(region-tick/\w+):{re.escape(VERSION)}", rf"\1:{NEXT_VERSION}", text)
        )
    assert changed_by_apply(running, tmp_path) == ["deployment.apps/region-operator"]
    assert running.get("pdb", "region-operator")["metadata"]["generation"] == 1
    wait_until_ready(running)
    images_in_use = {pod["spec"]["containers"][0]["image"] for pod in operator_pods(running).values()}
    assert images_in_use == {f"region-tick/operator:{NEXT_VERSION}"}


def test_it_can_be_deleted_with_the_operator_killed_first(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    add_regions(database, 2, cron=EVERY_MINUTE)
    eventually(lambda: len(running.cronjobs()) == 2, what="CronJobs")
    running("scale", "deployment/region-operator", "--replicas=0")
    running("delete", "pods", "--selector", "app.kubernetes.io/component=operator", "--force", "--grace-period=0")
    uninstall(running)


def test_it_can_be_deleted_with_the_operator_alive_and_ticks_under_way(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    add_regions(database, 2, cron=EVERY_MINUTE)
    eventually(lambda: running.get("jobs")["items"], what="a Job", seconds=90)
    uninstall(running)


def test_the_manifests_name_the_release() -> None:
    documents = [item for path in MANIFESTS.glob("*.yaml") for item in yaml.safe_load_all(path.read_text())]
    [deployment] = [document for document in documents if document["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    tick_image = next(item["value"] for item in container["env"] if item["name"] == "TICK_IMAGE")
    assert (container["image"], tick_image) == (f"region-tick/operator:{VERSION}", f"region-tick/tick:{VERSION}")
