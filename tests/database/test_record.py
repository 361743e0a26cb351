"""The end of an attempt is written although the handler's connection breaks under it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext

import pytest

from region_tick.claim import connect
from region_tick.contract import ExitCode
from region_tick.record import record
from tests.database.ticks import SUCCESS, TICK_AT, Observer, environment, first
from tests.pgbouncer import PgBouncer
from tests.waiting import eventually

HELD_UP = f"""
CREATE FUNCTION held_up() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER held_up AFTER UPDATE ON region_tick.job_run_{TICK_AT:%Y%m%d} INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION held_up();
SELECT pg_advisory_lock(1)
"""
"""From now on COMMIT waits for whoever says this."""
END_WHO_WAITS = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_an_end_that_is_cut_off_in_mid_commit_is_written_on_a_fresh_connection(
    pooled: bool, database: str, observer: Observer
) -> None:
    """What PgBouncer then says is an InternalError to psycopg: two results of one COMMIT."""
    with PgBouncer.before(database) if pooled else nullcontext() as bouncer, ThreadPoolExecutor(1) as pool:
        asked = environment(bouncer.url if bouncer else database)
        with closing(connect(asked.database)) as connection:
            claimed = first(database, connection)
            observer.connection.execute(HELD_UP.encode())
            recorded = pool.submit(record, asked, claimed, SUCCESS, connection=connection, within=60)
            eventually(lambda: observer.connection.execute(END_WHO_WAITS).fetchall(), what="COMMIT waits")
            observer.connection.execute("SELECT pg_advisory_unlock(1)")
            assert recorded.result(timeout=60) is ExitCode.FINAL
    assert observer.row()["state"] == "succeeded"
