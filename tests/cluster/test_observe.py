"""observe.py on a real API server and a real Postgres: what a look finds, and that it is no more than a look."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.database.region_table import Trigger
from region_operator.database.store import Store
from region_operator.kube.connect import connect
from region_operator.kube.cronjob_watch import CronJobWatch
from region_operator.observe import Observation, Observer
from region_operator.plan.changes import ChangeReason
from region_operator.plan.hold_report import region_code
from region_operator.reconcile import Reconciler
from region_operator.regions.source import UnreadableSourceError
from region_operator.scheduler import Scheduler
from region_operator.table_owner import identify, look_at_owners
from tests.harness.audit import audit_lines, sent_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from devcluster.local import LocalCluster
    from region_operator.kube.api import Api
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

SCHEDULER = '{"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}'


class Look:
    """Looks, and reconciles when it is told to."""

    def __init__(self, api: Api, store: Store, kubectl: Kubectl) -> None:
        self._api, self._store, self._kubectl = api, store, kubectl
        self.watch = CronJobWatch(api)
        self._observer = Observer(api, self.watch, tick_image="tick:1")

    async def observe(self) -> Observation:
        installation = await identify(self._api, self._kubectl.namespace, name="")
        scheduler = Scheduler.from_object(self._kubectl.scheduler(), installation=installation)
        database = await self._store.open()
        handover = await look_at_owners(database, scheduler)
        return await self._observer.observe(database, scheduler, handover, now=datetime.now(UTC))

    async def reconcile(self) -> None:
        await Reconciler(self._api, self._store, tick_image="tick:1").reconcile(self._kubectl.namespace, "default")


@pytest.fixture
async def look(kubectl: Kubectl, database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Look]:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    async with connect("a test") as api, Store(lambda: database, may_migrate=False) as store:
        yield Look(api, store, kubectl)


def changes(seen: Observation) -> dict[str, ChangeReason]:
    plan = seen.decision.plan
    writes = {write.desired.region.code: write.reason for write in plan.writes}
    return writes | {region_code(delete.live): delete.reason for delete in plan.deletes}


async def test_a_look_finds_what_is_to_be_done_and_does_nothing(
    look: Look, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    kubectl("create", "cronjob", "foreign", "--image=busybox", "--schedule=@daily")
    add_regions(["STAYS", "MOVES", "GOES"])
    await look.reconcile()
    mark = control_plane.audit_log.stat().st_size
    seen = await look.observe()
    assert changes(seen) == {}
    assert (seen.summary.changed, seen.summary.active) == (False, 3)
    assert [live.name for live in look.watch.cache.cronjobs if not live.ours] == ["foreign"]
    assert (seen.quota.drifted, seen.trigger) == (False, Trigger.FOUND)

    sql("UPDATE region_index SET cron_schedule = '0 1 1 1 *' WHERE code = 'MOVES'")
    sql("DELETE FROM region_index WHERE code = 'GOES'")
    add_regions(["COMES"])
    add_regions(["BAD"], cron="61 * * * *")
    seen = await look.observe()
    assert changes(seen) == {
        "MOVES": ChangeReason.RESCHEDULED,
        "GOES": ChangeReason.REMOVED,
        "COMES": ChangeReason.ADDED,
    }
    assert (seen.summary.changed, seen.summary.active) == (True, 4)
    assert [row.code for row in seen.summary.quarantined] == ["BAD"]
    assert [line for line in audit_lines(control_plane, kubectl.namespace, since=mark) if sent_by(line)] == []


async def test_a_table_that_cannot_be_read_is_not_planned_with(look: Look, sql: Any, add_regions: AddRegions) -> None:
    add_regions(["A"])
    await look.reconcile()
    sql("ALTER TABLE region_index RENAME TO away")
    with pytest.raises(UnreadableSourceError, match="region_index"):
        await look.observe()
