"""The built-in handler `poke`: proves that the region's tick reaches the database, and logs one line."""

from __future__ import annotations

from datetime import UTC, datetime

from region_tick.handlers import Outcome, Tick
from region_tick.logs import iso


def poke(tick: Tick) -> Outcome:
    """Run `SELECT 1` and log one line. Raises StoppedError and psycopg.Error."""
    tick.check()
    tick.connection.execute("SELECT 1")
    tick.log.info(
        "poke", extra={"region.code": tick.region.code, "cron": tick.cron, "timestamp": iso(datetime.now(UTC))}
    )
    return Outcome()
