"""A RegionScheduler, or what all ticks need, leaves Git, under a real Argo CD that prunes: what stays, and how back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.gitops.conftest import EXAMPLE, OTHER, OTHERS, PATH
from tests.harness.argocd_application import Application
from tests.harness.repository import Repository
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.argocd import ArgoCd
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

pytestmark = [pytest.mark.gitops, pytest.mark.timeout(600)]

GIT = {"BOOTSTRAP": "false"}
GUARD = "    argocd.argoproj.io/sync-options: Prune=false\n"
KUSTOMIZATION = f"{PATH}/Kustomization"
REGIONS = 3


@pytest.fixture
def orphaning(repository: Repository) -> Repository:
    """The repository, in whose RegionScheduler nothing holds back Argo CD, but its deletionPolicy is Orphan."""
    repository.edit(EXAMPLE, GUARD, "")
    repository.edit(EXAMPLE, "concurrency: 4", "concurrency: 4\n  deletionPolicy: Orphan")
    repository.commit("Orphan")
    return repository


@pytest.fixture
def whole(argo: ArgoCd, kubectl: Kubectl, tmp_path: Path) -> Iterator[Application]:
    """An Application of the whole example, in the test's namespace. There is no node, so no pod is wanted."""
    repository = Repository(tmp_path / "whole")
    repository.take("crds", "manifests", PATH)
    (repository.folder / OTHERS).write_text(OTHER)
    repository.edit(KUSTOMIZATION, "patches:", f"namespace: {kubectl.namespace}\npatches:")
    repository.edit(KUSTOMIZATION, "- {op: add,", "- {op: replace, path: /spec/replicas, value: 0}\n      - {op: add,")
    repository.commit("Install")
    application = Application.create(argo, repository, kubectl.namespace, path=PATH, namespace=kubectl.namespace)
    yield application
    application.delete(cascade=False)


def uid(kubectl: Kubectl) -> str:
    return str(kubectl.scheduler().get("metadata", {}).get("uid", ""))


def children(kubectl: Kubectl) -> set[str]:
    """Return the uids of the CronJobs and of the quota."""
    items = [*kubectl.cronjobs().values(), kubectl.get("resourcequota", "region-tick")]
    return {item["metadata"]["uid"] for item in items}


def needed(kubectl: Kubectl) -> set[str]:
    """Return the uids of what all CronJobs need, and of the RegionScheduler, without what is being deleted."""
    shared = ("crd", "regionschedulers.region-tick.dev"), ("priorityclass", "region-tick")
    items = [kubectl.get(kind, name) for kind, name in (*shared, ("namespace", kubectl.namespace))]
    metas = [item["metadata"] for item in (*items, kubectl.scheduler())]
    return {meta["uid"] for meta in metas if "deletionTimestamp" not in meta}


def follows_the_table(kubectl: Kubectl, database: str) -> None:
    """Edit a row, and see that its CronJob is the RegionScheduler's."""
    schedule = "30 4 1 1 *"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE region_index SET cron_schedule = %s WHERE code = 'R1'", (schedule,))
    eventually(lambda: kubectl.cronjobs()["R1"]["spec"]["schedule"] == schedule, what="R1 follows its row", seconds=60)


