"""kube/cronjob_watch.py on a real API server: what is news, and what a full look finds without the watch.

How a watch begins, fails and goes on is in test_reflector.py.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from region_operator.database.store import Store
from region_operator.kube.connect import connect
from region_operator.kube.cronjob_watch import CronJobWatch
from region_operator.kube.reflector import Reflector
from region_operator.reconcile import Reconciler
from tests.harness.clock import Clock
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

OURS = "fr-75-eabddc4488ef"
SCHEDULER = '{"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}'


def create(kubectl: Kubectl, name: str) -> None:
    kubectl("create", "cronjob", name, "--image=busybox", "--schedule=@yearly")


async def until(check: Callable[[], object], *, what: str) -> None:
    await asyncio.to_thread(eventually, check, what=what)


@asynccontextmanager
async def running(watch: CronJobWatch, namespace: str) -> AsyncIterator[list[int]]:
    """Run the watch, and yield a list that gets the number of CronJobs at each news."""
    news: list[int] = []
    watch.on_news = lambda: news.append(len(watch.cache.cronjobs))
    task = asyncio.create_task(watch.run(namespace))
    await asyncio.sleep(0)  # the task begins
    try:
        await watch.catch_up(namespace, full=True)
        yield news
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
async def watch(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CronJobWatch]:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    async with connect("a test") as api:
        yield CronJobWatch(api)


async def test_what_stands_is_known_at_once_and_what_happens_is_told(kubectl: Kubectl, watch: CronJobWatch) -> None:
    await asyncio.to_thread(create, kubectl, OURS)
    await asyncio.to_thread(create, kubectl, "backup")
    async with running(watch, kubectl.namespace) as news:
        assert {live.name for live in watch.cache.cronjobs} == {OURS, "backup"}
        assert news == [], "who asked for the list needs no news of it"
        await asyncio.to_thread(kubectl, "patch", "cronjob", OURS, "--patch", '{"spec": {"suspend": true}}')
        await until(lambda: news == [2], what="an edit is told")
        [edited] = [live for live in watch.cache.cronjobs if live.suspended]
        assert (edited.name, edited.body is not None) == (OURS, True)
        status = json.dumps({"status": {"lastScheduleTime": "2026-11-24T06:00:00Z"}})
        await asyncio.to_thread(kubectl, "patch", "cronjob", OURS, "--subresource=status", "--type=merge", "-p", status)
        await until(lambda: watch.cache.get(OURS) is not edited, what="a tick arrives")
        assert (news, watch.cache.get(OURS)) == ([2], edited)
        await asyncio.to_thread(kubectl, "delete", "cronjob", OURS)
        await until(lambda: watch.cache.get(OURS) is None, what="a deletion arrives")
        assert news[-1] == 1


async def test_what_no_event_told_of_a_full_look_finds(
    kubectl: Kubectl, database: str, add_regions: AddRegions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    monkeypatch.setattr(Reflector, "_take_event", lambda _watch, _event: None)
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    clock = Clock()
    async with connect("a test") as api, Store(lambda: database, may_migrate=True) as store:
        reconciler = Reconciler(api, store, tick_image="tick:1")
        reconciler.observer._clock = clock
        async with running(reconciler.watch, kubectl.namespace):
            add_regions(1)
            await reconciler.reconcile(kubectl.namespace, "default")
            name = kubectl.cronjobs()["R1"]["metadata"]["name"]
            await asyncio.to_thread(kubectl, "patch", "cronjob", name, "--patch", '{"spec": {"suspend": true}}')
            clock.now += 299
            ended = await reconciler.reconcile(kubectl.namespace, "default")
            assert ended is not None
            assert ended.look_in.total_seconds() == 1
            assert kubectl.cronjobs()["R1"]["spec"]["suspend"], "nothing told of the edit"
            clock.now += 1
            ended = await reconciler.reconcile(kubectl.namespace, "default")
            assert ended is not None
            assert ended.look_in.total_seconds() == 300
            assert not kubectl.cronjobs()["R1"]["spec"]["suspend"]
