"""The clocks of the database and of the API server differ: the RegionScheduler says so, and what that does to ticks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY

from region_operator.database.store import Store
from region_operator.kube.connect import connect
from region_operator.reconcile import Reconciler
from region_operator.runtime.remote_clock import RemoteClock

if TYPE_CHECKING:
    import pytest

    from tests.harness.kubectl import Kubectl

SCHEDULER = '{"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}'


class WrongClock(RemoteClock):
    """The API server's clock, as if it were `behind`."""

    behind = timedelta()

    def observe(self, shown: datetime, *, resolution: float, sent: float) -> None:
        super().observe(shown - self.behind, resolution=resolution, sent=sent)


def metric() -> float:
    value = REGISTRY.get_sample_value("region_operator_clock_skew_seconds")
    assert value is not None
    return value


def skew_of(kubectl: Kubectl) -> list[dict[str, Any]]:
    status = kubectl.get("rsched", "default")["status"]
    return [condition for condition in status["conditions"] if condition["type"] == "ClockSkew"]


async def test_a_skew_is_a_condition_while_it_lasts_an_event_and_a_metric(
    kubectl: Kubectl, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    monkeypatch.setattr("region_operator.kube.api.RemoteClock", WrongClock)
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    async with connect("a test") as api, Store(lambda: database, may_migrate=True, api_clock=api.clock) as store:
        reconciler = Reconciler(api, store, tick_image="tick:1")
        await reconciler.reconcile(kubectl.namespace, "default")
        assert skew_of(kubectl) == []  # on one machine the clocks agree
        assert abs(metric()) < 10
        WrongClock.behind = timedelta(minutes=5)
        for _ in range(2):
            await reconciler.reconcile(kubectl.namespace, "default")
        [condition] = skew_of(kubectl)
        assert (condition["status"], condition["reason"]) == ("True", "ClocksDiffer")
        said = r"the database's clock is 5 min ahead of the API server's \(± \d s\): "  # by how fast the answers were
        assert re.match(said, condition["message"])
        [event] = kubectl.get("events", "--field-selector", "reason=ClockSkew")["items"]
        assert event["message"] == condition["message"]
        assert abs(metric() - 300) < 10
        WrongClock.behind = timedelta()
        await reconciler.reconcile(kubectl.namespace, "default")
        assert skew_of(kubectl) == []
        ready = kubectl.get("rsched", "default")["status"]["conditions"][0]
        assert (ready["type"], ready["status"]) == ("Ready", "True")
    assert abs(datetime.now(UTC) - (api.clock.now() or datetime.min.replace(tzinfo=UTC))) < timedelta(seconds=10)
