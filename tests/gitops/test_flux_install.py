"""manifests/gitops/flux as a person applies it: from an empty cluster to ticks, and on to other releases."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import VERSION
from tests.gitops.flux_site import KUSTOMIZATIONS, NAME, SHIPPED, FluxSite
from tests.harness.flux import NAMESPACE, files_below, flux
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT
from tests.harness.regions import EVERY_MINUTE, add_regions
from tests.harness.waiting import eventually
from tests.node import installation
from tests.node.installation import NEXT_VERSION, create_secret, database_for_pods, operator_pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from devcluster.local import LocalCluster
    from tests.harness.registry import Registry

pytestmark = [pytest.mark.gitops, pytest.mark.node, pytest.mark.timeout(900)]

NO_VERSION = "0.0.0-none"
SOON = {"spec": {"timeout": "30s", "retryInterval": "5s"}}


@pytest.fixture(scope="module")
def ours(node: LocalCluster) -> Iterator[Kubectl]:
    """kubectl in the namespace of the installation, which is not there before and not afterwards."""
    kubectl = Kubectl(node.kubeconfig, installation.NAMESPACE)
    if installation.is_installed(kubectl):
        installation.uninstall(kubectl)
    yield kubectl
    installation.uninstall(kubectl)


@pytest.fixture(scope="module")
def connection(node: LocalCluster) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a Postgres that pods reach too."""
    with database_for_pods(node) as connection:
        yield connection


@pytest.fixture(scope="module")
def site(
    ours: Kubectl, node: LocalCluster, oci_registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FluxSite]:
    """Flux beside the node, and a source in Flux' own namespace."""
    assert not ours.get("crd", "--selector=app.kubernetes.io/name=region-tick")["items"]
    with flux(node, tmp_path_factory.mktemp("flux")):
        yield FluxSite(Kubectl(node.kubeconfig, NAMESPACE), oci_registry)


def release(version: str = VERSION) -> dict[str, bytes]:
    """Return the files of a release, whose images are on the node."""
    pattern, named = rb"(region-tick/\w+):" + re.escape(VERSION).encode(), rb"\g<1>:" + version.encode()
    files = files_below(CHECKOUT, "crds", "manifests", "examples")
    files["examples/gitops/Kustomization"] = files["examples/gitops/Kustomization"].replace(
        b"registry.example.com/", b""
    )
    return {path: re.sub(pattern, named, content) for path, content in files.items()}


def wait_until_ready(site: FluxSite, digest: str, *, seconds: float) -> None:
    """Wait until Flux is ready with an artifact, however often Flux tries before."""

    def is_ready() -> bool:
        return bool(site.outcome(digest, seconds=seconds)["status"] == "True")

    eventually(is_ready, what=f"Flux is ready with {digest}", seconds=seconds)


def versions(ours: Kubectl) -> set[str]:
    """Return the images of the operator's pods that are ready."""
    return {
        pod["spec"]["containers"][0]["image"]
        for pod in operator_pods(ours).values()
        if all(container["ready"] for container in pod["status"].get("containerStatuses", [{"ready": False}]))
    }


def succeeded(connection: psycopg.Connection[Any]) -> int:
    [(count,)] = connection.execute("SELECT count(*) FROM region_tick.job_run WHERE state = 'succeeded'").fetchall()
    return int(count)


def test_from_an_empty_cluster_to_ticks_with_a_secret_that_comes_late(
    site: FluxSite, ours: Kubectl, node: LocalCluster, connection: psycopg.Connection[Any]
) -> None:
    digest = site.release(release())
    site.kubectl("apply", "-f", str(SHIPPED / "region-tick.yaml"))
    ready = site.outcome(digest, seconds=200)
    assert (ready["status"], ready["reason"]) == ("False", "HealthCheckFailed")
    assert "RegionScheduler/region-tick/default status: 'Failed'" in ready["message"]
    assert ours.ready()["reason"] == "DatabaseNotConfigured"

    create_secret(ours, connection, node)
    wait_until_ready(site, digest, seconds=240)
    add_regions(connection, 2, cron=EVERY_MINUTE)
    eventually(lambda: succeeded(connection) >= 2, what="ticks", seconds=150)


def test_an_upgrade_and_a_release_that_cannot_start_and_the_way_back(
    site: FluxSite, ours: Kubectl, connection: psycopg.Connection[Any]
) -> None:
    site.kubectl("patch", KUSTOMIZATIONS, NAME, "--type=merge", "-p", json.dumps(SOON))
    wait_until_ready(site, site.release(release(NEXT_VERSION)), seconds=200)
    assert versions(ours) == {f"region-tick/operator:{NEXT_VERSION}"}

    ready = site.outcome(site.release(release(NO_VERSION)), seconds=120)
    assert (ready["status"], ready["reason"]) == ("False", "HealthCheckFailed")
    assert "Deployment/region-tick/region-operator status: 'InProgress'" in ready["message"]
    assert versions(ours) == {f"region-tick/operator:{NEXT_VERSION}"}
    before = succeeded(connection)
    eventually(lambda: succeeded(connection) > before, what="ticks go on", seconds=90)

    wait_until_ready(site, site.release(release()), seconds=200)
    assert versions(ours) == {f"region-tick/operator:{VERSION}"}


def test_what_is_taken_out_of_flux_ticks_on_without_the_operator(
    site: FluxSite, ours: Kubectl, connection: psycopg.Connection[Any]
) -> None:
    uid, cronjobs = ours.scheduler()["metadata"]["uid"], len(ours.cronjobs())
    site.kubectl("delete", KUSTOMIZATIONS, NAME, "--timeout=60s")
    eventually(lambda: not operator_pods(ours), what="the operator goes", seconds=60)
    assert (ours.scheduler()["metadata"]["uid"], len(ours.cronjobs())) == (uid, cronjobs)
    before = succeeded(connection)
    eventually(lambda: succeeded(connection) >= before + cronjobs, what="ticks go on", seconds=150)
