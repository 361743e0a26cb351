"""A RegionScheduler that a real Flux keeps as it is in an artifact, while the operator follows it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.gitops.flux_site import KUSTOMIZATIONS, NAME, regionscheduler
from tests.harness.audit import audit_lines, is_renewal
from tests.harness.regions import add_regions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.local import LocalCluster
    from tests.gitops.flux_site import FluxSite
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl

pytestmark = pytest.mark.gitops

REGION_COUNT = 3
QUIET_SECONDS = 120
SPEC: dict[str, Any] = {"concurrency": 4, "deletionGuard": {"maxCount": 1, "maxPercent": 1}}
PRUNE, MERGE = "kustomize.toolkit.fluxcd.io/prune", "kustomize.toolkit.fluxcd.io/ssa"
APPROVAL = "region-tick.dev/approve-deletions"
BY_GIT = {"BOOTSTRAP": "false"}
REFUSED = {"volumeMounts": [{"name": "absent", "mountPath": "/absent"}]}
NOTHING_OF_OURS = {"regions/other.yaml": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"}


@pytest.fixture
def standing(site: FluxSite, run_operator: RunOperator, database: str) -> Iterator[FluxSite]:
    """The operator, and a RegionScheduler from an artifact that Flux calls healthy."""
    add_regions(database, REGION_COUNT)
    with run_operator(**BY_GIT):
        digest = site.release(regionscheduler(**SPEC))
        site.keep()
        healthy(site.outcome(digest))
        assert len(site.kubectl.cronjobs()) == REGION_COUNT
        yield site


def healthy(ready: dict[str, Any]) -> None:
    assert (ready["status"], ready["reason"]) == ("True", "ReconciliationSucceeded"), ready["message"]


def patch(kubectl: Kubectl, **spec: Any) -> None:
    kubectl("patch", "rsched", "default", "--type=merge", "-p", json.dumps({"spec": spec}))


@contextmanager
def unchanged(kubectl: Kubectl) -> Iterator[None]:
    """Check that the CronJobs are the same before and after."""
    before = versions(kubectl)
    yield
    assert versions(kubectl) == before


def versions(kubectl: Kubectl) -> dict[str, str]:
    return {code: item["metadata"]["resourceVersion"] for code, item in kubectl.cronjobs().items()}


def test_a_drifted_regionscheduler_is_put_back(standing: FluxSite) -> None:
    patch(standing.kubectl, concurrency=9)
    healthy(standing.sync())
    assert standing.kubectl.scheduler()["spec"]["concurrency"] == 4


def test_a_deleted_regionscheduler_comes_back(standing: FluxSite) -> None:
    before = standing.kubectl.scheduler()["metadata"]["uid"]
    standing.kubectl("delete", "rsched", "default")
    healthy(standing.sync())
    assert standing.kubectl.scheduler()["metadata"]["uid"] != before
    eventually(lambda: len(standing.kubectl.cronjobs()) == REGION_COUNT, what="CronJobs", seconds=60)


def say_by_hand(kubectl: Kubectl, database: str) -> None:
    """Pause a region, suspend all, and approve what is held, as an on-call does."""
    name = kubectl.cronjobs()["R1"]["metadata"]["name"]
    kubectl("annotate", "cronjob", name, "region-tick.dev/paused=true")
    eventually(lambda: kubectl.cronjobs()["R1"]["spec"]["suspend"], what="R1 is paused")
    patch(kubectl, suspend=True)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM region_index WHERE code <> 'R1'")
    eventually(lambda: kubectl.condition("DeletionsHeld"), what="the deletions are held", seconds=60)
    kubectl.approve("DeletionsHeld")


def test_what_people_say_by_hand_survives(standing: FluxSite, database: str) -> None:
    kubectl = standing.kubectl
    say_by_hand(kubectl, database)
    annotations = kubectl.scheduler()["metadata"]["annotations"]
    healthy(standing.sync())
    after = kubectl.scheduler()
    assert after["metadata"]["annotations"] == annotations
    assert after["spec"]["suspend"] is True
    eventually(lambda: kubectl.cronjobs().keys() == {"R1"}, what="what was approved is done", seconds=60)
    assert kubectl.cronjobs()["R1"]["spec"]["suspend"] is True


def test_without_merge_flux_takes_back_what_kubectl_set_but_for_the_pause_of_a_cronjob(
    standing: FluxSite, database: str
) -> None:
    kubectl = standing.kubectl
    healthy(standing.outcome(standing.release(regionscheduler(without=MERGE, **SPEC))))
    say_by_hand(kubectl, database)
    eventually(lambda: kubectl.cronjobs().keys() == {"R1"}, what="what was approved is done", seconds=60)
    healthy(standing.sync())
    after = kubectl.scheduler()
    assert APPROVAL not in after["metadata"]["annotations"]
    assert after["spec"]["suspend"] is False
    assert kubectl.cronjobs()["R1"]["spec"]["suspend"] is True


def test_one_that_leaves_git_stays(standing: FluxSite) -> None:
    uid = standing.kubectl.scheduler()["metadata"]["uid"]
    with unchanged(standing.kubectl):
        healthy(standing.outcome(standing.release(NOTHING_OF_OURS)))
        assert standing.kubectl.scheduler()["metadata"]["uid"] == uid
        digest = standing.release(regionscheduler(**SPEC))
        healthy(standing.outcome(digest))
        standing.kubectl("delete", KUSTOMIZATIONS, NAME, "--timeout=60s")
        assert standing.kubectl.scheduler()["metadata"]["uid"] == uid


def test_without_the_annotation_it_goes_and_with_orphan_its_cronjobs_stay(standing: FluxSite) -> None:
    kubectl = standing.kubectl
    digest = standing.release(regionscheduler(without=PRUNE, deletionPolicy="Orphan"))
    healthy(standing.outcome(digest))
    with unchanged(kubectl):
        healthy(standing.outcome(standing.release(NOTHING_OF_OURS)))
        eventually(lambda: not kubectl.scheduler(), what="Flux prunes")
        healthy(standing.outcome(standing.release(regionscheduler(deletionPolicy="Orphan"))))


def test_a_spec_that_the_schema_refuses_changes_nothing_and_is_named(standing: FluxSite) -> None:
    with unchanged(standing.kubectl):
        ready = standing.outcome(standing.release(regionscheduler(refreshInterval="soon")))
        assert (ready["status"], ready["reason"]) == ("False", "ReconciliationFailed")
        assert "spec.refreshInterval" in ready["message"]
        assert '"soon"' in ready["message"]
    healthy(standing.outcome(standing.release(regionscheduler(concurrency=5))))
    assert standing.kubectl.scheduler()["spec"]["concurrency"] == 5


def test_a_spec_that_cannot_be_followed_is_not_healthy_and_a_rollback_is(standing: FluxSite) -> None:
    with unchanged(standing.kubectl):
        ready = standing.outcome(standing.release(regionscheduler(**SPEC, tick=REFUSED)))
        assert (ready["status"], ready["reason"]) == ("False", "HealthCheckFailed")
        assert f"RegionScheduler/{standing.kubectl.namespace}/default status: 'Failed'" in ready["message"]
        assert "absent" in standing.kubectl.ready()["message"]
        healthy(standing.outcome(standing.release(regionscheduler(**SPEC))))


def test_nobody_writes_when_nothing_changes(standing: FluxSite, control_plane: LocalCluster) -> None:
    """Flux looks every five seconds, as often as its documentation allows at most."""
    kubectl = standing.kubectl
    standing.keep(interval="5s")
    healthy(standing.sync())
    mark, start = control_plane.audit_log.stat().st_size, time.monotonic()
    eventually(lambda: time.monotonic() > start + QUIET_SECONDS, what="two minutes", seconds=QUIET_SECONDS + 30)
    lines = [line for line in audit_lines(control_plane, kubectl.namespace, since=mark) if not is_renewal(line)]
    written = [line for line in lines if "dryRun=All" not in line["requestURI"]]
    looks = len(lines) - len(written)
    assert looks >= QUIET_SECONDS / 10  # Flux asks by a dry run
    assert {line["objectRef"]["resource"] for line in written} <= {"kustomizations", "events"}  # its own status
