"""Serves the conditions of the RegionScheduler as metrics, with the words of its status.

So an alert can name the reason, and there is one place that decides what is wrong: `plan.status`. Only the leader
serves them, from its first reconcile on. All conditions change at once, so that no scrape falls between two of them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class ConditionMetrics(Collector):
    """The conditions that were shown last. Any thread may collect meanwhile."""

    def __init__(self) -> None:
        self._conditions: tuple[tuple[tuple[str, str, str], float], ...] = ()

    def show(self, conditions: Iterable[Mapping[str, Any]]) -> None:
        """Serve these conditions, as a status has them, from now on."""
        self._conditions = tuple(
            ((each["type"], each["status"], each["reason"]), _unix_time(each["lastTransitionTime"]))
            for each in conditions
        )

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics without values."""
        return [_present(), _since()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the metrics with a value for each condition."""
        present, since = _present(), _since()
        for condition, transition in self._conditions:
            present.add_metric(condition, 1)
            since.add_metric(condition[:1], transition)
        yield present
        yield since


def _present() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "region_operator_condition",
        "1 for each condition of the RegionScheduler, with its status and reason; Ready is always one of them.",
        labels=["type", "status", "reason"],
    )


def _since() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "region_operator_condition_since_timestamp_seconds",
        "Since when each condition of the RegionScheduler has had its status, in Unix time.",
        labels=["type"],
    )


def _unix_time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


CONDITIONS = ConditionMetrics()
REGISTRY.register(CONDITIONS)
