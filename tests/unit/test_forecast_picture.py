"""console/forecast_picture.py: the worst minute of each ten, and the line of what can start."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from region_operator.console.forecast_picture import draw_forecast, say_forecast, starts_a_minute
from region_operator.plan.tick_queues import PODS_PER_JOB
from tests.harness.console_values import forecast


def forecast_of(*minutes: tuple[str, int, int, int], concurrency: int = 4) -> dict[str, Any]:
    """Return a forecast of minutes: the time, how many are due, late and lost."""
    listed = [{"at": f"2026-11-30T{at}:00Z", "due": due, "late": late, "lost": lost} for at, due, late, lost in minutes]
    return {
        "start": "2026-11-30T00:00:00Z",
        "due": sum(minute["due"] for minute in listed),
        "late": sum(minute["late"] for minute in listed),
        "lost": sum(minute["lost"] for minute in listed),
        "concurrency": concurrency,
        "jobsPerSecond": 8.0,
        "tick": {"slotSeconds": 4.0},
        "minutes": listed,
    }


def bars(svg: str, outcome: str) -> list[int]:
    """Return the columns, ten minutes each, in which a bar of an outcome begins."""
    return [
        int(x)
        for path in re.findall(rf'<path class="{outcome}" d="([^"]*)"', svg)
        for x in re.findall(r"M(\d+) ", path)
    ]


def test_a_minute_that_loses_ticks_goes_before_a_fuller_one() -> None:
    svg = draw_forecast(forecast_of(("00:01", 500, 0, 0), ("00:05", 300, 50, 20), ("23:59", 7, 0, 0)))
    assert (bars(svg, "in-time"), bars(svg, "late"), bars(svg, "lost")) == ([0, 143], [0], [0])


@pytest.mark.parametrize(("due", "has_line"), [(60, True), (21, True), (3, False)])
def test_the_line_is_there_unless_it_is_far_above(due: int, has_line: bool) -> None:
    svg = draw_forecast(forecast_of(("01:00", due, 0, 0)))
    assert ('class="cap"' in svg) is has_line
    assert ("far above this picture" in svg) is not has_line


def test_what_can_start_is_the_least_of_three_limits() -> None:
    assert starts_a_minute(forecast_of()) == 60
    assert starts_a_minute(forecast_of(concurrency=1000)) == pytest.approx(60 * 8 * PODS_PER_JOB)


def test_a_day_without_ticks_has_a_picture_too() -> None:
    assert "0 ticks in the next 24 hours" in draw_forecast(forecast_of())


@pytest.mark.parametrize("crowded", [True, False])
def test_a_file_is_a_whole_svg_with_colours_of_its_own(crowded: bool) -> None:
    svg = draw_forecast(forecast(crowded=crowded).forecast, file_width="960")
    root = ElementTree.fromstring(svg)  # noqa: S314 - it is our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert all("fill" in path.attrib for path in root.iter("{http://www.w3.org/2000/svg}path"))


def test_it_says_the_same_in_words() -> None:
    said = say_forecast(forecast_of(("00:01", 500, 30, 20)))
    assert said == (
        "500 ticks in the next 24 hours, 500 in the fullest minute; about 60 a minute can start;"
        " 20 will be lost, 30 will start late"
    )
