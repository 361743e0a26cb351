"""Serves the metrics of how late regions are, as the leader last read it.

A standby serves none of them, and neither does a leader before the first reading: 0 late regions would be a claim. Only
the latest regions are named, because each name is a time series of its own. How late a region is, is left to
`ledger.freshness`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class FreshnessMetrics(Collector):
    """The metrics that were shown last. Any thread may collect meanwhile."""

    def __init__(self) -> None:
        self._families: tuple[GaugeMetricFamily, ...] = ()

    def show(
        self, *, regions: int, late: Mapping[int, int], behind: int, latest: Iterable[tuple[str, int]], objective: float
    ) -> None:
        """Serve these values from now on.

        `late` has the number of regions by the number of ticks that they are late by at least one more than. `behind`
        is the number of regions that are later than the objective allows, and `objective` its share of regions, 0 to 1.
        """
        ticking, later, beyond, named, share = families = _families()
        ticking.add_metric([], regions)
        for bound, count in late.items():
            later.add_metric([str(bound)], count)
        beyond.add_metric([], behind)
        for code, ticks in latest:
            named.add_metric([code], ticks)
        share.add_metric([], objective)
        self._families = families

    def show_nothing(self) -> None:
        """Serve no value: there is nothing to be late."""
        self._families = ()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics without values."""
        return _families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the metrics with the values that were shown last."""
        yield from self._families or _families()


def _families() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily("region_operator_ticking_regions", "Regions that tick: neither suspended nor paused."),
        GaugeMetricFamily(
            "region_operator_late_regions",
            "Regions to which more than so many ticks were due since their last success.",
            labels=["intervals"],
        ),
        GaugeMetricFamily(
            "region_operator_regions_behind_objective",
            "Regions to which more ticks were due since their last success than spec.objective allows.",
        ),
        GaugeMetricFamily(
            "region_operator_region_intervals_late",
            "How many ticks were due to a region since its last success; of the 20 latest behind spec.objective.",
            labels=["region"],
        ),
        GaugeMetricFamily(
            "region_operator_objective_ratio", "The share of regions that spec.objective wants to be fresh, 0 to 1."
        ),
    )


FRESHNESS = FreshnessMetrics()
REGISTRY.register(FRESHNESS)
