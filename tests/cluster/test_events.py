"""kube/events.py on a real API server: what `kubectl describe` shows, and how long posting Events may take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.kube import events
from region_operator.kube.connect import connect
from region_operator.kube.events import EVENTS_AT_ONCE, EventReason, post_warning, post_warnings
from region_operator.plan.status import MESSAGE_LIMIT
from region_operator.scheduler import Scheduler
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from region_operator.kube.api import Api
    from tests.harness.kubectl import Kubectl

SCHEDULER = '{"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}'


@pytest.fixture
def scheduler(kubectl: Kubectl) -> Scheduler:
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    return Scheduler.from_object(kubectl.scheduler())


@pytest.fixture
async def api(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    async with connect("a test") as api:
        yield api


def posted(kubectl: Kubectl) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kubectl.get("events")["items"]
    return found


async def test_one_is_about_the_scheduler_and_as_long_as_it_may_be(
    api: Api, scheduler: Scheduler, kubectl: Kubectl
) -> None:
    await post_warning(api, scheduler, reason=EventReason.QUARANTINED, message="ä" * 5000)
    [event] = posted(kubectl)
    assert event["message"] == "ä" * MESSAGE_LIMIT
    assert (event["type"], event["reason"], event["count"]) == ("Warning", "RegionQuarantined", 1)
    assert event["involvedObject"]["uid"] == kubectl.scheduler()["metadata"]["uid"]
    assert "RegionQuarantined" in kubectl("describe", "rsched", "default")


@pytest.mark.parametrize(("count", "rest"), [(0, None), (EVENTS_AT_ONCE, None), (EVENTS_AT_ONCE + 3, "and 3 more")])
async def test_of_many_the_first_are_posted_and_the_rest_are_counted(
    count: int, rest: str | None, api: Api, scheduler: Scheduler, kubectl: Kubectl
) -> None:
    messages = [f"region {number}" for number in range(count)]
    await post_warnings(api, scheduler, reason=EventReason.QUARANTINED, messages=messages)
    said = {event["message"] for event in posted(kubectl)}
    assert said >= set(messages[:EVENTS_AT_ONCE])
    others = said - set(messages[:EVENTS_AT_ONCE])
    assert [message.startswith(rest or "") for message in others] == [True] * (rest is not None)


async def test_one_that_is_refused_is_logged_and_no_more(
    api: Api, scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = scheduler.model_copy(update={"namespace": "nowhere"})
    await post_warning(api, elsewhere, reason=EventReason.DELETIONS_HELD, message="why")
    [line] = [vars(record) for record in caplog.records]
    assert (line["message"], line["reason"]) == ("event not posted", "DeletionsHeld")
    assert "nowhere" in line["error"]


async def test_nobody_waits_for_one_for_long(
    scheduler: Scheduler,
    kubectl: Kubectl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(events, "POST_LIMIT_SECONDS", 0.3)
    with Proxy.before(kubectl.kubeconfig, tmp_path / "kubeconfig") as proxy:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        async with connect("a test") as api:
            proxy.cut()
            async with asyncio.timeout(10):  # half of a request's own
                await post_warnings(api, scheduler, reason=EventReason.QUARANTINED, messages=["a", "b"])
    assert caplog.messages == ["event not posted"] * 2
