"""plan/pauses.py: which pauses stand, when the next one ends, and what is said of an end that cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.cronjobs.labels import PAUSED_ANNOTATION, PAUSED_UNTIL_ANNOTATION
from region_operator.plan.pauses import Pauses, end_pauses
from tests.harness.examples import live_cronjob

if TYPE_CHECKING:
    from region_operator.cronjobs.live import LiveCronJob

NOW = datetime(2026, 11, 30, 1, 0, tzinfo=UTC)


def paused(until: str | None, *, code: str = "FR-75", value: str = "true") -> LiveCronJob:
    annotations: dict[str, Any] = {PAUSED_ANNOTATION: value}
    annotations |= {} if until is None else {PAUSED_UNTIL_ANNOTATION: until}
    return live_cronjob("a-0123456789ab", code=code, suspended=True, **annotations)


@pytest.mark.parametrize(
    ("until", "stands", "next_end_in"),
    [
        (None, True, None),
        ("2026-11-30T01:00:01Z", True, timedelta(seconds=1)),
        ("2026-11-30T01:00:00Z", False, None),
        ("2026-11-29T23:00:00Z", False, None),
        ("2026-11-30T02:30:00+01:00", True, timedelta(minutes=30)),
        ("0001-01-01T00:00:00+14:00", False, None),
    ],
)
def test_a_pause_stands_until_its_end(until: str | None, stands: bool, next_end_in: timedelta | None) -> None:
    pauses = end_pauses([paused(until)], now=NOW)
    [live] = pauses.cronjobs
    assert (live.paused, live.pause_over) == (stands, not stands)
    assert (pauses.next_end_in, pauses.problem) == (next_end_in, "")


@pytest.mark.parametrize("until", ["tomorrow", "2026-11-30T00:00:00", "2026-13-01T00:00:00Z", "x\ny"])
def test_an_end_that_cannot_be_read_ends_nothing_and_is_told(until: str) -> None:
    pauses = end_pauses([paused(until)], now=NOW)
    assert pauses.cronjobs[0].paused
    assert pauses.problem.startswith(f'paused without an end that can be read: FR-75 ("{until}")'.replace("\n", "\\n"))
    assert pauses.problem.endswith(
        "write region-tick.dev/paused-until as a time with its zone, e.g. 2026-11-30T01:05:00Z"
    )


def test_of_many_that_cannot_be_read_few_are_named() -> None:
    problem = end_pauses([paused("x", code=f"R{number}") for number in range(10)], now=NOW).problem
    assert "R0" in problem
    assert "R9" not in problem
    assert " more; write" in problem


def test_the_next_end_is_that_of_the_first_pause() -> None:
    ends = ["2026-11-30T03:00:00Z", "2026-11-30T02:00:00Z", "2026-11-30T00:00:00Z"]
    assert end_pauses([paused(end) for end in ends], now=NOW).next_end_in == timedelta(hours=1)


def test_what_is_not_paused_is_the_same_object() -> None:
    lives = [live_cronjob("a-0123456789ab"), paused(None)]
    pauses = end_pauses(lives, now=NOW)
    assert pauses == Pauses(lives)
    assert all(before is after for before, after in zip(lives, pauses.cronjobs, strict=True))


def test_an_end_without_a_pause_is_left_over() -> None:
    [live] = end_pauses([paused("2027-01-01T00:00:00Z", value="false")], now=NOW).cronjobs
    assert (live.paused, live.pause_over) == (False, True)
