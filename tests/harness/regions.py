"""Adds regions to a table, for all tests and benchmarks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import psycopg

from region_operator.database.row_trigger import RowTrigger
from region_operator.scheduler import Columns

if TYPE_CHECKING:
    from collections.abc import Iterable

ONCE_A_YEAR = f"0 0 1 {1 if 3 < datetime.now(UTC).month < 11 else 7} *"
"""A schedule with no tick in the next months, whenever the tests run. The CronJob controller writes a CronJob's status
at each tick. So a CronJob with this schedule stays as it is.
"""
ROW_TRIGGER = RowTrigger.of(Columns()).name
"""The trigger for each row of a table with the default columns."""
EVERY_MINUTE = "* * * * *"
EVERY_FIVE_MINUTES = "*/5 * * * *"

INSERT = (
    "INSERT INTO {table} (id, code, name, cron_schedule)"
    " SELECT md5(code)::uuid, code, 'Region ' || code, %s FROM unnest(%s::text[]) code"
)


class AddRegions(Protocol):
    """Adds regions to the table of the test's own database, like add_regions."""

    def __call__(self, codes: int | Iterable[str], *, cron: str = ONCE_A_YEAR, table: str = "region_index") -> None: ...


def numbered(first: int, last: int) -> list[str]:
    """Return the codes R<first> to R<last>."""
    return [f"R{number}" for number in range(first, last + 1)]


def add_regions(
    database: str | psycopg.Connection[Any],
    codes: int | Iterable[str],
    *,
    cron: str = ONCE_A_YEAR,
    table: str = "region_index",
) -> None:
    """Add regions by one statement. `codes` are the regions' codes; a number n means R1 to Rn.

    The id is a hash of the code. So a region that is added again after its deletion is the same region.
    """
    texts = numbered(1, codes) if isinstance(codes, int) else list(codes)
    statement = INSERT.format(table=table).encode()
    if isinstance(database, str):
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(statement, (cron, texts))
    else:
        database.execute(statement, (cron, texts))
