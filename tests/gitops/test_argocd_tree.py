"""Two ways to keep an Application's tree small under a real Argo CD, and what Argo CD still sees and does with each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.gitops.conftest import EXAMPLE, OTHERS
from tests.harness.argocd import documented_exclusions, excluding
from tests.harness.argocd_tree import read_tree
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.argocd import ArgoCd
    from tests.harness.argocd_application import Application
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

pytestmark = [pytest.mark.gitops, pytest.mark.timeout(600)]

GIT = {"BOOTSTRAP": "false"}
REGIONS = 3
OF_GIT = {"RegionScheduler", "ConfigMap"}


def have_a_job(kubectl: Kubectl) -> None:
    """Start a tick by hand. Its Job stands, because there is no node."""
    eventually(lambda: len(kubectl.cronjobs()) == REGIONS, what="all CronJobs")
    kubectl("create", "job", "by-hand", f"--from=cronjob/{kubectl.cronjobs()['R1']['metadata']['name']}")


def sees(argo: ArgoCd, application: Application, kinds: set[str]) -> None:
    """Wait until the tree has these kinds."""
    application.refresh()
    eventually(
        lambda: set(read_tree(argo, application.name).kinds) == kinds, what=f"a tree of {sorted(kinds)}", seconds=60
    )


def lives(application: Application, kubectl: Kubectl) -> None:
    """See that health is right by the RegionScheduler alone, and that what is in Git is mended and pruned."""
    mount = "volumeMounts: [{name: absent, mountPath: /absent}]"
    application.repository.edit(EXAMPLE, "concurrency: 4", f"concurrency: 4\n  tick: {{{mount}}}")
    application.push("Mount what is not there")
    application.will_be("Synced", "Degraded")
    assert application.health_of("RegionScheduler")[1].startswith("InvalidSpec: ")
    application.repository.revert()
    application.refresh()
    application.will_be("Synced", "Healthy")

    kubectl("patch", "rsched", "default", "--type=merge", "--patch", '{"spec": {"concurrency": 9}}')
    eventually(lambda: kubectl.scheduler()["spec"]["concurrency"] == 4, what="Git wins", seconds=60)
    (application.repository.folder / OTHERS).unlink()
    application.will_have_synced(application.push("Take it out"))
    assert kubectl.fails("get", "configmap", "others")
    application.will_be("Synced", "Healthy")


@pytest.fixture
def exclusions(argo: ArgoCd) -> Iterator[None]:
    """Argo CD excludes what docs/gitops.md lists, beside what it excludes by default."""
    for more in (documented_exclusions(), ""):
        argo.kubectl(
            "patch", "configmap", "argocd-cm", "--type=merge", "--patch", json.dumps({"data": excluding(more)})
        )
        if more:
            yield


def test_by_default_every_cronjob_and_job_is_a_node(
    argo: ArgoCd, application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(REGIONS)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        have_a_job(kubectl)
        sees(argo, application, OF_GIT | {"ResourceQuota", "ControllerRevision", "CronJob", "Job", "Pod"})


@pytest.mark.usefixtures("exclusions")
def test_with_the_exclusions_none_is_a_node_and_all_that_git_has_lives(
    argo: ArgoCd, application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(REGIONS)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        have_a_job(kubectl)
        sees(argo, application, OF_GIT | {"ResourceQuota", "ControllerRevision"})
        lives(application, kubectl)


def test_with_orphan_none_is_a_node_and_all_that_git_has_lives(
    argo: ArgoCd, application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(REGIONS)
    application.repository.edit(EXAMPLE, "concurrency: 4", "concurrency: 4\n  deletionPolicy: Orphan")
    application.push("Keep the tree small")
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        have_a_job(kubectl)
        sees(argo, application, OF_GIT | {"ControllerRevision"})
        lives(application, kubectl)
