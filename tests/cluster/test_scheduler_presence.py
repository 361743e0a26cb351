"""kube/scheduler_presence.py on a real API server: a RegionScheduler that was never made, and one that was removed."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.aio.client import ApiException

from region_operator.kube.api import Api
from region_operator.kube.bootstrap import bootstrap
from region_operator.kube.connect import connect
from region_operator.kube.lease_record import LAST_SCHEDULER_ANNOTATION, last_scheduler
from region_operator.kube.scheduler_presence import Presence, SchedulerPresence
from tests.harness.cluster import install
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.local import LocalCluster
    from tests.cluster.conftest import Command
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess
    from tests.harness.regions import AddRegions

CRD = "regionschedulers.region-tick.dev"
SCHEDULER = '{"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}'
LEASE = json.dumps(
    {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "region-operator"}, "spec": {}}
)


def create(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=SCHEDULER)


def mark(kubectl: Kubectl) -> str:
    return last_scheduler(kubectl.get("lease", "region-operator"))


def wait_until_ready(operator: OperatorProcess) -> None:
    eventually(lambda: operator.get("/readyz")[0] == 200, what="ready", seconds=60)


def wait_for_loss(operator: OperatorProcess) -> str:
    """Wait until readiness and log tell of the loss, and return what they tell."""
    line = eventually(lambda: operator.logged("scheduler gone"), what="the loss is told of", seconds=60)[-1]
    assert operator.get("/readyz") == (503, line["reason"] + "\n")
    assert operator.metric("region_operator_regions", state="scheduled") == 0
    return str(line["reason"])


def test_without_a_scheduler_from_gitops_it_is_ready_until_one_was_there_and_is_gone(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(2)
    with run_operator(BOOTSTRAP="false") as operator:
        wait_until_ready(operator)  # what a sync wave waits for
        assert operator.get("/readyz")[1].startswith("ok\nthere is no RegionScheduler default yet")
        assert (kubectl.scheduler(), operator.get("/healthz")[0]) == ({}, 200)
        create(kubectl)
        eventually(lambda: kubectl.ready().get("status") == "True", what="reconciled", seconds=60)
        eventually(lambda: "schema" in operator.get("/readyz")[1], what="ready, of a reconcile")
        assert mark(kubectl) == kubectl.scheduler()["metadata"]["uid"]
        kubectl("delete", "rsched", "default")
        wait_for_loss(operator)
        assert operator.stop() == 0
    with run_operator(BOOTSTRAP="false") as operator:
        assert "create it again" in wait_for_loss(operator)
        create(kubectl)
        wait_until_ready(operator)
        eventually(lambda: len(kubectl.cronjobs()) == 2, what="two CronJobs again")
        assert mark(kubectl) == kubectl.scheduler()["metadata"]["uid"]


def test_what_somebody_removed_is_made_again_only_if_somebody_takes_the_mark_off(
    run_operator: RunOperator, kubectl: Kubectl
) -> None:
    with run_operator() as operator:
        wait_until_ready(operator)
        assert mark(kubectl) == kubectl.scheduler()["metadata"]["uid"]
        kubectl("delete", "rsched", "default")
        wait_for_loss(operator)
        assert operator.stop() == 0
    with run_operator() as operator:
        reason = wait_for_loss(operator)
        assert [line["reason"] for line in operator.logged("scheduler not made")] == [reason]
        assert kubectl.scheduler() == {}
        kubectl(*shlex.split(reason.rpartition(": kubectl ")[2]))
        assert operator.stop() == 0
    with run_operator() as operator:
        wait_until_ready(operator)
        assert mark(kubectl) == kubectl.scheduler()["metadata"]["uid"]


@pytest.fixture
def at_this_cluster(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))


def after_request(monkeypatch: pytest.MonkeyPatch, *, to: str, act: Callable[[], object]) -> None:
    """Do something once, right after the API server's answer to a request, before anybody acts on the answer."""
    request, acts = Api.request, iter([act])

    async def request_and_act(api: Api, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        answer = await request(api, method, path, **kwargs)
        if method == "GET" and path.endswith(to):
            for once in acts:
                once()
        return answer

    monkeypatch.setattr(Api, "request", request_and_act)


@pytest.mark.usefixtures("at_this_cluster")
async def test_one_that_is_removed_between_look_and_write_is_not_made_again(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl("create", "-f", "-", stdin=LEASE)
    create(kubectl)
    async with connect("a test") as api:
        await bootstrap(api, kubectl.namespace, {"concurrency": 7})
        assert mark(kubectl)
        after_request(monkeypatch, to="/regionschedulers", act=lambda: kubectl("delete", "rsched", "default"))
        await bootstrap(api, kubectl.namespace, {"concurrency": 8})
        assert kubectl.scheduler() == {}
        assert await SchedulerPresence(api, kubectl.namespace).look() is Presence.GONE


@pytest.mark.usefixtures("at_this_cluster")
async def test_a_resource_type_that_comes_late_is_waited_for(
    control_plane: LocalCluster, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, refusals = Api.request, 0

    async def request_and_install(api: Api, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        nonlocal refusals
        try:
            return await request(api, method, path, **kwargs)
        except ApiException:
            refusals += 1
            install(control_plane)
            raise

    kubectl("delete", "crd", CRD)
    try:
        async with connect("a test") as api:
            monkeypatch.setattr(Api, "request", request_and_install)
            assert await SchedulerPresence(api, kubectl.namespace).look() is Presence.NEVER
        assert refusals >= 1
    finally:
        install(control_plane)
        kubectl("wait", "--for=condition=Established", f"crd/{CRD}")


@pytest.mark.usefixtures("at_this_cluster")
async def test_the_mark_is_written_beside_a_renewal_and_only_if_it_is_another_one(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl("create", "-f", "-", stdin=LEASE)
    async with connect("a test") as api:
        presence = SchedulerPresence(api, kubectl.namespace)
        renewal = ("patch", "lease", "region-operator", "--type=merge", '--patch={"spec": {"holderIdentity": "x"}}')
        after_request(monkeypatch, to="/region-operator", act=lambda: kubectl(*renewal))
        await presence.remember("u1")
        lease = kubectl.get("lease", "region-operator")
        assert (last_scheduler(lease), lease["spec"]["holderIdentity"]) == ("u1", "x")
        await presence.remember("u1")
        await SchedulerPresence(api, kubectl.namespace).remember("u1")
        unchanged = kubectl.get("lease", "region-operator")
        assert unchanged["metadata"]["resourceVersion"] == lease["metadata"]["resourceVersion"]
        await presence.remember("u2")
        assert mark(kubectl) == "u2"


@pytest.mark.usefixtures("at_this_cluster")
async def test_a_mark_that_cannot_be_written_is_logged_and_tried_again(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kubectl("create", "-f", "-", stdin=LEASE)
    request = Api.request

    async def refuse_writes(api: Api, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        if method == "PUT":
            raise ApiException(status=403, reason="Forbidden")
        return await request(api, method, path, **kwargs)

    async with connect("a test") as api:
        presence = SchedulerPresence(api, kubectl.namespace)
        with monkeypatch.context() as refusing:
            refusing.setattr(Api, "request", refuse_writes)
            await presence.remember("u1")
        assert [record.message for record in caplog.records] == ["scheduler not remembered"]
        assert LAST_SCHEDULER_ANNOTATION not in kubectl.get("lease", "region-operator")["metadata"].get(
            "annotations", {}
        )
        await presence.remember("u1")
        assert mark(kubectl) == "u1"


def test_a_single_reconcile_writes_the_mark_too(command: Command, kubectl: Kubectl, add_regions: AddRegions) -> None:
    """Who reconciles by a CronJob of his own, without bootstrap, wants a removed RegionScheduler to stay away too."""
    add_regions(1)
    create(kubectl)
    assert command("reconcile", "--once", BOOTSTRAP="false").returncode == 0
    uid = kubectl.scheduler()["metadata"]["uid"]
    assert mark(kubectl) == uid
    kubectl("delete", "rsched", "default")
    done = command("reconcile", "--once", BOOTSTRAP="true")
    assert (done.returncode, kubectl.scheduler(), mark(kubectl)) == (1, {}, uid)
