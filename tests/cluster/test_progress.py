"""progress.py on a real API server: the status says how far a long plan is, and nothing of it afterwards."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from region_operator import progress
from region_operator.database.store import Store
from region_operator.kube.connect import connect
from region_operator.reconcile import Reconciler
from region_operator.runtime.metrics import PENDING_CHANGES

if TYPE_CHECKING:
    import pytest

    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

SCHEDULER = '{"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}'
REGIONS = 300


async def test_a_long_plan_says_how_far_it_is(
    kubectl: Kubectl,
    database: str,
    add_regions: AddRegions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    monkeypatch.setattr(progress, "REPORT_EVERY_SECONDS", 0.05)
    caplog.set_level("INFO")
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    add_regions(REGIONS)
    seen: list[dict[str, Any]] = []
    async with connect("a test") as api, Store(lambda: database, may_migrate=True) as store:
        reconciling = asyncio.ensure_future(
            Reconciler(api, store, tick_image="tick:1").reconcile(kubectl.namespace, "default")
        )
        while not reconciling.done():
            seen.append(await asyncio.to_thread(kubectl.scheduler))
        assert reconciling.result() is not None
    conditions = [item for each in seen for item in each.get("status", {}).get("conditions", [])]
    said = [item["message"] for item in conditions if item["type"] == "Reconciling"]
    done = [
        int(found[1]) for message in said if (found := re.fullmatch(rf"(\d+) of {REGIONS} changes are made", message))
    ]
    assert len(done) == len(said) > 0
    assert done == sorted(done)
    lines = [record for record in caplog.records if record.message == "applying"]
    assert [vars(line)["of"] for line in lines] == [REGIONS] * len(lines)
    assert [item["type"] for item in kubectl.scheduler()["status"]["conditions"]] == ["Ready"]
    assert PENDING_CHANGES._value.get() == 0
