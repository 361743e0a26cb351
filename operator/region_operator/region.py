"""A row of the region table as a value: a Region, or Quarantined with a reason; one bad row costs no other. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Bbox:
    """A bounding box in degrees; its text, `min_lon,min_lat,max_lon,max_lat`, is what a tick gets."""

    min_lon: Decimal
    min_lat: Decimal
    max_lon: Decimal
    max_lat: Decimal

    def __str__(self) -> str:
        return f"{self.min_lon},{self.min_lat},{self.max_lon},{self.max_lat}"


@dataclass(frozen=True, slots=True)
class Region:
    """An active row of the region table; `source` is the table's qualified name, `cron_schedule` the text as it stands
    in the row.
    """

    source: str
    id: str
    code: str
    name: str
    bbox: Bbox | None
    cron_schedule: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An active row that cannot be scheduled as it is. `reason` says what is wrong and what to write instead."""

    id: str
    code: str
    reason: str
    region: Region | None = None
    """The row where all of it but its schedule can be used."""


def parse_row(row: Mapping[str, Any], *, source: str) -> Region | Quarantined:
    """Turn a row, keyed by the names of `crd.Columns`, into a Region, or say what is wrong with it."""
    region_id = str(row["id"])
    code = "" if row["code"] is None else str(row["code"])
    if not code.strip():
        return Quarantined(region_id, code, "code is empty: give the region a code, it names its CronJob")
    if row["cron_schedule"] is None:
        return Quarantined(region_id, code, 'cron_schedule is NULL: write a schedule, e.g. "*/5 * * * *"')
    corners = [row[key] for key in ("bbox_min_lon", "bbox_min_lat", "bbox_max_lon", "bbox_max_lat")]
    given = [Decimal(corner) for corner in corners if corner is not None]
    if len(given) not in (0, 4):
        return Quarantined(
            region_id, code, "bbox has some of its four corners but not all: fill in the others or set all to NULL"
        )
    return Region(
        source=source,
        id=region_id,
        code=code,
        name="" if row["name"] is None else str(row["name"]),
        bbox=Bbox(*given) if given else None,
        cron_schedule=str(row["cron_schedule"]),
    )
