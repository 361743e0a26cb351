"""The whole installation in Git under a real Argo CD, on a real node: every order, upgrades, the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from region_tick.contract import VERSION
from tests.gitops.conftest import EXAMPLE, PATH
from tests.harness.argocd import argocd
from tests.harness.argocd_application import Application
from tests.harness.kubectl import Kubectl
from tests.harness.regions import EVERY_MINUTE, add_regions
from tests.harness.repository import Repository
from tests.harness.waiting import eventually
from tests.node.installation import (
    NAMESPACE,
    NEXT_VERSION,
    completed_jobs,
    create_secret,
    database_for_pods,
    is_installed,
    operator_pods,
    uninstall,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    from devcluster.local import LocalCluster
    from tests.harness.argocd import ArgoCd

pytestmark = [pytest.mark.gitops, pytest.mark.node, pytest.mark.timeout(900)]

DEPLOYMENT = "manifests/namespaced/deployment.yaml"
MINUTES = 300.0
KIND = "RegionScheduler"


@pytest.fixture(scope="module")
def argo(node: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoCd]:
    """Argo CD beside the node."""
    with argocd(node.kubeconfig, tmp_path_factory.mktemp("argo") / "cd") as argo:
        yield argo


@pytest.fixture
def kubectl(node: LocalCluster) -> Iterator[Kubectl]:
    """kubectl in the namespace of the installation, of which nothing is left in the end."""
    kubectl = Kubectl(node.kubeconfig, NAMESPACE)
    yield kubectl
    uninstall(kubectl)


@pytest.fixture
def database(node: LocalCluster) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection to a new Postgres that pods reach too."""
    with database_for_pods(node) as connection:
        yield connection


@pytest.fixture
def secret(kubectl: Kubectl, database: psycopg.Connection[tuple[Any, ...]], node: LocalCluster) -> None:
    """The Secret with the database's URL, which stands before Argo CD comes, in a namespace of its own."""
    kubectl("create", "namespace", NAMESPACE)
    create_secret(kubectl, database, node)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with everything: the operator, and its RegionScheduler. The images are on the node."""
    repository = Repository(tmp_path / "repository")
    repository.take("manifests", "crds", PATH)
    repository.edit(f"{PATH}/Kustomization", "registry.example.com/", "")
    repository.commit("Install")
    return repository


class Follow(Protocol):
    """Creates an Application that follows the repository."""

    def __call__(self, name: str = "region-tick", *, path: str = PATH) -> Application: ...


@pytest.fixture
def follow(argo: ArgoCd, repository: Repository, kubectl: Kubectl) -> Iterator[Follow]:
    """Create Applications, which end before what they have installed is taken away."""
    made = []

    def create(name: str = "region-tick", *, path: str = PATH) -> Application:
        made.append(Application.create(argo, repository, name, path=path, namespace=kubectl.namespace))
        return made[-1]

    yield create
    for application in made:
        application.delete(cascade=False)


def ticks(kubectl: Kubectl, database: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Add a region, and see that it ticks in a pod."""
    add_regions(database, 1, cron=EVERY_MINUTE)
    eventually(lambda: completed_jobs(kubectl), what="a tick", seconds=120)


def images(kubectl: Kubectl) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in operator_pods(kubectl).values()}


