"""console/heat_map.py: one path for each state, whose boxes are just the columns that had the state."""

from __future__ import annotations

import gzip
import re

from hypothesis import given
from hypothesis import strategies as st

from region_operator.console.heat_map import draw_heat_map, draw_strip, legend_sample, say_row, say_strip
from region_tick.contract import State
from tests.harness.console_facts import dice, states
from tests.harness.console_regions import ledger

OK, FAILED, MISSED = State.SUCCEEDED, State.FAILED, State.MISSED


def boxes(svg: str, state: State) -> list[tuple[float, float, float, float]]:
    """Return the boxes of a state: x, y, width, height."""
    paths = re.findall(rf'<path class="{state}" d="([^"]*)"', svg)
    assert len(paths) <= 1, "a state has one path"
    found = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z", paths[0] if paths else "")
    return [(float(x), float(y), float(width), float(height)) for x, y, width, height in found]


@given(st.lists(st.lists(st.none() | st.sampled_from(State), min_size=9, max_size=9), min_size=1, max_size=5))
def test_each_span_is_painted_in_its_state_and_no_other(rows: list[list[State | None]]) -> None:
    svg = draw_heat_map(rows, ["x"] * len(rows), columns=9)
    painted: dict[tuple[int, int], State] = {}
    for state in State:
        for x, y, width, _ in boxes(svg, state):
            for column in range(int(x), int(x + width)):
                place = int(y // 10), column
                assert place not in painted
                painted[place] = state
    expected = {(row, column): state for row, each in enumerate(rows) for column, state in enumerate(each) if state}
    assert painted == expected


def test_a_run_of_one_state_is_one_box() -> None:
    svg = draw_heat_map([[OK, OK, FAILED, FAILED, FAILED, None, OK]], ["x"], columns=7)
    assert [(x, width) for x, _, width, _ in boxes(svg, OK)] == [(0, 2), (6, 1)]
    assert [(x, width) for x, _, width, _ in boxes(svg, FAILED)] == [(2, 3)]


def test_states_differ_by_height_or_stripes_too() -> None:
    shapes = set()
    for state in State:
        svg = draw_heat_map([[state]], ["x"], columns=1)
        ((_, _, _, height),) = boxes(svg, state)
        shapes.add((height, "gap" in svg))
    assert len(shapes) == len(State)


def test_a_day_of_200_regions_has_few_elements_and_bytes() -> None:
    view = ledger(from_="1435m")
    assert len(view.columns) == 288
    svg = draw_heat_map([row.buckets for row in view.rows], ["regions/x"] * 200, columns=288)
    assert svg.count("<path") <= 200 + len(State) + 2
    assert len(gzip.compress(svg.encode())) < 60_000


def test_even_the_worst_day_stays_small() -> None:
    random = dice(1)
    rows = [[random.choice(list(State)) for _ in range(288)] for _ in range(200)]
    assert len(gzip.compress(draw_heat_map(rows, ["x"] * 200, columns=288).encode())) < 190_000


def test_an_address_cannot_leave_its_attribute() -> None:
    assert '"><script>' not in draw_heat_map([[OK]], ['"><script>'], columns=1)


def test_a_strip_has_the_newest_tick_at_the_right() -> None:
    svg = draw_strip([FAILED, OK, OK])
    assert [x for x, *_ in boxes(svg, FAILED)] == [9]
    assert [x for x, *_ in boxes(svg, OK)] == [7, 8]


def test_words_for_those_who_do_not_see_it() -> None:
    assert say_row([OK, OK, FAILED, None, MISSED]) == "failed in 1 of 5 spans, missed in 1, succeeded in 2"
    assert say_row([None, None]) == "no ticks"
    assert say_strip([FAILED, OK, OK]) == "last 3 ticks: 1 failed, 2 succeeded; the newest: failed"
    assert say_strip([]) == "no ticks yet"


def test_the_legend_has_the_bar_of_each_state() -> None:
    assert all(boxes(legend_sample(state), state) for state in State)
    assert len(states(dice(0), 10)) == 10
