"""Ticks as text: a table of them, and the last ones as letters. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubectl_region.moments import ago, brief, short
from kubectl_region.output import cut, table
from region_tick.contract import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

LETTERS: dict[str, str] = {
    State.SUCCEEDED: ".",
    State.FAILED: "F",
    State.MISSED: "M",
    State.SKIPPED: "s",
    State.RUNNING: "r",
    State.INTERRUPTED: "i",
}
"""How a tick is shown in one letter; what needs a look is a capital."""


def recent(states: Sequence[str]) -> str:
    """Write states as letters, in their order. A console of a newer release may know more states."""
    return "".join(LETTERS.get(state, "?") for state in states) or "-"


def tick_table(ticks: Sequence[Mapping[str, Any]], now: datetime, *, wide: bool = False) -> str:
    """Return the table of ticks."""
    headers = ["TICK", "AGE", "STATE", "REASON", "ATTEMPT", "DELAY", "DURATION", "ERROR"]
    headers += ["HANDLER", "JOB", "POD", "NODE", "MANUAL"] * wide
    return table(headers, [_row(tick, now, wide=wide) for tick in ticks], painted=("STATE",))


def _row(tick: Mapping[str, Any], now: datetime, *, wide: bool) -> list[str]:
    name = brief(tick["tickAt"]) + (" by hand" if tick["manualUid"] else "") + (" again" if tick["rerunBy"] else "")
    row = [name, ago(tick["tickAt"], now), tick["state"], tick["reason"] or "-", str(tick["attempt"])]
    row += [_duration(tick["startDelaySeconds"]), _duration(tick["durationSeconds"]), _first_line(tick["errorMessage"])]
    return row + [tick[key] or "-" for key in ("handler", "jobName", "pod", "node", "manualUid")] * wide


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f}s" if seconds < 10 else short(seconds)


def _first_line(text: str | None) -> str:
    return cut((text or "-").splitlines()[0], limit=60)
