"""The values that describe a tick to its handler: the region and the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A region's bounds in degrees (WGS 84). A box across the antimeridian has min_lon > max_lon."""

    min_lon: Decimal
    min_lat: Decimal
    max_lon: Decimal
    max_lat: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A row of the region table, as the operator last saw it."""

    id: str
    code: str
    name: str
    bbox: BoundingBox | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The span of time for which a tick fetches data: from `start` (inclusive) to `end` (exclusive), both UTC."""

    start: datetime | None
    """The end of the last window that this handler fetched for the region; None before the first window."""
    end: datetime
    """The tick's tick_at, or earlier if spec.tick.maxWindow cut the window: the next ticks get the rest.

    If a later tick was faster, `end` equals `start`, and nothing is to be fetched.
    """
