"""Says times and durations as pages show them: "2026-11-30 01:05:00Z", "in 2 min 5 s", "3 d ago". Pure."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def say_time(time: datetime) -> str:
    """Write a time in UTC, to the second: `2026-11-30 01:05:00Z`, which is ISO 8601 but for a blank that may break."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def say_minute(time: datetime) -> str:
    """Write the scheduled minute of a tick in UTC: `2026-11-30 01:05Z`."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}Z"


def iso(time: datetime) -> str:
    """Write a time for programs and for addresses: `2026-11-30T01:05:00Z`, with a fraction only if there is one."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def say_seconds(seconds: float) -> str:
    """Say a duration with its two largest units: "0.25 s", "42 s", "2 min 5 s", "3 d 4 h"."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds else "0 s"
    whole = round(seconds)
    place = next(number for number, (_, size) in enumerate(_UNITS) if whole >= size)
    parts = []
    for unit, size in _UNITS[place : place + 2]:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def say_distance(time: datetime, now: datetime) -> str:
    """Say how far a time is from now: "in 10 s", "3 h 2 min ago", "now" for less than a second."""
    seconds = (time - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {say_seconds(round(seconds))}" if seconds > 0 else f"{say_seconds(round(-seconds))} ago"
