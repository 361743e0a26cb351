"""What release 0.1 did under a real Argo CD. The tests of today's release say in other files what it does instead.

0.1 has neither a health check for Argo CD nor an example, so Argo CD has none, and its RegionScheduler no annotation.
"""

from __future__ import annotations

import os
import secrets
import urllib.error
import urllib.request
from functools import partial
from typing import TYPE_CHECKING

import pytest

from devcluster import start_local
from devcluster.ports import free_port
from tests.gitops.conftest import OTHER, OTHERS, PATH
from tests.harness.argocd import argocd
from tests.harness.argocd_application import Application
from tests.harness.earlier_release import FIRST, EarlierRelease
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT
from tests.harness.regions import add_regions
from tests.harness.repository import Repository
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Protocol

    from devcluster.local import LocalCluster
    from tests.harness.argocd import ArgoCd

    class RunEarlier(Protocol):
        """Runs the operator of 0.1."""

        def __call__(self, **environment: str) -> AbstractContextManager[Path]: ...


pytestmark = [pytest.mark.gitops, pytest.mark.timeout(600)]

HEALTH_CHECK = "resource.customizations.health.region-tick.dev_RegionScheduler"
FILE = f"{PATH}/regionscheduler.yaml"
SCHEDULER = """\
apiVersion: region-tick.dev/v1alpha1
kind: RegionScheduler
metadata: {{name: default, namespace: {namespace}}}
spec:
  source: {{table: region_index}}
  concurrency: 4
"""
GIT = {"BOOTSTRAP": "false"}
REGIONS = 3


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> EarlierRelease:
    """The tree of 0.1."""
    return EarlierRelease.of(FIRST, tmp_path_factory.mktemp("release") / "earlier")


@pytest.fixture(scope="module")
def cluster(earlier: EarlierRelease) -> Iterator[LocalCluster]:
    """A control plane with the resource type of 0.1."""
    with start_local(f"argocd-earlier-{os.getpid()}", node=False) as cluster:
        kubectl = Kubectl(cluster.kubeconfig, "default")
        kubectl("apply", "-f", str(earlier.folder / "crds"), "-f", str(CHECKOUT / "manifests/20-priorityclass.yaml"))
        yield cluster


@pytest.fixture(scope="module")
def argo(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoCd]:
    """Argo CD beside it, without today's health check."""
    folder = tmp_path_factory.mktemp("argo") / "cd"
    with argocd(cluster.kubeconfig, folder, {HEALTH_CHECK: None}) as argo:
        yield argo


@pytest.fixture
def kubectl(cluster: LocalCluster) -> Kubectl:
    """kubectl in a namespace of the test's own."""
    kubectl = Kubectl(cluster.kubeconfig, f"t-{secrets.token_hex(4)}")
    kubectl("create", "namespace", kubectl.namespace)
    return kubectl


@pytest.fixture
def run(earlier: EarlierRelease, kubectl: Kubectl, empty_database: str) -> RunEarlier:
    """Return a function that runs the operator of 0.1 on the test's namespace and database."""
    place = {"KUBECONFIG": str(kubectl.kubeconfig), "POD_NAMESPACE": kubectl.namespace, "DATABASE_URL": empty_database}
    return lambda **environment: earlier.run_operator(place | environment)


@pytest.fixture
def application(argo: ArgoCd, kubectl: Kubectl, tmp_path: Path) -> Iterator[Application]:
    """An Application with a RegionScheduler and something that is not ours."""
    repository = Repository(tmp_path / "repository")
    (repository.folder / PATH).mkdir(parents=True)
    (repository.folder / FILE).write_text(SCHEDULER.format(namespace=kubectl.namespace))
    (repository.folder / OTHERS).write_text(OTHER)
    repository.commit("Tick")
    application = Application.create(argo, repository, kubectl.namespace, path=PATH, namespace=kubectl.namespace)
    yield application
    application.delete(cascade=False)


def readiness(port: int) -> tuple[int, str] | None:
    """Return what the kubelet gets, or None as long as nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return None


def test_without_a_regionscheduler_it_was_never_ready_so_a_later_wave_never_came(run: RunEarlier) -> None:
    port = free_port()
    with run(**GIT, HEALTH_PORT=str(port)):
        code, text = eventually(lambda: readiness(port), what="an answer", seconds=60)
        assert (code, "no reconcile has ended yet" in text) == (503, True)


def test_pruned_it_took_all_cronjobs_and_came_back_outside_git(
    run: RunEarlier, kubectl: Kubectl, application: Application, empty_database: str
) -> None:
    with run():
        eventually(lambda: kubectl.ready().get("status") == "True", what="the first reconcile", seconds=60)
        application.will_be("Synced", "Healthy")
        add_regions(empty_database, REGIONS)
        eventually(lambda: len(kubectl.cronjobs()) == REGIONS, what="all CronJobs", seconds=60)
        (application.repository.folder / FILE).unlink()
        application.push("Take it out")
        eventually(lambda: not kubectl.scheduler() and not kubectl.cronjobs(), what="all is gone", seconds=60)
    with run():
        eventually(lambda: len(kubectl.cronjobs()) == REGIONS, what="it ticks again, outside Git", seconds=60)
        application.refresh()
        application.will_be("Synced", "Healthy")


def test_a_table_that_is_missing_was_healthy(run: RunEarlier, kubectl: Kubectl, application: Application) -> None:
    application.repository.edit(FILE, "region_index", "nowhere")
    application.will_have_synced(application.push("Read a table that does not exist"))
    with run(**GIT):
        eventually(lambda: kubectl.ready().get("status") == "False", what="it cannot be followed", seconds=60)
        application.refresh()
        application.will_be("Synced", "Healthy")


def test_a_knobs_field_stayed_when_the_knob_had_gone(run: RunEarlier, kubectl: Kubectl) -> None:
    with run(REGION_REFRESH_INTERVAL_MS="90000"):
        eventually(lambda: kubectl.ready().get("status") == "True", what="the first reconcile", seconds=60)
    port = free_port()
    with run(**GIT, HEALTH_PORT=str(port)):
        eventually(lambda: (readiness(port) or (0,))[0] == 200, what="the next process is ready", seconds=60)
    assert kubectl.scheduler()["spec"]["refreshInterval"] == "90s"


def test_its_jobs_and_pods_could_have_no_annotation(kubectl: Kubectl) -> None:
    asked = partial(kubectl, "create", "--dry-run=server", "-f", "-")
    with pytest.raises(AssertionError, match=r'unknown field "spec\.tick\.podMetadata"'):
        asked(stdin=SCHEDULER.format(namespace=kubectl.namespace) + "  tick: {podMetadata: {annotations: {a: b}}}\n")


def test_kustomize_refused_its_manifests(earlier: EarlierRelease, kubectl: Kubectl) -> None:
    manifests = earlier.folder / "manifests"
    files = ", ".join(sorted(path.name for path in manifests.glob("*.yaml")))
    (manifests / "kustomization.yaml").write_text(f"resources: [{files}]")
    assert "10-crd.yaml' is not in or below" in kubectl.fails("kustomize", str(manifests)).replace('"', "'")
