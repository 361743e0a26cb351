"""A real Argo CD in `make test`: Git has a RegionScheduler, its regions get CronJobs, and an edit by hand is undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.argocd import argocd, uninstall
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.local import LocalCluster
    from tests.harness.argocd import ArgoCd
    from tests.harness.argocd_application import Application
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def argo(control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoCd]:
    """Argo CD for this test alone: what follows on the worker has neither its processes nor its objects beside it."""
    with argocd(control_plane.kubeconfig, tmp_path_factory.mktemp("argo") / "cd") as argo:
        yield argo
    uninstall(argo.kubectl)


def test_git_makes_it_and_takes_back_what_people_edit(
    application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(2)
    with run_operator(BOOTSTRAP="false"):
        application.will_be("Synced", "Healthy", seconds=300)
        assert application.health_of("RegionScheduler") == ("Healthy", "InSync: 2 of 2 active regions are scheduled")
        assert len(kubectl.cronjobs()) == 2
        kubectl("patch", "rsched", "default", "--type=merge", "--patch", '{"spec": {"concurrency": 9}}')
        eventually(lambda: kubectl.scheduler()["spec"]["concurrency"] == 4, what="Git wins", seconds=120)
