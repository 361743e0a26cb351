"""Serves the metrics of ticks, which the leader counts in the database.

The totals stand in region_tick.tick_total, so a restart or another leader neither loses nor repeats a tick, and
Prometheus sees counters that only grow. A standby serves no such metric: otherwise a sum over all pods would count each
tick twice. How ticks are counted is left to `ledger.tick_totals`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

DELAY_BOUNDS = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
DURATION_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""The upper bounds of the buckets in seconds. The stored totals have a number for each bucket, and one for what is
longer, so another release must not have other bounds without a revision of the database.
"""


_TROUBLES = tuple(
    (state, reason) for state in State if state.final and state is not State.SUCCEEDED for reason in Reason
)
"""What is served as 0 from the beginning: whoever computes an increase sees no first tick of a series that appears."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How long some ticks took: the number of ticks in each bucket, not cumulative, and their seconds altogether."""

    buckets: tuple[int, ...]
    seconds: float

    def __add__(self, other: Spread) -> Spread:
        pairs = zip(self.buckets, other.buckets, strict=True)
        return Spread(tuple(one + another for one, another in pairs), self.seconds + other.seconds)


@dataclass(frozen=True, slots=True)
class TickTotal:
    """How many ticks ended in a state, for a reason. `delays` are from the minute to the claim, of scheduled ticks."""

    state: str
    reason: str
    ticks: int
    delays: Spread
    durations: Spread


class TickMetrics(Collector):
    """The metrics of the totals that were shown last. Nothing is served before that."""

    def __init__(self) -> None:
        self._totals: Sequence[TickTotal] | None = None

    def show(self, totals: Iterable[TickTotal]) -> None:
        """Serve these totals from now on. Any thread may collect meanwhile."""
        self._totals = tuple(totals)

    def describe(self) -> Iterable[CounterMetricFamily | HistogramMetricFamily]:
        """Return the metrics without values."""
        return _families()

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """Return the metrics with a value for each state and reason that a tick had, or that tells of a trouble."""
        ticks, delays, durations = _families()
        if (totals := self._totals) is None:
            yield from (ticks, delays, durations)
            return
        by_reason: Counter[tuple[str, str]] = Counter(dict.fromkeys(_TROUBLES, 0))
        by_state: dict[str, Spread] = {}
        for total in totals:
            by_reason[total.state, total.reason] += total.ticks
            known = by_state.get(total.state)
            by_state[total.state] = known + total.durations if known else total.durations
        for labels, count in by_reason.items():
            ticks.add_metric(labels, count)
        for state, spread in by_state.items():
            _add(durations, [state], DURATION_BOUNDS, spread)
        if totals:
            _add(delays, [], DELAY_BOUNDS, sum((total.delays for total in totals), _no_delays()))
        yield from (ticks, delays, durations)


def _families() -> tuple[CounterMetricFamily, HistogramMetricFamily, HistogramMetricFamily]:
    return (
        CounterMetricFamily(
            "region_operator_ticks",
            "Ticks that ended, by state and reason, as job_run says; reasons that handlers make up count as other.",
            labels=["state", "reason"],
        ),
        HistogramMetricFamily(
            "region_operator_tick_start_delay_seconds",
            "How long after its minute a scheduled tick was claimed, in its latest attempt.",
            labels=[],
        ),
        HistogramMetricFamily(
            "region_operator_tick_duration_seconds",
            "How long a tick's latest attempt took, from the claim to the end, by state.",
            labels=["state"],
        ),
    )


def _no_delays() -> Spread:
    return Spread((0,) * (len(DELAY_BOUNDS) + 1), 0.0)


def _add(family: HistogramMetricFamily, labels: Sequence[str], bounds: Sequence[float], spread: Spread) -> None:
    names = [*map(floatToGoString, bounds), "+Inf"]
    family.add_metric(labels, list(zip(names, accumulate(spread.buckets), strict=True)), spread.seconds)


TICKS = TickMetrics()
REGISTRY.register(TICKS)
