"""The operator's start without a database, and its end with one. What happens in between: tests/faults."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import psycopg
import pytest

from devcluster.postgres import Postgres
from region_operator.database.migrate import migrate
from region_tick.database_url import DatabaseUrl
from tests.harness.regions import add_regions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    """A Postgres of the test's own, migrated, with 20 regions."""
    with Postgres.temporary() as server:
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        add_regions(server.url(), 20)
        yield server


def test_a_start_without_a_database(run_operator: RunOperator, kubectl: Kubectl, mortal: Postgres) -> None:
    mortal.stop()
    with run_operator(DATABASE_URL=mortal.url()):
        eventually(lambda: kubectl.ready().get("reason") == "DatabaseUnavailable", what="it is told")
        mortal.start()
        eventually(lambda: len(kubectl.cronjobs()) == 20, what="it begins when the database is there", seconds=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_and_closes_its_connections(
    run_operator: RunOperator, kubectl: Kubectl, mortal: Postgres, number: signal.Signals
) -> None:
    with run_operator(DATABASE_URL=mortal.url()) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="20 CronJobs")
        eventually(lambda: sessions(mortal) > 0, what="connections")
        operator.signal(number)
        assert operator.wait() == 0
        assert [line["event"] for line in operator.lines][-1] == "stopped"
    eventually(lambda: sessions(mortal) == 0, what="no connection is left")


def sessions(server: Postgres) -> int:
    with psycopg.connect(server.url()) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'region-operator%'"
        ).fetchone()
        return int(found[0]) if found else 0
