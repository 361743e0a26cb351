"""status.py as those read it who wait for a RegionScheduler: kubectl, and whatever follows kstatus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_operator.database.store import Store
from region_operator.kube.connect import connect
from region_operator.reconcile import Reconciler

if TYPE_CHECKING:
    import pytest

    from tests.harness.kubectl import Kubectl

SCHEDULER = '{"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}'
WAIT = ("wait", "rsched/default", "--for=condition=Ready")


async def test_nobody_who_waits_takes_an_old_status_or_none_for_an_answer(
    kubectl: Kubectl, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    async with connect("a test") as api, Store(lambda: database, may_migrate=True) as store:
        reconciler = Reconciler(api, store, tick_image="tick:1")
        for edit in ('{"spec": {"concurrency": 5}}', '{"spec": {"concurrency": 6}}'):
            kubectl("patch", "rsched", "default", "--type=merge", f"--patch={edit}")
            assert not kubectl.is_observed()
            assert "timed out" in kubectl.fails(*WAIT, "--timeout=2s")
            await reconciler.reconcile(kubectl.namespace, "default")
            assert kubectl.is_observed()
            assert kubectl.fails(*WAIT, "--timeout=60s") == ""
