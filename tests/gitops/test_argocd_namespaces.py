"""Several installations in one cluster under a real Argo CD, and Argo CD's other way to know what is its own."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.conftest import new_database
from tests.gitops.conftest import EXAMPLE, PATH
from tests.harness.argocd_application import Application
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import OperatorProcess
from tests.harness.operator_rights import install_rights, operator_kubeconfig
from tests.harness.regions import add_regions as add_regions_to
from tests.harness.repository import Repository
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devcluster.server import Server
    from tests.harness.argocd import ArgoCd
    from tests.harness.cluster import RunOperator
    from tests.harness.regions import AddRegions

pytestmark = [pytest.mark.gitops, pytest.mark.timeout(600)]

GIT = {"BOOTSTRAP": "false"}


@pytest.fixture
def second(kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a second namespace of the test's own."""
    second = Kubectl(kubectl.kubeconfig, f"t-{secrets.token_hex(4)}")
    kubectl("create", "namespace", second.namespace)
    yield second
    kubectl("delete", "namespace", second.namespace, "--wait=false")


@pytest.fixture
def second_application(argo: ArgoCd, second: Kubectl, tmp_path: Path) -> Iterator[Application]:
    """An Application that follows a second repository, into the second namespace."""
    repository = Repository(tmp_path / "second")
    repository.take(EXAMPLE)
    repository.edit(EXAMPLE, "namespace: region-tick", f"namespace: {second.namespace}")
    repository.commit("Tick")
    application = Application.create(argo, repository, second.namespace, path=PATH, namespace=second.namespace)
    yield application
    application.delete(cascade=False)


def test_two_namespaces_do_not_disturb_each_other(
    application: Application,
    second_application: Application,
    second: Kubectl,
    kubectl: Kubectl,
    run_operator: RunOperator,
    add_regions: AddRegions,
    postgres: Server,
    migrated_templates: Callable[[], str],
    tmp_path: Path,
) -> None:
    add_regions(2)
    with new_database(postgres, template=migrated_templates()) as name:
        database = postgres.url(name)
        add_regions_to(database, 3)
        install_rights(second)
        kubeconfig = operator_kubeconfig(second, tmp_path)
        place = {"KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": second.namespace, "DATABASE_URL": database}
        with run_operator(**GIT), OperatorProcess(tmp_path / "second.log", GIT | place):
            application.will_be("Synced", "Healthy")
            second_application.will_be("Synced", "Healthy")
            eventually(lambda: (len(kubectl.cronjobs()), len(second.cronjobs())) == (2, 3), what="CronJobs of both")
            second_application.delete(cascade=True)
            eventually(lambda: not second.cronjobs(), what="the second's CronJobs go", seconds=60)
            assert len(kubectl.cronjobs()) == 2
            application.refresh()
            application.will_be("Synced", "Healthy")


@pytest.fixture
def by_label(argo: ArgoCd) -> Iterator[None]:
    """Argo CD knows its own by the label app.kubernetes.io/instance, as before version 3."""
    key = "application.resourceTrackingMethod"
    argo.kubectl("patch", "configmap", "argocd-cm", "--patch", json.dumps({"data": {key: "label"}}))
    yield
    argo.kubectl("patch", "configmap", "argocd-cm", "--patch", json.dumps({"data": {key: None}}))


@pytest.mark.usefixtures("by_label")
def test_by_label_an_application_named_default_prunes_no_cronjob(
    argo: ArgoCd, repository: Repository, kubectl: Kubectl, run_operator: RunOperator, add_regions: AddRegions
) -> None:
    add_regions(3)
    application = Application.create(argo, repository, "default", path=PATH, namespace=kubectl.namespace)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        assert kubectl.scheduler()["metadata"]["labels"]["app.kubernetes.io/instance"] == "default"
        eventually(lambda: len(kubectl.cronjobs()) == 3, what="all CronJobs")
        before = {cronjob["metadata"]["uid"] for cronjob in kubectl.cronjobs().values()}
        application.repository.edit(EXAMPLE, "concurrency: 4", "concurrency: 5")
        application.will_have_synced(application.push("Run more at once"))
        application.will_be("Synced", "Healthy")
        assert {resource["kind"] for resource in application.status["resources"]} == {"ConfigMap", "RegionScheduler"}
        assert {cronjob["metadata"]["uid"] for cronjob in kubectl.cronjobs().values()} == before
    application.delete(cascade=False)
