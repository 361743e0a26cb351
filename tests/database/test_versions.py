"""Every promised version of Postgres can be migrated, and a tick can be claimed and finished there.

The other tests of this folder say more, about the one version that POSTGRES names.
"""

from __future__ import annotations

import asyncio
from contextlib import closing

import psycopg
import pytest

from devcluster.postgres import Postgres
from devcluster.postgres_programs import MAJORS
from region_operator.database.migrate import migrate, newest_revision
from region_tick.database_url import DatabaseUrl
from region_tick.fence import finish
from region_tick.session import connect
from tests.harness.ticks import SUCCESS, first


@pytest.mark.parametrize("major", MAJORS)
def test_an_empty_database_is_migrated_and_takes_a_tick(major: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES", str(major))
    with Postgres.temporary() as server:
        url = DatabaseUrl.parse(server.url())
        reports = [asyncio.run(migrate(url)) for _ in range(2)]
        assert [(report.before, report.after) for report in reports] == [
            (None, newest_revision()),
            (newest_revision(), newest_revision()),
        ]
        with closing(connect(url)) as connection:
            assert connection.info.server_version // 10_000 == major
            assert finish(connection, first(server.url(), connection), SUCCESS, job_name="job")
        with psycopg.connect(server.url()) as observer:
            assert observer.execute("SELECT state, attempt FROM region_tick.runs").fetchall() == [("succeeded", 1)]
