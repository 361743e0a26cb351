"""runtime/tick_metrics.py: what Prometheus reads of the totals."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from region_operator.runtime.tick_metrics import DELAY_BOUNDS, DURATION_BOUNDS, Spread, TickMetrics, TickTotal


def spread(bounds: tuple[float, ...], *places: int, seconds: float = 0.0) -> Spread:
    """Return a spread with one tick in the bucket of each place."""
    return Spread(tuple(places.count(place) for place in range(len(bounds) + 1)), seconds)


def total(state: str, reason: str, *places: int, seconds: float) -> TickTotal:
    delays = spread(DELAY_BOUNDS, *places, seconds=seconds)
    return TickTotal(state, reason, len(places), delays, spread(DURATION_BOUNDS, *places, seconds=seconds))


def served(*totals: TickTotal) -> dict[str, float]:
    """Return the samples that a scrape reads after a count."""
    metrics = TickMetrics()
    metrics.show(totals)
    return samples_of(metrics)


def samples_of(metrics: TickMetrics) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(metrics)
    lines = generate_latest(registry).decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def test_nothing_is_served_before_the_first_count() -> None:
    assert samples_of(TickMetrics()) == {}


def test_troubles_are_served_as_0_before_the_first_one() -> None:
    """Whoever computes an increase sees no first tick of a series that appears."""
    samples = served()
    assert samples['region_operator_ticks_total{reason="no node",state="missed"}'] == 0
    assert samples['region_operator_ticks_total{reason="timeout",state="failed"}'] == 0
    assert set(samples.values()) == {0}
    assert not [name for name in samples if 'state="succeeded"' in name or 'state="running"' in name]


def test_ticks_are_counted_by_state_and_reason_whatever_their_table() -> None:
    samples = served(
        total("succeeded", "ok", 0, 0, seconds=1),
        total("succeeded", "ok", 1, seconds=1),
        total("missed", "late", seconds=0),
    )
    assert samples['region_operator_ticks_total{reason="ok",state="succeeded"}'] == 3
    assert samples['region_operator_ticks_total{reason="late",state="missed"}'] == 0


def test_the_buckets_are_cumulative() -> None:
    samples = served(
        total("succeeded", "ok", 0, 2, seconds=2.4), total("failed", "timeout", len(DELAY_BOUNDS), seconds=7200)
    )
    delay, duration = "region_operator_tick_start_delay_seconds", "region_operator_tick_duration_seconds"
    buckets = [samples[f'{delay}_bucket{{le="{le}"}}'] for le in (*DELAY_BOUNDS, "+Inf")]
    assert buckets == [1, 1, *[2] * (len(DELAY_BOUNDS) - 2), 3]
    assert (samples[f"{delay}_count"], samples[f"{delay}_sum"]) == (3, 7202.4)
    assert samples[f'{duration}_count{{state="succeeded"}}'] == 2
    assert samples[f'{duration}_bucket{{le="+Inf",state="failed"}}'] == 1
