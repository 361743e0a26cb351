"""Draws how long the last ticks of a region took: a bar for each tick, the newest at the right. Pure.

What did not succeed reaches below the ground, whatever its duration, so that no colour is needed to see it. A tick that
never ran is only there. As in the ledger, missed and interrupted have stripes.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

from markupsafe import Markup

from region_operator.console.drawing import Box, draw_boxes, join
from region_operator.console.time_words import say_minute, say_seconds
from region_tick.contract import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.console.region_views import TickRow

PLACES = 50
_HEIGHT, _GROUND = 100.0, 86.0
_LEAST = 3.0
_WIDTH = 0.8
_FINE = (State.SUCCEEDED, State.RUNNING)
_STRIPED = (State.MISSED, State.INTERRUPTED)
_GAPS = tuple(range(1, int(_HEIGHT), 8))
_LINE = Box(0, _GROUND, PLACES, 1)


def draw_durations(ticks: Sequence[TickRow], links: Sequence[str]) -> Markup:
    """Draw at most PLACES ticks, given the newest first. `links` are where a click on a tick's bar leads.

    The picture is one image whose label says the numbers. The page's table has the same links for the keyboard.
    """
    longest = max((tick.duration_seconds or 0.0 for tick in ticks), default=0.0)
    boxes: dict[State, list[Box]] = defaultdict(list)
    overlays = []
    for number, (tick, link) in enumerate(zip(ticks[:PLACES], links, strict=False)):
        place = PLACES - 1 - number
        boxes[tick.state].append(_bar(tick, place, longest))
        overlays.append(
            Markup('<a href="{}" tabindex="-1"><title>{}</title><path d="M{} 0h1v100h-1z"/></a>').format(
                link, _say_tick(tick), place
            )
        )
    striped = join(draw_boxes(state, boxes[state]) for state in _STRIPED)
    gaps = draw_boxes("gap", (Box(0, gap, PLACES, 2) for gap in _GAPS)) if striped else Markup("")
    plain = join(draw_boxes(state, boxes[state]) for state in State if state not in _STRIPED)
    return Markup(
        '<svg class="durations" viewBox="0 0 {} 100" preserveAspectRatio="none" role="group" aria-label="{}">'
        "{}{}{}{}{}</svg>"
    ).format(PLACES, say_durations(ticks), striped, gaps, plain, draw_boxes("ground", [_LINE]), join(overlays))


def _bar(tick: TickRow, place: int, longest: float) -> Box:
    seconds = tick.duration_seconds
    above = 0.0 if seconds is None else max(_LEAST, _GROUND * seconds / longest if longest else 0.0)
    below = 0.0 if tick.state in _FINE else _HEIGHT - _GROUND
    return Box(place, _GROUND - above, _WIDTH, above + below)


def say_durations(ticks: Sequence[TickRow]) -> str:
    """Say the durations: "the last 50 ticks took 2.1 s at the median, 12 s at most"."""
    seconds = [tick.duration_seconds for tick in ticks if tick.duration_seconds is not None]
    if not seconds:
        return "none of the last ticks has a duration"
    count = "the last tick took" if len(seconds) == 1 else f"the last {len(seconds)} ticks that ran took"
    return f"{count} {say_seconds(median(seconds))} at the median, {say_seconds(max(seconds))} at most"


def _say_tick(tick: TickRow) -> str:
    took = f", {say_seconds(tick.duration_seconds)}" if tick.duration_seconds is not None else ""
    return f"{say_minute(tick.tick_at)} {tick.state}{took}"
