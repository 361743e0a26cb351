"""The end of an attempt is written although the handler's connection breaks or hangs under it, and what was written is
known to be.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

import pytest

from region_tick.contract import ExitCode
from region_tick.record import record
from region_tick.session import connect
from tests.harness.pgbouncer import PgBouncer
from tests.harness.ticks import SUCCESS, Observer, environment, first
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    import psycopg

HELD_UP = """
CREATE FUNCTION held_up() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER held_up AFTER UPDATE ON {} INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION held_up();
SELECT pg_advisory_lock(1)
"""
END_IDLE = "SELECT pg_terminate_backend(%s, 5000)"
HERE = "JOIN pg_stat_activity USING (pid) WHERE datname = current_database() AND NOT granted"
WHO_WAITS_FOR_A_ROW = f"SELECT FROM pg_locks {HERE} AND locktype = 'transactionid'"
END_WHO_WAITS = f"SELECT pg_terminate_backend(pid) FROM pg_locks {HERE} AND locktype = 'advisory'"


def hold_up(connection: psycopg.Connection) -> None:
    """Have COMMIT of a change of the one row wait, from now on, for whoever says this."""
    (partition,) = connection.execute("SELECT tableoid::regclass::text FROM region_tick.job_run")
    connection.execute(HELD_UP.format(*partition).encode())


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_an_end_that_is_cut_off_in_mid_commit_is_written_on_a_fresh_connection(
    pooled: bool, database: str, observer: Observer
) -> None:
    """What PgBouncer then says is an InternalError to psycopg: two results of one COMMIT."""
    with PgBouncer.before(database) if pooled else nullcontext() as bouncer, ThreadPoolExecutor(1) as pool:
        asked = environment(bouncer.url if bouncer else database)
        with closing(connect(asked.database)) as connection:
            claimed = first(database, connection)
            hold_up(observer.connection)
            recorded = pool.submit(record, asked, claimed, SUCCESS, connection=connection, within=60)
            eventually(lambda: observer.connection.execute(END_WHO_WAITS).fetchall(), what="COMMIT waits")
            observer.connection.execute("SELECT pg_advisory_unlock(1)")
            assert recorded.result(timeout=60) is ExitCode.FINAL
    assert observer.row()["state"] == "succeeded"


def test_an_end_whose_commit_was_answered_too_late_is_known_to_be_written(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    """The server goes on with a COMMIT whose client has left."""
    claimed = first(database, connection)
    hold_up(observer.connection)
    with ThreadPoolExecutor(1) as pool:
        recorded = pool.submit(record, environment(database), claimed, SUCCESS, connection=connection, within=8)
        eventually(lambda: observer.connection.execute(WHO_WAITS_FOR_A_ROW).fetchall(), what="the second try waits")
        observer.connection.execute("SELECT pg_advisory_unlock(1)")
        assert recorded.result(timeout=60) is ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["attempt"]) == ("succeeded", 1)


@pytest.mark.parametrize(
    "columns",
    [
        {"attempt": 2, "state": "succeeded", "reason": "ok"},
        {"state": "failed", "reason": "lost"},
        {"state": "running", "lease_until": "-infinity"},
    ],
    ids=["another attempt", "closed by the ledger", "open"],
)
def test_an_end_that_somebody_else_wrote_is_not_ours(
    columns: dict[str, object], database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    claimed = first(database, connection)
    observer.change(**columns)
    observer.connection.execute(END_IDLE, (connection.info.backend_pid,))
    assert record(environment(database), claimed, SUCCESS, connection=connection, within=20) is ExitCode.AGAIN
