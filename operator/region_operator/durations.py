"""Durations as Go writes them, which Kubernetes takes: `90s`, `1h30m`. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


def parse_duration(text: object) -> object:
    """Parse a Go duration (`90s`, `1h30m`) into a timedelta. Return anything but text unchanged. Raises ValueError."""
    if not isinstance(text, str):
        return text
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(
            f'duration "{text}" is not one: write a number and a unit (ms, s, m, h), e.g. "90s" or "1h30m"'
        )
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def format_duration(value: timedelta) -> str:
    """Write a timedelta as a Go duration: in seconds if the seconds are whole, otherwise in milliseconds."""
    milliseconds = round(value / timedelta(milliseconds=1))
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
