"""The operator while its database is away: nothing is deleted, the status says so, and it recovers by itself."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import psycopg
import pytest

from devcluster.postgres import Postgres, StopMode
from region_operator.database.migrate import migrate
from region_tick.database_url import DatabaseUrl
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.conftest import RunOperator
    from tests.cluster.kubectl import Kubectl


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    """A Postgres of the test's own, migrated, with 20 regions."""
    with Postgres.temporary() as server:
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        with psycopg.connect(server.url()) as connection:
            connection.execute(
                "INSERT INTO region_index (code, name, cron_schedule)"
                " SELECT 'R' || n, 'Region', '*/5 * * * *' FROM generate_series(1, 20) n"
            )
        yield server


@pytest.mark.parametrize("mode", [StopMode.FAST, StopMode.IMMEDIATE])
def test_a_database_that_goes_and_comes_back(
    run_operator: RunOperator, kubectl: Kubectl, mortal: Postgres, mode: StopMode
) -> None:
    with run_operator(DATABASE_URL=mortal.url(), REGION_REFRESH_INTERVAL_MS="1000") as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="20 CronJobs")
        before = {code: item["metadata"]["uid"] for code, item in kubectl.cronjobs().items()}
        assert len(before) == 20

        mortal.stop(mode)
        ready = eventually(lambda: kubectl.ready() if kubectl.ready()["status"] == "False" else None, what="it is told")
        assert ready["reason"] == "DatabaseUnavailable"
        eventually(lambda: operator.get("/readyz")[0] == 503, what="not ready")
        assert operator.get("/healthz")[0] == 200
        failures = operator.metric("region_operator_reconciles_total", reason="DatabaseUnavailable")
        eventually(
            lambda: operator.metric("region_operator_reconciles_total", reason="DatabaseUnavailable") >= failures + 2,
            what="it tries again",
        )
        assert {code: item["metadata"]["uid"] for code, item in kubectl.cronjobs().items()} == before

        mortal.start()
        eventually(lambda: kubectl.ready()["status"] == "True", what="it recovers without a restart", seconds=60)
        with psycopg.connect(mortal.url()) as connection:
            connection.execute("UPDATE region_index SET cron_schedule = '@hourly' WHERE code = 'R1'")
        eventually(lambda: kubectl.cronjobs()["R1"]["spec"]["schedule"] == "@hourly", what="edits show again")
        assert {code: item["metadata"]["uid"] for code, item in kubectl.cronjobs().items()} == before


def test_a_start_without_a_database(run_operator: RunOperator, kubectl: Kubectl, mortal: Postgres) -> None:
    mortal.stop()
    with run_operator(DATABASE_URL=mortal.url()):
        eventually(lambda: kubectl.ready().get("reason") == "DatabaseUnavailable", what="it is told")
        mortal.start()
        eventually(lambda: len(kubectl.cronjobs()) == 20, what="it begins when the database is there", seconds=60)


def test_a_table_that_is_renamed_for_an_hour_is_no_table_without_rows(
    run_operator: RunOperator, kubectl: Kubectl, mortal: Postgres
) -> None:
    with run_operator(DATABASE_URL=mortal.url(), REGION_REFRESH_INTERVAL_MS="1000") as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="20 CronJobs")
        with psycopg.connect(mortal.url()) as connection:
            connection.execute("ALTER TABLE region_index RENAME TO region_index_old")
        ready = eventually(lambda: kubectl.ready() if kubectl.ready()["status"] == "False" else None, what="it is told")
        assert (ready["reason"], "region_index" in ready["message"]) == ("SourceUnreadable", True)
        assert len(kubectl.cronjobs()) == 20
        assert operator.logged("removed") == []


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
