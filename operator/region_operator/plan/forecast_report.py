"""Puts a forecast into words, for people, for programs and for the condition Overcommitted. Pure.

The words of the condition stay the same while the schedules do: no time of day, and no more than two digits of a
count. So a table that nobody edits causes no write.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from region_operator.plan.forecast import HOURS
from region_operator.plan.tick_queues import LATE_SECONDS
from region_operator.scheduler import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.plan.forecast import Forecast

_NAMED_MINUTES = 3
_LISTED_MINUTES = 20
SPREAD = "write H for minutes that need not be the same for all regions (docs/scale.md)"


def explain_overcommitment(forecast: Forecast) -> str:
    """Say what does not fit, where, and what to do. Return "" if every tick starts in time."""
    if forecast.fits:
        return ""
    worst = ", ".join(
        f"{minute.at:%H:%M} ({_about(minute.due)} due, {_about(minute.lost)} lost)"
        for minute in forecast.worst(_NAMED_MINUTES)
    )
    return (
        f"of the {_about(forecast.due)} ticks of {HOURS} h, {_about(forecast.lost)} will be lost and"
        f" {_about(forecast.late)} will start a minute late or more; the worst minutes are {worst} (UTC);"
        f" {explain_remedy(forecast)}; {_explain_tick_time(forecast)}"
    )


def explain_remedy(forecast: Forecast) -> str:
    """Say which capacity would be enough, and what else helps."""
    enough = []
    if (slots := forecast.sufficient_slots) > forecast.capacity.slots:
        enough.append(f"spec.concurrency {_at_least(slots)} instead of {forecast.capacity.slots}")
    if (rate := forecast.sufficient_rate) > forecast.capacity.jobs_per_second:
        enough.append(
            f"a CronJob controller that starts {_at_least(rate)} Jobs a second instead of"
            f" {forecast.capacity.jobs_per_second:g} (spec.capacity.jobsPerSecond)"
        )
    return f"enough would be {' and '.join(enough)}; or {SPREAD}" if enough else SPREAD


def summarize(forecast: Forecast) -> str:
    """Say in one line whether the ticks fit."""
    counts = f"the next {HOURS} h have {forecast.due:,} ticks: "
    if not forecast.due:
        return f"the next {HOURS} h have no ticks"
    if forecast.fits and not forecast.late:
        return f"{counts}all start in time"
    late = f"{forecast.late:,} start a minute late or more"
    return f"{counts}{late}, none is lost" if forecast.fits else f"{counts}{forecast.lost:,} are lost, {late}"


def as_text(forecast: Forecast) -> str:
    """Return the output of `region-operator forecast` for people."""
    capacity = forecast.capacity
    lines = [
        summarize(forecast),
        f"slots: {capacity.slots} (spec.concurrency); {_explain_tick_time(forecast)}",
        f"Jobs a second: {capacity.jobs_per_second:g} (spec.capacity.jobsPerSecond)",
        *([] if forecast.fits else [explain_remedy(forecast)]),
    ]
    worst = forecast.worst(_LISTED_MINUTES)
    rows = [("minute (UTC)", "due", f"{LATE_SECONDS} s late", "lost")] if worst else []
    rows += [(format_time(m.at), f"{m.due:,}", f"{m.late:,}", f"{m.lost:,}") for m in worst]
    return "\n".join([*lines, *_columns(rows)])


def as_json(forecast: Forecast) -> dict[str, Any]:
    """Return the output of `region-operator forecast` for programs. Every forecast has the same keys."""
    capacity, tick_time = forecast.capacity, forecast.tick_time
    return {
        "start": format_time(forecast.start),
        "hours": HOURS,
        "fits": forecast.fits,
        "due": forecast.due,
        "late": forecast.late,
        "lost": forecast.lost,
        "concurrency": capacity.slots,
        "jobsPerSecond": capacity.jobs_per_second,
        "tick": {
            "measured": tick_time.measured,
            "startSeconds": round(tick_time.start_seconds, 3),
            "runSeconds": round(tick_time.run_seconds, 3),
            "slotSeconds": round(tick_time.slot_seconds, 3),
        },
        "sufficient": {"concurrency": forecast.sufficient_slots, "jobsPerSecond": forecast.sufficient_rate},
        "minutes": [
            {"at": format_time(minute.at), "due": minute.due, "late": minute.late, "lost": minute.lost}
            for minute in forecast.minutes
        ],
    }


def _explain_tick_time(forecast: Forecast) -> str:
    seconds = f"a tick holds its slot for {forecast.tick_time.slot_seconds:.2g} s"
    if forecast.tick_time.measured:
        return f"{seconds} (the mean of the last day)"
    return f"{seconds} (an assumption: the ledger has too few ticks yet)"


def _about(count: int) -> str:
    """Write a count with two digits, rounded."""
    return f"{round(count, 2 - len(str(count))):,}" if count >= 100 else str(count)


def _at_least(number: float) -> str:
    """Write a number with two digits, rounded up."""
    unit = 10 ** max(len(str(math.floor(number))) - 2, 0)
    return f"{math.ceil(number / unit) * unit:,}" if number >= 10 else f"{number:g}"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