@pytest.mark.usefixtures("secret")
def test_git_installs_all_and_mends_it_and_deleting_the_application_leaves_the_resource_type(
    follow: Follow, kubectl: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    application = follow()
    application.will_be("Synced", "Healthy", seconds=MINUTES)
    assert application.health_of(KIND)[0] == "Healthy"
    assert "argocd.argoproj.io/sync-options" in kubectl.scheduler()["metadata"]["annotations"], "it is Git's"
    point_to_no_table(application)
    application.will_be("Synced", "Healthy")
    ticks(kubectl, database)
    application.will_be("Synced", "Healthy")
    application.delete(cascade=True)
    eventually(lambda: not is_installed(kubectl), what="its namespace has gone", seconds=90)
    assert kubectl.get("crd", "regionschedulers.region-tick.dev"), (
        "Argo CD deletes no resource type with an Application"
    )


def test_a_secret_that_comes_last_is_found(
    follow: Follow,
    kubectl: Kubectl,
    database: psycopg.Connection[tuple[Any, ...]],
    node: LocalCluster,
) -> None:
    application = follow()
    application.will_be("Synced", "Degraded", seconds=MINUTES)
    assert application.health_of(KIND)[1].startswith("DatabaseNotConfigured: ")
    create_secret(kubectl, database, node)
    application.will_be("Synced", "Healthy", seconds=MINUTES)


def point_to_no_table(application: Application) -> None:
    """Have Git name a table that does not exist, and wait until the operator is not ready any more."""
    application.repository.edit(EXAMPLE, "table: region_index", "table: nowhere")
    application.push("Read a table that does not exist")
    application.will_be("Synced", "Degraded")
    eventually(lambda: application.health_of("Deployment")[0] == "Progressing", what="it is not ready", seconds=90)
    application.repository.revert()
    application.refresh()


@pytest.mark.usefixtures("secret")
def test_a_regionscheduler_of_a_later_wave_is_applied_but_not_mended(
    follow: Follow, repository: Repository, kubectl: Kubectl
) -> None:
    prune = "    kustomize.toolkit.fluxcd.io/prune: disabled\n"
    repository.edit(EXAMPLE, prune, f'{prune}    argocd.argoproj.io/sync-wave: "1"\n')
    repository.commit("Wait for the operator")
    application = follow()
    application.will_be("Synced", "Healthy", seconds=MINUTES)
    point_to_no_table(application)

    def waits() -> bool:
        message: str = application.status.get("operationState", {}).get("message", "")
        return message == "waiting for healthy state of apps/Deployment/region-operator"

    eventually(waits, what="the mend waits for an operator that waits for the mend", seconds=60)
    kubectl("patch", "rsched", "default", "--type=merge", "--patch", '{"spec": {"source": {"table": "region_index"}}}')
    application.will_be("Synced", "Healthy")


@pytest.mark.usefixtures("secret")
def test_with_bootstrap_the_operator_makes_what_git_does_not_have(follow: Follow, kubectl: Kubectl) -> None:
    application = follow(path="manifests")
    application.will_be("Synced", "Healthy", seconds=MINUTES)
    eventually(lambda: kubectl.ready().get("status") == "True", what="RegionScheduler default")
    application.will_be("Synced", "Healthy")


@pytest.mark.usefixtures("secret")
def test_a_regionscheduler_that_comes_before_its_resource_type_is_applied_later(
    follow: Follow, repository: Repository, kubectl: Kubectl
) -> None:
    (repository.folder / "schedulers").mkdir()
    (repository.folder / EXAMPLE).rename(repository.folder / "schedulers/default.yaml")
    repository.edit(f"{PATH}/Kustomization", ", regionscheduler.yaml", "")
    repository.commit("Have the RegionScheduler in an Application of its own")
    scheduler = follow("schedulers", path="schedulers")
    eventually(
        lambda: scheduler.status.get("operationState", {}).get("retryCount", 0) >= 1, what="a sync fails", seconds=60
    )
    operator = follow()
    operator.will_be("Synced", "Healthy", seconds=MINUTES)
    scheduler.will_be("Synced", "Healthy", seconds=MINUTES)
    assert kubectl.ready()["status"] == "True"


@pytest.mark.usefixtures("secret")
def test_upgrade_broken_release_and_rollback_by_git(
    follow: Follow, repository: Repository, kubectl: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    application = follow()
    application.will_be("Synced", "Healthy", seconds=MINUTES)
    repository.edit(DEPLOYMENT, f"region-tick/operator:{VERSION}", f"region-tick/operator:{NEXT_VERSION}")
    application.will_have_synced(application.push("Upgrade"))
    eventually(lambda: images(kubectl) == {f"region-tick/operator:{NEXT_VERSION}"}, what="new pods", seconds=120)
    application.will_be("Synced", "Healthy")

    repository.edit(DEPLOYMENT, "args: [run]", "args: [no-such-command]")
    application.will_have_synced(application.push("Break"))
    eventually(lambda: crashes(kubectl), what="the broken release crashes", seconds=120)
    application.refresh()
    eventually(lambda: application.health != "Healthy", what="it shows", seconds=60)
    ticks(kubectl, database)
    assert application.health in ("Progressing", "Degraded")

    repository.revert()
    application.refresh()
    application.will_be("Synced", "Healthy")
    repository.edit(DEPLOYMENT, f"region-tick/operator:{NEXT_VERSION}", f"region-tick/operator:{VERSION}")
    application.will_have_synced(application.push("Go back"))
    eventually(lambda: images(kubectl) == {f"region-tick/operator:{VERSION}"}, what="old pods", seconds=120)
    application.will_be("Synced", "Healthy")


def crashes(kubectl: Kubectl) -> bool:
    """Return whether a pod of the operator ends again and again."""
    statuses = [pod["status"].get("containerStatuses", [{}])[0] for pod in operator_pods(kubectl).values()]
    return any(status.get("restartCount", 0) >= 1 for status in statuses)
