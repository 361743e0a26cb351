"""Draws the ledger: regions from top to bottom, time from left to right, and the state of each span as a bar. Pure.

A state is told by colour and by shape: the taller the bar, the worse the state, and missed and interrupted have
stripes. The pictures stretch to the width of their page, so the names of regions and times are left to the page.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby
from typing import TYPE_CHECKING

from markupsafe import Markup

from region_operator.console.drawing import Box, draw_boxes, join
from region_tick.contract import State

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW_PIXELS = 20
"""How tall a row is on the page. The style sheet has the same number for the names beside the picture."""
WORST_FIRST = (State.FAILED, State.MISSED, State.INTERRUPTED, State.SKIPPED, State.RUNNING, State.SUCCEEDED)
_ROW, _FLOOR = 10.0, 9.5
_HEIGHTS = {
    State.FAILED: 9.0,
    State.MISSED: 9.0,
    State.INTERRUPTED: 6.0,
    State.RUNNING: 6.0,
    State.SUCCEEDED: 3.5,
    State.SKIPPED: 1.5,
}
_STRIPED = (State.MISSED, State.INTERRUPTED)
_GAPS = (2.0, 5.0, 8.0)
AXIS_PARTS = 6
"""The axis names the beginnings of so many equal parts of the time."""


def draw_heat_map(rows: Sequence[Sequence[State | None]], links: Sequence[str], *, columns: int) -> Markup:
    """Draw a row for each region. `links` are where a click on a row leads; the picture is hidden from screen readers.

    The names beside the picture lead to the regions and say what is in their rows (`say_row`), so no keyboard needs
    the picture's links.
    """
    height = _ROW * len(rows)
    lines = (Box(columns * part / AXIS_PARTS, 0, 0.002 * columns, height) for part in range(AXIS_PARTS))
    overlays = (
        Markup('<a href="{}" tabindex="-1"><path d="M0 {}h{}v10H0z"/></a>').format(link, int(_ROW * row), columns)
        for row, link in enumerate(links)
    )
    return Markup(
        '<svg class="heat" viewBox="0 0 {} {}" height="{}" preserveAspectRatio="none" aria-hidden="true"'
        ' shape-rendering="crispEdges">{}{}{}</svg>'
    ).format(
        columns,
        int(height),
        ROW_PIXELS * len(rows),
        draw_boxes("line", lines),
        _draw_states(rows, columns),
        join(overlays),
    )


def draw_strip(states: Sequence[State], *, of: int = 10) -> Markup:
    """Draw the last ticks of a region, given the newest first, with the newest at the right. It is one image."""
    oldest_first: list[State | None] = [None] * (of - len(states)) + list(reversed(states))
    return Markup(
        '<svg class="strip" viewBox="0 0 {} 10" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(of, say_strip(states), _draw_states([oldest_first], of, gap=0.25))


def say_row(states: Sequence[State | None]) -> str:
    """Say what a row of the ledger shows: "failed in 3 of 288 spans, missed in 1"."""
    counts = Counter(state for state in states if state is not None)
    if not counts:
        return "no ticks"
    first, *others = [(state, counts[state]) for state in WORST_FIRST if counts[state]]
    said = [f"{first[0]} in {first[1]} of {len(states)} spans", *(f"{state} in {count}" for state, count in others)]
    return ", ".join(said)


def say_strip(states: Sequence[State]) -> str:
    """Say the last ticks: "last 10 ticks: 1 failed, 9 succeeded; the newest succeeded"."""
    if not states:
        return "no ticks yet"
    counts = Counter(states)
    said = ", ".join(f"{counts[state]} {state}" for state in WORST_FIRST if counts[state])
    return f"last {len(states)} ticks: {said}; the newest: {states[0]}"


def legend_sample(state: State) -> Markup:
    """Draw the bar of a state, for the legend."""
    return Markup(
        '<svg class="sample" viewBox="0 0 2 10" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(_draw_states([[state, state]], 2))


def _draw_states(rows: Sequence[Sequence[State | None]], columns: int, *, gap: float = 0.0) -> Markup:
    """Draw a path for each state. With a `gap`, neighbours of one state stay apart, so that they can be counted.

    The stripes are lines in the page's colour over all rows, painted before the states that have none.
    """
    boxes: dict[State, list[Box]] = defaultdict(list)
    for number, states in enumerate(rows):
        for state, place, length in _runs(states, merge=not gap):
            height = _HEIGHTS[state]
            boxes[state].append(Box(place, _ROW * number + _FLOOR - height, length - gap, height))
    gaps = [Box(0, _ROW * number + gap_at, columns, 0.9) for number in range(len(rows)) for gap_at in _GAPS]
    striped = join(draw_boxes(state, boxes[state]) for state in _STRIPED)
    plain = join(draw_boxes(state, boxes[state]) for state in WORST_FIRST if state not in _STRIPED)
    return join([striped, draw_boxes("gap", gaps) if striped else Markup(""), plain])


def _runs(states: Sequence[State | None], *, merge: bool) -> list[tuple[State, int, int]]:
    """Return each run of an equal state: the state, its first column, and how many columns it has."""
    found, place = [], 0
    for state, run in groupby(states):
        length = len(list(run))
        if state is not None:
            found += [(state, place, length)] if merge else [(state, place + number, 1) for number in range(length)]
        place += length
    return found
