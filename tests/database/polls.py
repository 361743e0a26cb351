"""Ticks of the handler `poll` as processes, and what they leave behind."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.rows import dict_row

from region_tick.contract import ExitCode
from tests.database.tick_process import Process, Ticks
from tests.harness.ticks import SOURCE, Observer, variables

if TYPE_CHECKING:
    from collections.abc import Mapping

FEED = "<rss><channel><item><guid>{0}-1</guid></item><item><guid>{0}-2</guid></item></channel></rss>"


class Polls:
    """Polls the creators of one database."""

    def __init__(self, ticks: Ticks, observer: Observer) -> None:
        self._ticks, self.connection = ticks, observer.connection
        self._first = datetime.now(UTC).replace(second=0, microsecond=0)
        self._number = -1

    def add(
        self, url: str | None = None, *, platform: str = "http", handle: str | None = None, region_id: str = "42"
    ) -> int:
        added = self.connection.execute(
            "INSERT INTO region_tick.creator (source, region_id, platform, handle, url)"
            " VALUES (%s, %s, %s, %s, %s) RETURNING id",
            (SOURCE, region_id, platform, handle, url),
        ).fetchone()
        assert added is not None
        return int(added[0])

    def start(
        self, environment: Mapping[str, str] | None = None, *, again: bool = False, region_id: str = "42"
    ) -> Process:
        """Start the next tick, or the same one again: the first of the minute in which the test began, each an
        hour after the other, which is later than whatever the other asked.
        """
        self._number += not again
        pod = self.environment(environment, region_id=region_id)
        self._ticks.processes.append(Process(self._ticks.folder, pod, "-m", "region_tick"))
        return self._ticks.processes[-1]

    def environment(self, changes: Mapping[str, str] | None = None, *, region_id: str = "42") -> dict[str, str]:
        """Return the environment of the tick that was started last, or of a first one."""
        tick_at = self._first + timedelta(hours=max(0, self._number))
        pod = variables(self._ticks.database, tick_at=tick_at, HANDLER="poll", REGION_ID=region_id)
        return pod | {"POLL_ALLOW_NETWORKS": "127.0.0.0/8", **(changes or {})}

    def write_module(self, name: str, code: str) -> None:
        """Write a module that the ticks can import."""
        (self._ticks.folder / f"{name}.py").write_text(code)

    def counts(self, environment: Mapping[str, str] | None = None, *, region_id: str = "42") -> dict[str, int]:
        """Run the next tick to its success; return its counts as job_run has them."""
        process = self.start(environment, region_id=region_id)
        assert process.exit_code() == ExitCode.FINAL, process.lines
        return dict(self.runs(region_id)[-1]["counts"])

    def runs(self, region_id: str = "42") -> list[dict[str, Any]]:
        rows = self.rows("SELECT * FROM region_tick.job_run ORDER BY tick_at")
        return [row for row in rows if row["region_id"] == region_id]

    def creators(self) -> dict[int, dict[str, Any]]:
        """Return the state of each creator's upstream by the creator's id."""
        rows = self.rows(
            "SELECT upstream.*, creator.id AS creator,"
            " extract(epoch FROM upstream.not_before - clock_timestamp())::float8 AS wait"
            " FROM region_tick.creator JOIN region_tick.upstream ON upstream.id = upstream_id"
        )
        return {row["creator"]: row for row in rows}

    def items(self, creator: int) -> list[str]:
        rows = self.rows("SELECT creator_id, item_id FROM region_tick.item ORDER BY item_id")
        return [row["item_id"] for row in rows if row["creator_id"] == creator]

    def rows(self, query: str) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode()).fetchall()

    def everything(self) -> str:
        """All rows of all tables, as text."""
        tables = self.rows(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname IN ('public', 'region_tick')"
        )
        rows = [row for table in tables for row in self.rows(f"SELECT * FROM {table['name']}")]
        return json.dumps(rows, default=str)


@pytest.fixture
def polls(ticks: Ticks, observer: Observer) -> Polls:
    return Polls(ticks, observer)


def some(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts that are not 0."""
    return {name: count for name, count in counts.items() if count}
