"""Reads the regions of a table as a reconcile reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_operator.database.engine import make_engine
from region_operator.regions.row_parser import RowParser
from region_operator.regions.source import read_regions
from region_operator.scheduler import Source
from region_tick.database_url import DatabaseUrl
from tests.harness.examples import finish

if TYPE_CHECKING:
    from region_operator.regions.region import Quarantined, RegionRow


async def regions(url: str, source: Source | None = None) -> list[RegionRow | Quarantined]:
    """Return the regions of a table, by default of region_index. Raises UnreadableSourceError."""
    engine = make_engine(DatabaseUrl.parse(url))
    try:
        reading = await read_regions(engine, source or Source(), default_schema="public")
    finally:
        await engine.dispose()
    return finish(RowParser().parse(reading.rows, source="the table", ticking_ids=lambda _: {}))
