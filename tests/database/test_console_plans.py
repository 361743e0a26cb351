"""No page of the console reads job_run without a bound: by region and time in an index, or by the days of a time.

Every statement that the pages send is caught and explained, so a statement that is added tomorrow is judged too.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import Engine

from region_operator.database.engine import transaction
from region_operator.database.partitions import ensure_partitions, partition_name
from tests.database.schema import run
from tests.harness.console import KnownCluster, console, fill, scheduler_body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

LAST = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
DAYS = 20
TICK = LAST.isoformat().replace("+00:00", "Z")
BY_REGION = (
    *("", "regions", "regions?sort=trouble&state=late", "ledger", "ledger?from=20d", "next", "regions/R00003"),
    *("regions/R00003/ticks?state=failed", "regions/R00003/ticks?since=7d", f"regions/R00003/ticks/{TICK}"),
    *("regions/R00003/ticks?reason=suspended", "regions/GONE", "regions/GONE/ticks", f"regions/GONE/ticks/{TICK}"),
)
BY_TIME = {"ledger?state=failed": 2, "ledger?from=3d&reason=image": 4}
"""Pages that look for regions by their ticks, and how many days of job_run they may read."""


@contextmanager
def caught() -> Iterator[list[tuple[str, Any]]]:
    """Catch all statements that engines of this process send."""
    statements: list[tuple[str, Any]] = []

    def catch(*arguments: Any) -> None:
        statements.append((arguments[2], arguments[3]))

    event.listen(Engine, "before_cursor_execute", catch)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", catch)


def plans(database: str, statements: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Return the nodes of the plans of all statements."""
    with psycopg.connect(database) as connection:
        rows = [
            connection.execute(f"EXPLAIN (FORMAT JSON) {statement}".encode(), parameters).fetchone()
            for statement, parameters in statements
        ]
    return [node for row in rows if row for node in _nodes(row[0][0]["Plan"])]


def scans(database: str, statements: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Return the nodes of the plans that read a day of job_run, as they would be with many rows."""
    found: list[dict[str, Any]] = []
    with psycopg.connect(database) as connection:
        connection.execute("SET enable_seqscan = off")
        for statement, parameters in statements:
            if "job_run" in statement:
                row = connection.execute(f"EXPLAIN (FORMAT JSON) {statement}".encode(), parameters).fetchone()
                assert row is not None
                found += [node for node in _nodes(row[0][0]["Plan"]) if _reads_a_day(node)]
    return found


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def _reads_a_day(node: dict[str, Any]) -> bool:
    return str(node.get("Relation Name")).startswith("job_run")


def _is_by_region(node: dict[str, Any]) -> bool:
    return "region_id" in f"{node.get('Index Cond')} {node.get('Recheck Cond')}"


async def test_every_page_reads_job_run_by_an_index_or_by_few_days(database: str, engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        await ensure_partitions(connection, (LAST - timedelta(days=DAYS)).date())
    fill(database, 400, first=LAST - timedelta(hours=30), last=LAST)
    for table in ("region_index", "region_tick.region_schedule"):
        run(database, f"UPDATE {table} SET code = 'GONE' WHERE code = 'R00009'")
    run(
        database,
        "UPDATE region_index SET active = false WHERE code = 'GONE'",
        "UPDATE region_tick.region_schedule SET valid_to = now() WHERE code = 'GONE'",
    )
    filled = {
        partition_name((LAST - timedelta(hours=hours)).date()) for hours in range(31)
    }  # of an empty day all cost alike
    async with console(database, KnownCluster(scheduler_body())) as browser:
        for path in (*BY_REGION, *BY_TIME):
            with caught() as statements:
                async with browser.get(f"/{path}", headers={"Accept": "application/json"}) as answer:
                    assert answer.status == 200, await answer.text()
            read = scans(database, statements)
            by_time = {node["Relation Name"] for node in read if not _is_by_region(node)} & filled
            assert len(by_time) <= BY_TIME.get(path, 0), (path, by_time)
            assert read or path == "next", path
