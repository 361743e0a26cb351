"""reconcile.py amid what happens meanwhile: an edit of the RegionScheduler, another reconcile, no end in sight."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from region_operator import guard_state, reconcile
from region_operator.database.store import Store
from region_operator.errors import ReconcileError
from region_operator.kube.connect import connect
from region_operator.plan.conditions import ReadyReason
from region_operator.reconcile import Reconciler
from tests.harness.audit import audit_lines, sent_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from devcluster.local import LocalCluster
    from region_operator.observe import Observation
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

SCHEDULER = '{"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}'


@pytest.fixture
async def reconciler(kubectl: Kubectl, database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reconciler]:
    """A reconciler of the test's namespace and database, in this process."""
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    with monkeypatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
        async with connect("a test") as api, Store(lambda: database, may_migrate=True) as store:
            yield Reconciler(api, store, tick_image="tick:1")


def conditions(kubectl: Kubectl) -> dict[str, dict[str, Any]]:
    return {condition["type"]: condition for condition in kubectl.scheduler()["status"]["conditions"]}


async def test_an_edit_amid_a_reconcile_has_it_begun_anew_and_is_no_failure(
    reconciler: Reconciler, kubectl: Kubectl, sql: Any, add_regions: AddRegions, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = reconciler.observer.observe

    async def observe_while_somebody_edits(*arguments: Any, **keywords: Any) -> Observation:
        seen = await observe(*arguments, **keywords)
        edit = {"spec": {"concurrency": kubectl.scheduler()["spec"]["concurrency"] + 1}}
        kubectl("patch", "rsched", "default", "--type=merge", f"--patch={json.dumps(edit)}")
        return seen

    add_regions(3)
    await reconciler.reconcile(kubectl.namespace, "default")
    sql("DELETE FROM region_index WHERE code = 'R1'")
    before = kubectl.scheduler()["status"]
    with monkeypatch.context() as patch:
        patch.setattr(reconciler.observer, "observe", observe_while_somebody_edits)
        for _ in range(guard_state.RACES_BEFORE_FAILURE):
            ended = await reconciler.reconcile(kubectl.namespace, "default")
            assert ended is not None
            assert ended.unfinished == "the RegionScheduler was changed meanwhile"
            assert kubectl.scheduler()["status"] == before
        with pytest.raises(ReconcileError, match=r"was changed meanwhile.* times in a row") as caught:
            await reconciler.reconcile(kubectl.namespace, "default")
        assert caught.value.reason is ReadyReason.APPLY_FAILED
        assert conditions(kubectl)["Ready"]["status"] == "False"
    assert len(kubectl.cronjobs()) == 3

    ended = await reconciler.reconcile(kubectl.namespace, "default")
    assert ended is not None
    assert ended.unfinished == ""
    assert conditions(kubectl)["Ready"]["status"] == "True"
    assert len(kubectl.cronjobs()) == 2


async def test_two_reconciles_never_run_at_once(
    reconciler: Reconciler, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    """As with the timers of a RegionScheduler that was deleted and made again while nobody watched."""
    add_regions(20)
    ends = await asyncio.gather(*(reconciler.reconcile(kubectl.namespace, "default") for _ in range(2)))
    assert [end and end.unfinished for end in ends] == ["", ""]
    writes = [line for line in audit_lines(control_plane, kubectl.namespace) if sent_by(line)]
    made = Counter(line["objectRef"]["name"] for line in writes if line["objectRef"]["resource"] == "cronjobs")
    assert len(made) == 20
    assert set(made.values()) == {1}


async def test_a_reconcile_that_has_no_end_is_given_up_and_said(
    reconciler: Reconciler, kubectl: Kubectl, add_regions: AddRegions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wait of its own has a limit, so that this cannot be had for real."""

    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    add_regions(1)
    await reconciler.reconcile(kubectl.namespace, "default")
    with monkeypatch.context() as patch:
        patch.setattr(reconciler.observer, "observe", hang)
        patch.setattr(reconcile, "RECONCILE_LIMIT_SECONDS", 2)  # its first question has as long
        with pytest.raises(ReconcileError, match="not done within 2 s") as caught:
            await reconciler.reconcile(kubectl.namespace, "default")
    assert caught.value.reason is ReadyReason.TIMED_OUT
    ready = conditions(kubectl)["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "TimedOut")
    await reconciler.reconcile(kubectl.namespace, "default")
    assert conditions(kubectl)["Ready"]["status"] == "True"


async def test_a_status_that_cannot_be_written_hides_no_failure_and_is_not_waited_for_long(
    reconciler: Reconciler, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An API server that answers reads and no writes cannot be had for real."""
    request = reconciler._api.request

    async def answer_no_write(method: str, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        if method == "PATCH":
            await asyncio.Event().wait()
        return await request(method, *arguments, **keywords)

    kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"source": {"table": "nowhere"}}}')
    monkeypatch.setattr(reconcile, "STATUS_LIMIT_SECONDS", 0.2)
    monkeypatch.setattr(reconciler._api, "request", answer_no_write)
    with pytest.raises(ReconcileError, match="nowhere"):
        await reconciler.reconcile(kubectl.namespace, "default")
    [line] = [record for record in caplog.records if record.message == "status not written"]
    assert line.reason == "no answer within 0.2 s"  # type: ignore[attr-defined]
