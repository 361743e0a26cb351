"""Draws the ticks of the next 24 hours against what the cluster can start. Pure.

Each bar is the worst minute of ten: the minute with most lost ticks, or the fullest minute if none is lost. A line
shows how many ticks a minute can start. The picture stretches to any width while its letters stay as they are. It is a
part of a page, and a file of its own: without the page's style sheet the colours of the attributes count.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from region_operator.console.drawing import Box, draw_boxes, join
from region_operator.plan.forecast import HOURS
from region_operator.plan.tick_queues import PODS_PER_JOB

if TYPE_CHECKING:
    from collections.abc import Mapping

_MINUTES_A_BAR = 10
_BARS = 60 * HOURS // _MINUTES_A_BAR
_TOP, _PLOT, _PIXELS = 22, 170, 218
"""In pixels: where the plot begins, how tall it is, and how tall the picture is."""
_UNITS = 1000.0
_WIDTH = 0.85
_FARTHEST_LINE = 3
"""The line is in the picture unless it is this many times higher than the fullest minute."""
_HOURS_APART = 4
_INK, _PAPER = "#1b2430", "#ffffff"
_COLORS = {"in-time": "#00796b", "late": "#c26e00", "lost": "#b3261e"}
_FILE_STYLE = Markup(
    "<style>text{{paint-order:stroke;stroke:{paper};stroke-width:4px}}"
    "@media(prefers-color-scheme:dark){{svg,text{{fill:#e6ebf0}}text,.cap{{stroke:#12171d}}.cap{{stroke:#e6ebf0}}"
    ".paper,.gap{{fill:#12171d}}.in-time{{fill:#3cc4ad}}.late{{fill:#f2b53c}}.lost{{fill:#f2564a}}}}</style>"
    '<rect class="paper" width="100%" height="100%" fill="{paper}"/>'
).format(paper=_PAPER)
"""What a file has instead of the page's style sheet: the same colours, light and dark."""


class _Bar(NamedTuple):
    """The worst minute of ten. The order of the values is the order of badness."""

    lost: int
    late: int
    due: int


def draw_forecast(forecast: Mapping[str, Any], *, file_width: str = "") -> Markup:
    """Draw a forecast, given as `region-operator forecast --output json` has it.

    With a `file_width`, in pixels or in percent, the picture is a file of its own.
    """
    bars = _worst_minutes(forecast)
    cap, fullest = starts_a_minute(forecast), max((bar.due for bar in bars.values()), default=0)
    has_line = cap < _FARTHEST_LINE * max(fullest, 1)
    top = 1.15 * max(cap if has_line else 0.0, fullest, 1)
    inner = Markup(
        '<svg y="{}" width="100%" height="{}" viewBox="0 0 {} 1000" preserveAspectRatio="none">{}{}</svg>'
    ).format(_TOP, _PLOT, _BARS, _draw_bars(bars, _UNITS / top), _draw_line(cap, _UNITS / top) if has_line else "")
    return Markup(
        '<svg {}width="{}" height="{}" class="forecast" role="img" aria-label="{}" font-family="sans-serif"'
        ' font-size="12" fill="{}">{}{}{}</svg>'
    ).format(
        Markup('xmlns="http://www.w3.org/2000/svg" ') if file_width else "",
        file_width or "100%",
        _PIXELS,
        say_forecast(forecast),
        _INK,
        _FILE_STYLE if file_width else "",
        inner,
        _letters(forecast, cap, has_line=has_line),
    )


def say_forecast(forecast: Mapping[str, Any]) -> str:
    """Say what the picture shows."""
    bars = _worst_minutes(forecast)
    fullest = max((bar.due for bar in bars.values()), default=0)
    late, lost = forecast["late"], forecast["lost"]
    ends = f"{lost:,} will be lost, {late:,} will start late" if late or lost else "all will start in time"
    return (
        f"{forecast['due']:,} ticks in the next {HOURS} hours, {fullest:,} in the fullest minute;"
        f" about {starts_a_minute(forecast):,.0f} a minute can start; {ends}"
    )


def starts_a_minute(forecast: Mapping[str, Any]) -> float:
    """Return how many ticks a minute can start: by the slots, by the CronJob controller, and by the Job controller."""
    by_slots = forecast["concurrency"] / forecast["tick"]["slotSeconds"]
    return float(60 * min(by_slots, forecast["jobsPerSecond"] * min(1.0, PODS_PER_JOB)))


def _worst_minutes(forecast: Mapping[str, Any]) -> dict[int, _Bar]:
    start = datetime.fromisoformat(forecast["start"])
    bars: dict[int, _Bar] = {}
    for minute in forecast["minutes"]:
        place = (datetime.fromisoformat(minute["at"]) - start) // timedelta(minutes=_MINUTES_A_BAR)
        found = _Bar(minute["lost"], minute["late"], minute["due"])
        bars[place] = max(bars.get(place, found), found)
    return bars


def _draw_bars(bars: Mapping[int, _Bar], unit: float) -> Markup:
    """Draw the ticks in time below, the late ones with stripes above them, and the lost ones on top."""
    in_time: list[Box] = []
    late: list[Box] = []
    lost: list[Box] = []
    for place, bar in bars.items():
        y = _UNITS
        for boxes, count in ((in_time, bar.due - bar.late - bar.lost), (late, bar.late), (lost, bar.lost)):
            if count > 0:
                y -= count * unit
                boxes.append(Box(place, y, _WIDTH, count * unit))
    gaps = (Box(0, 30 * number, _BARS, 10) for number in range(1, 34)) if late else ()
    return join(
        [
            draw_boxes("late", late, fill=_COLORS["late"]),
            draw_boxes("gap", gaps, fill=_PAPER),
            draw_boxes("in-time", in_time, fill=_COLORS["in-time"]),
            draw_boxes("lost", lost, fill=_COLORS["lost"]),
        ]
    )


def _draw_line(cap: float, unit: float) -> Markup:
    return Markup(
        '<path class="cap" d="M0 {}h{}" fill="none" stroke="{}" stroke-width="1.5" stroke-dasharray="6 4"'
        ' vector-effect="non-scaling-stroke"/>'
    ).format(f"{_UNITS - cap * unit:.0f}", _BARS, _INK)


def _letters(forecast: Mapping[str, Any], cap: float, *, has_line: bool) -> Markup:
    """Write how many ticks a minute can start, how full the fullest minute is, and the hours below."""
    where = "dashed line" if has_line else "far above this picture"
    letters = [_letter("100%", 13, "end", f"{where}: {cap:,.0f} a minute can start")]
    fullest = max((bar.due for bar in _worst_minutes(forecast).values()), default=0)
    letters.append(_letter("0%", 13, "start", f"fullest minute: {fullest:,}"))
    start = datetime.fromisoformat(forecast["start"])
    hour = start.replace(minute=0)
    while hour <= start + timedelta(hours=HOURS):
        share = (hour - start) / timedelta(hours=HOURS)
        if 0 <= share <= 1 and hour.hour % _HOURS_APART == 0:
            anchor = "start" if share < 0.05 else "end" if share > 0.95 else "middle"
            letters.append(_letter(f"{100 * share:.3g}%", _TOP + _PLOT + 16, anchor, f"{hour:%H:%M}"))
        hour += timedelta(hours=1)
    return join(letters)


def _letter(x: str, y: float, anchor: str, text: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, f"{y:.4g}", anchor, text)
