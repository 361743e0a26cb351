"""Serves the conditions of the RegionScheduler as a metric, with the words of its status.

So an alert can name the reason, and there is one place that decides what is wrong: `plan.status`. Only the leader
serves them, from its first reconcile on. All conditions change at once, so that no scrape falls between two of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class ConditionMetrics(Collector):
    """The conditions that were shown last. Any thread may collect meanwhile."""

    def __init__(self) -> None:
        self._conditions: tuple[tuple[str, str, str], ...] = ()

    def show(self, conditions: Iterable[Mapping[str, Any]]) -> None:
        """Serve these conditions, as a status has them, from now on."""
        self._conditions = tuple((each["type"], each["status"], each["reason"]) for each in conditions)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metric without values."""
        return [_family()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the metric with a value for each condition."""
        family = _family()
        for condition in self._conditions:
            family.add_metric(condition, 1)
        yield family


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "region_operator_condition",
        "1 for each condition of the RegionScheduler, with its status and reason; Ready is always one of them.",
        labels=["type", "status", "reason"],
    )


CONDITIONS = ConditionMetrics()
REGISTRY.register(CONDITIONS)