def test_with_the_annotation_of_the_example_it_stays_and_later_commits_arrive(
    application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(REGIONS)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        before = uid(kubectl), children(kubectl)
        (application.repository.folder / EXAMPLE).unlink()
        application.will_have_synced(application.push("Take it out"))
        application.will_be("OutOfSync", "Healthy")
        application.repository.edit(OTHERS, "first", "second")
        application.will_have_synced(application.push("Edit something else"))
        assert kubectl.get("configmap", "others")["data"] == {"edition": "second"}
        assert (uid(kubectl), children(kubectl)) == before
        application.repository.take(EXAMPLE)
        application.repository.edit(EXAMPLE, "namespace: region-tick", f"namespace: {kubectl.namespace}")
        application.push("Bring it back")
        application.will_be("Synced", "Healthy")
        assert (uid(kubectl), children(kubectl)) == before


@pytest.mark.usefixtures("orphaning")
def test_pruned_with_orphan_the_cronjobs_stay_and_are_adopted_and_bootstrap_makes_none(
    application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions, database: str
) -> None:
    add_regions(REGIONS)
    with run_operator(BOOTSTRAP="true"):
        application.will_be("Synced", "Healthy")
        eventually(lambda: len(kubectl.cronjobs()) == REGIONS, what="all CronJobs")
        before = children(kubectl)
        (application.repository.folder / EXAMPLE).unlink()
        application.push("Take it out")
        eventually(lambda: not uid(kubectl), what="the RegionScheduler is pruned", seconds=60)
        application.will_be("Synced", "Healthy")
    with run_operator(BOOTSTRAP="true") as restarted:
        eventually(lambda: restarted.get("/readyz")[0] == 503, what="its absence is a fault")
        eventually(lambda: "RegionScheduler" in restarted.get("/readyz")[1], what="it says so")
        assert not uid(kubectl), "what Git has removed is not made outside Git"
        assert children(kubectl) == before
        application.repository.revert()
        application.refresh()
        application.will_be("Synced", "Healthy")
        follows_the_table(kubectl, database)
        assert children(kubectl) == before


@pytest.mark.usefixtures("orphaning")
def test_replaced_by_force_at_every_sync_the_cronjobs_stay(
    application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions, database: str
) -> None:
    add_regions(REGIONS)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        eventually(lambda: len(kubectl.cronjobs()) == REGIONS, what="all CronJobs")
        first, before = uid(kubectl), children(kubectl)
        flux = "    kustomize.toolkit.fluxcd.io/prune: disabled\n"
        application.repository.edit(
            EXAMPLE, flux, f"{flux}    argocd.argoproj.io/sync-options: Force=true,Replace=true\n"
        )
        application.repository.edit(EXAMPLE, "concurrency: 4", "concurrency: 5")
        application.will_have_synced(application.push("Replace it"))
        application.will_be("Synced", "Healthy")
        assert uid(kubectl) != first
        follows_the_table(kubectl, database)
        assert children(kubectl) == before


def test_without_guard_and_policy_it_goes_with_its_cronjobs(
    repository: Repository,
    request: pytest.FixtureRequest,
    run_operator: RunOperator,
    kubectl: Kubectl,
    add_regions: AddRegions,
) -> None:
    repository.edit(EXAMPLE, GUARD, "")
    repository.commit("Do not hold back Argo CD")
    application: Application = request.getfixturevalue("application")
    add_regions(REGIONS)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        eventually(lambda: len(kubectl.cronjobs()) == REGIONS, what="all CronJobs")
        (application.repository.folder / EXAMPLE).unlink()
        application.push("Take it out")
        eventually(lambda: not kubectl.cronjobs(), what="all CronJobs go", seconds=60)


def test_an_application_that_is_deleted_with_its_resources_takes_it_all(
    application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(REGIONS)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        eventually(lambda: len(kubectl.cronjobs()) == REGIONS, what="all CronJobs")
        application.delete(cascade=True)
        assert not uid(kubectl)
        eventually(lambda: not kubectl.cronjobs(), what="all CronJobs go", seconds=60)


def test_with_delete_false_it_outlives_its_application(
    whole: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    for file in (EXAMPLE, KUSTOMIZATION):
        whole.repository.edit(file, "Prune=false", "Prune=false,Delete=false")
    whole.push("Outlive the Application")
    add_regions(REGIONS)
    with run_operator(**GIT):
        whole.will_be("Synced", "Healthy")
        eventually(lambda: len(kubectl.cronjobs()) == REGIONS, what="all CronJobs")
        before = needed(kubectl), children(kubectl)
        whole.delete(cascade=True)
        assert kubectl.fails("get", "deployment", "region-operator"), "the rest has gone"
        assert (needed(kubectl), children(kubectl)) == before


def test_with_prune_confirm_later_commits_wait_until_a_person_confirms(
    orphaning: Repository, application: Application, run_operator: RunOperator, kubectl: Kubectl
) -> None:
    flux = "    kustomize.toolkit.fluxcd.io/prune: disabled\n"
    orphaning.edit(EXAMPLE, flux, f"{flux}    argocd.argoproj.io/sync-options: Prune=confirm\n")
    application.push("Ask before")
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        before = uid(kubectl)
        (orphaning.folder / EXAMPLE).unlink()
        application.push("Take it out")
        eventually(lambda: application.operation == "Running", what="the sync waits", seconds=60)
        orphaning.edit(OTHERS, "first", "second")
        later = application.push("Edit something else")
        eventually(lambda: application.status["sync"]["revision"] == later, what="Argo CD has seen it", seconds=60)
        assert application.operation == "Running"
        assert kubectl.get("configmap", "others")["data"] == {"edition": "first"}
        assert uid(kubectl) == before
        application.confirm()
        eventually(lambda: not uid(kubectl), what="it is pruned", seconds=60)
        application.will_have_synced(later)


@pytest.mark.parametrize("left", ["../../manifests/namespaced, regionscheduler.yaml", "others.yaml"])
def test_what_all_ticks_need_stays_when_it_leaves_git(
    left: str, whole: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(REGIONS)
    with run_operator(**GIT):
        whole.will_be("Synced", "Healthy")
        eventually(lambda: len(kubectl.cronjobs()) == REGIONS, what="all CronJobs")
        before = needed(kubectl), children(kubectl)
        whole.repository.edit(KUSTOMIZATION, "../../manifests, regionscheduler.yaml", left)
        whole.will_have_synced(whole.push("Take it out"))
        assert (needed(kubectl), children(kubectl)) == before
        eventually(lambda: whole.sync == "OutOfSync", what="Argo CD shows what it does not prune", seconds=60)
