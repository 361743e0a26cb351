"""The built-in handler `poke`: proves that the region's tick reaches the database, and says so."""

from __future__ import annotations

from datetime import UTC, datetime

from region_tick.handlers import Outcome, Tick
from region_tick.logs import iso


def poke(tick: Tick) -> Outcome:
    """Ask the database for nothing and write one line."""
    tick.check()
    tick.connection.execute("SELECT 1")
    tick.log.info(
        "poke", extra={"region.code": tick.region.code, "cron": tick.cron, "timestamp": iso(datetime.now(UTC))}
    )
    return Outcome()
