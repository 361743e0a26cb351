"""Gives tests of handlers a real Tick, on the test's own Postgres: with the real claim, fence, window and final row.

    with tick_on("postgresql://localhost/test", code="ch-zrh") as tick:
        outcome = run_handler(quakes.run, tick)

What the handler commits stays in the database, as in a cluster. The tables that a tick needs are made if they are
missing. pytest is not needed; region_tick.pytest_plugin has a fixture.
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from region_tick.claim import Claimed, claim
from region_tick.database_url import DatabaseUrl
from region_tick.effects import Effects
from region_tick.environment import Environment
from region_tick.few_tables import make_missing_tables
from region_tick.handlers import BoundingBox, LeaseLostError, Outcome, Region, Tick
from region_tick.handlers.calling import call
from region_tick.run import make_tick
from region_tick.session import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from region_tick.handlers import Handler

LEASE_SECONDS = 3600.0
TIMEOUT_SECONDS = 60
_ANY_TIME = 10**9
"""A start deadline that no tick of a test misses, however old its tick_at is."""

SET_CURSOR = """
INSERT INTO region_tick.region_cursor AS cursor (source, region_id, handler, window_end) VALUES (%s, %s, %s, %s)
ON CONFLICT (source, region_id, handler) DO UPDATE SET window_end = excluded.window_end
"""


@contextmanager
def tick_on(
    database: str,
    *,
    code: str = "TEST",
    region_id: str = "",
    name: str = "Test",
    bbox: tuple[float | str, float | str, float | str, float | str] | None = None,
    params: Mapping[str, Any] | None = None,
    tick_at: datetime | None = None,
    window_start: datetime | None = None,
    max_window_seconds: int | None = None,
    manual: bool = False,
) -> Iterator[Tick]:
    """Claim a tick on a database and yield it. `database` is a URL.

    `bbox` is min_lon, min_lat, max_lon, max_lat. By default the tick is that of this minute, of a region that no other
    test has. With `window_start`, the window begins there; without it, where the region's last success ended. Raises
    ValueError for a tick that was claimed before, and psycopg.Error.
    """
    tick_at = (tick_at or datetime.now(UTC)).replace(second=0, microsecond=0)
    uid = uuid4().hex
    environment = Environment(
        database=DatabaseUrl.parse(database),
        source="test.regions",
        installation="",
        region=Region(
            id=region_id or f"test-{uid}",
            code=code,
            name=name,
            bbox=bbox and BoundingBox(*(Decimal(str(side)) for side in bbox)),
        ),
        cron="*/5 * * * *",
        handler="test",
        scheduled_at=None if manual else tick_at,
        job_name=f"test-{uid}",
        job_uid=uid,
        pod=f"test-{uid}",
        node="test",
        timeout_seconds=TIMEOUT_SECONDS,
        start_deadline_seconds=_ANY_TIME,
        max_window_seconds=max_window_seconds,
        params=params or {},
    )
    with closing(connect(environment.database)) as connection:
        make_missing_tables(connection)
        if window_start is not None:
            key = (environment.source, environment.region.id, environment.handler)
            connection.execute(SET_CURSOR, (*key, window_start))
        result = claim(connection, environment, lease_seconds=LEASE_SECONDS)
        if not isinstance(result, Claimed):
            raise ValueError(f"the tick cannot be claimed again: {result}; give it another region_id or tick_at")
        deadline = time.monotonic() + environment.timeout_seconds
        yield make_tick(environment, result, connection, Effects(connection, result), deadline)


def run_handler(handler: Handler, tick: Tick) -> Outcome:
    """Run a handler as a tick's pod does, end the tick, and return the Outcome, returned or given to tick.finish().

    Raises what the handler raises, and PermanentError for a result that cannot be recorded.
    """
    finished: list[Outcome] = []

    def finish(outcome: Outcome) -> None:
        tick.finish(outcome)
        finished.append(outcome)

    outcome = call("under test", handler, replace(tick, finish=finish))
    try:
        with tick.transaction():
            tick.finish(outcome)
    except LeaseLostError:
        if not finished:
            raise
        return finished[-1]  # the handler ended the tick itself
    return outcome
