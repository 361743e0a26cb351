"""kube/last_starts.py: the last start of each region, and what is forgotten."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from region_operator.kube.last_starts import FORGOTTEN_AFTER_SECONDS, LastStarts

DAY = FORGOTTEN_AFTER_SECONDS


def test_the_latest_start_counts_in_whatever_order_starts_are_told() -> None:
    starts = LastStarts()
    assert starts.of("a") == 0.0
    for start in (5.0, 9.0, 7.0):
        starts.remember("a", start)
    assert starts.of("a") == 9.0


def test_a_start_is_forgotten_after_a_day() -> None:
    starts = LastStarts()
    starts.remember("a", 5.0)
    starts.remember("b", 6.0)
    starts.remember("c", 5.0 + DAY)
    assert starts.of("a") == 5.0
    starts.remember("c", 5.5 + DAY)
    assert (starts.of("a"), starts.of("b"), starts.of("c")) == (0.0, 6.0, 5.5 + DAY)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 3 * DAY)), max_size=50))
def test_nothing_younger_than_a_day_is_forgotten_and_nothing_is_made_up(told: list[tuple[int, float]]) -> None:
    starts, of_region, now = LastStarts(), defaultdict[str, set[float]](set), 0.0
    for region, start in told:
        name, now = f"r{region}", max(now, start)
        starts.remember(name, start)
        of_region[name].add(start)
    for name, all_starts in of_region.items():
        recent = max(all_starts) >= now - DAY
        assert starts.of(name) in ({max(all_starts)} if recent else all_starts | {0.0})


def test_regions_that_come_and_go_for_a_week_leave_the_values_of_a_day() -> None:
    starts = LastStarts()
    for hour in range(7 * 24):
        for region in range(50):
            starts.remember(f"r{hour}-{region}", hour * 3600.0)
    assert len(starts) == 25 * 50
