"""console/duration_picture.py: a bar for each tick, as high as its duration, the newest at the right."""

from __future__ import annotations

import re
from dataclasses import replace

from region_operator.console.duration_picture import draw_durations, say_durations
from region_tick.contract import State
from tests.harness.console_regions import tick_rows

LAST, BEFORE, OLDEST = (
    replace(tick, state=state, duration_seconds=seconds)
    for tick, state, seconds in zip(
        tick_rows(3), (State.SUCCEEDED, State.MISSED, State.SUCCEEDED), (4.0, None, 2.0), strict=True
    )
)


def test_bars_are_as_high_as_the_durations() -> None:
    svg = draw_durations([LAST, BEFORE, OLDEST], ["a", "b", "c"])
    (path,) = re.findall(r'<path class="succeeded" d="([^"]*)"', svg)
    assert re.findall(r"M(\d+) ([\d.]+)h[\d.]+v([\d.]+)", path) == [("49", "0", "86"), ("47", "43", "43")]


def test_what_never_ran_is_below_the_ground_only() -> None:
    (path,) = re.findall(r'<path class="missed" d="([^"]*)"', draw_durations([BEFORE], ["b"]))
    assert path.startswith("M49 86h0.8v14")


def test_what_failed_reaches_below_the_ground() -> None:
    failed = replace(LAST, state=State.FAILED)
    (path,) = re.findall(r'<path class="failed" d="([^"]*)"', draw_durations([failed], ["b"]))
    assert path.startswith("M49 0h0.8v100")


def test_each_bar_leads_to_its_tick_and_says_it() -> None:
    svg = draw_durations([LAST], ['x"><script>'])
    assert 'href="x&#34;&gt;&lt;script&gt;"' in svg
    assert "<title>2026-11-30 09:15Z succeeded, 4 s</title>" in svg


def test_words() -> None:
    assert say_durations([LAST, BEFORE, OLDEST]) == "the last 2 ticks that ran took 3 s at the median, 4 s at most"
    assert say_durations([BEFORE]) == "none of the last ticks has a duration"
    assert say_durations([LAST]) == "the last tick took 4 s at the median, 4 s at most"
