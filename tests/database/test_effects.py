"""A handler's transactions on a real Postgres: what a stale attempt does in them is never committed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import class_row, scalar_row

from region_tick.claim import Claimed, claim
from region_tick.effects import Effects, MisuseError
from region_tick.fence import guard_within, renew
from region_tick.handlers import LeaseLostError, Outcome, PermanentError
from region_tick.session import connect
from tests.harness.pgbouncer import PgBouncer
from tests.harness.ticks import LEASE, Observer, environment, first, until_blocked
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

LOST: list[dict[str, object]] = [
    {"attempt": 2},
    {"state": "missed"},
    {"state": "interrupted"},
    {"lease_until": datetime(2026, 1, 1, tzinfo=UTC)},
]


@pytest.fixture(autouse=True)
def table_of_effects(observer: Observer) -> None:
    observer.connection.execute("CREATE TABLE effect (attempt integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")


@pytest.fixture
def effects(database: str, connection: psycopg.Connection) -> Effects:
    return Effects(connection, first(database, connection))


def made(observer: Observer) -> list[int]:
    return [attempt for (attempt,) in observer.connection.execute("SELECT attempt FROM effect ORDER BY 1")]


def test_while_the_lease_holds_effects_are_committed(effects: Effects, observer: Observer) -> None:
    with effects.transaction() as connection:
        connection.execute("INSERT INTO effect VALUES (1)")
        assert made(observer) == []
    assert made(observer) == [1]
    assert (observer.row()["state"], effects.finished) == ("running", None)


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: next(iter(lost)))
@pytest.mark.parametrize("finishing", [False, True])
def test_an_attempt_that_lost_its_lease_commits_nothing(
    finishing: bool, lost: dict[str, object], effects: Effects, observer: Observer
) -> None:
    with pytest.raises(LeaseLostError, match="attempt 1"), effects.transaction() as connection:  # noqa: PT012
        connection.execute("INSERT INTO effect VALUES (1)")
        if finishing:
            effects.finish(Outcome())
        observer.change(**lost)
        before = observer.row()
    assert made(observer) == []
    assert observer.row() | {"now": None} == before | {"now": None}
    assert effects.finished is None


def test_one_that_was_taken_over_in_mid_transaction_commits_nothing(
    effects: Effects, database: str, observer: Observer
) -> None:
    with pytest.raises(LeaseLostError), effects.transaction() as connection:  # noqa: PT012
        connection.execute("INSERT INTO effect VALUES (1)")
        observer.expire()
        with closing(connect(environment(database).database)) as other:
            assert first(database, other).attempt == 2
    assert made(observer) == []


def test_one_that_is_being_taken_over_commits_nothing(effects: Effects, database: str, observer: Observer) -> None:
    """The take-over is not committed yet: the old row shows that its lease is over."""
    observer.expire()
    with closing(connect(environment(database).database)) as other, other.transaction():
        assert first(database, other).attempt == 2
        with pytest.raises(LeaseLostError), effects.transaction() as connection:
            connection.execute("INSERT INTO effect VALUES (1)")
    assert made(observer) == []


def test_a_take_over_waits_for_effects_whose_guard_came_first(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    """The lease ends between guard and COMMIT: who takes over sees the effects."""
    with closing(connect(environment(database).database)) as other, ThreadPoolExecutor(1) as pool:
        claimed = first(database, connection, lease_seconds=4)  # long enough for the guard
        with connection.transaction():
            connection.execute("INSERT INTO effect VALUES (1)")
            assert guard_within(connection, claimed)
            until = observer.row()["lease_until"]
            eventually(lambda: observer.row()["now"] > until, what="the lease is over")
            taking_over = pool.submit(claim, other, environment(database), lease_seconds=LEASE)
            until_blocked(database, other)
            assert not taking_over.done()
        verdict = taking_over.result(timeout=60)
        assert isinstance(verdict, Claimed)
        assert verdict.attempt == 2
    assert made(observer) == [1]


@pytest.mark.parametrize("rolled_back_by", [ValueError, psycopg.Rollback])
def test_what_a_handler_breaks_off_is_rolled_back_and_finishes_nothing(
    rolled_back_by: type[Exception], effects: Effects, observer: Observer
) -> None:
    try:
        with effects.transaction() as connection:
            connection.execute("INSERT INTO effect VALUES (1)")
            effects.finish(Outcome())
            raise rolled_back_by
    except ValueError:
        pass
    assert (made(observer), observer.row()["state"], effects.finished) == ([], "running", None)
    with effects.transaction() as connection:
        connection.execute("INSERT INTO effect VALUES (2)")
    assert (made(observer), observer.row()["state"], effects.finished) == ([2], "running", None)


def test_effects_and_the_end_of_their_tick_are_committed_together(effects: Effects, observer: Observer) -> None:
    with effects.transaction() as connection:
        inserted = connection.execute("INSERT INTO effect VALUES (1), (2)").rowcount
        effects.finish(Outcome({"inserted": inserted}, reason="enough"))
        assert observer.row()["state"] == "running"
    assert made(observer) == [1, 2]
    row = observer.row()
    assert (row["state"], row["reason"], row["counts"]) == ("succeeded", "enough", {"inserted": 2})
    assert row["lease_until"] <= row["now"]
    assert effects.finished is not None
    assert effects.finished.counts == {"inserted": 2}


def test_finishing_in_a_savepoint_is_refused_because_its_rollback_would_leave_the_end(
    effects: Effects, observer: Observer
) -> None:
    with effects.transaction() as connection:
        with connection.transaction():
            connection.execute("INSERT INTO effect VALUES (1)")
            with pytest.raises(MisuseError, match=r"last step of tick\.transaction\(\) itself"):
                effects.finish(Outcome())
            raise psycopg.Rollback
        connection.execute("INSERT INTO effect VALUES (2)")
    assert (made(observer), observer.row()["state"]) == ([2], "running")
    with effects.transaction() as connection:
        with connection.transaction():
            connection.execute("INSERT INTO effect VALUES (3)")
        effects.finish(Outcome())
    assert (made(observer), observer.row()["state"]) == ([2, 3], "succeeded")


@pytest.mark.parametrize(
    "ended_by", ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"]
)
@pytest.mark.parametrize("finishing", [False, True])
def test_sql_that_ends_the_transaction_is_an_error_that_says_so_and_no_attempt_follows(
    finishing: bool, ended_by: str, effects: Effects, observer: Observer
) -> None:
    with pytest.raises(MisuseError, match="take that SQL out") as caught, effects.transaction() as connection:  # noqa: PT012
        connection.execute("INSERT INTO effect VALUES (1)")
        connection.execute(ended_by.encode())
        if finishing:
            effects.finish(Outcome())
    assert isinstance(caught.value, PermanentError)
    assert (observer.row()["state"], effects.finished) == ("running", None)


def test_a_session_that_is_lost_in_mid_transaction_is_no_misuse(effects: Effects, observer: Observer) -> None:
    with pytest.raises(psycopg.OperationalError), effects.transaction() as connection:  # noqa: PT012
        connection.execute("INSERT INTO effect VALUES (1)")
        observer.connection.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        with suppress(psycopg.Error):
            connection.execute("SELECT 1")


def test_a_tick_ends_inside_of_its_window_or_not_at_all(effects: Effects, observer: Observer) -> None:
    end = observer.row()["window_end"]
    with effects.transaction():
        with pytest.raises(PermanentError, match="is outside of the tick's window, which goes from the beginning to"):
            effects.finish(Outcome(fetched_until=end + timedelta(seconds=1)))
        effects.finish(Outcome(fetched_until=end - timedelta(hours=1)))
    assert observer.row()["window_end"] == end - timedelta(hours=1)


def test_a_commit_that_fails_finishes_nothing(effects: Effects, observer: Observer) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation), effects.transaction() as connection:  # noqa: PT012
        connection.execute("INSERT INTO effect VALUES (1), (1)")
        effects.finish(Outcome())
    assert (observer.row()["state"], effects.finished) == ("running", None)


def test_finishing_belongs_into_a_transaction(effects: Effects) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="call it inside, or return the Outcome"):
        effects.finish(Outcome())
    with effects.transaction():
        pass
    with pytest.raises(psycopg.ProgrammingError):
        effects.finish(Outcome())


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_transaction_inside_another_is_refused(
    autocommit: bool, effects: Effects, connection: psycopg.Connection, observer: Observer
) -> None:
    connection.autocommit = autocommit
    connection.execute("BEGIN" if autocommit else "SELECT 1")
    with pytest.raises(psycopg.ProgrammingError, match="end that one first"), effects.transaction():
        raise AssertionError("it was begun")
    connection.rollback()
    with effects.transaction() as inside:
        inside.execute("INSERT INTO effect VALUES (1)")
        with pytest.raises(psycopg.ProgrammingError), effects.transaction():
            raise AssertionError("it was begun")
    assert made(observer) == [1]


@pytest.mark.parametrize(
    "setting",
    [
        {"row_factory": scalar_row},
        {"row_factory": class_row(dict)},
        {"cursor_factory": psycopg.RawCursor},
        {"autocommit": False},
        {"isolation_level": psycopg.IsolationLevel.SERIALIZABLE},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_a_handler_may_set_up_its_connection_as_it_likes(
    setting: dict[str, Any], effects: Effects, connection: psycopg.Connection, observer: Observer
) -> None:
    for name, value in setting.items():
        setattr(connection, name, value)
    with effects.transaction() as inside:
        inside.execute("INSERT INTO effect VALUES (1)")
    with effects.transaction() as inside:
        inside.execute("INSERT INTO effect VALUES (2)")
        effects.finish(Outcome())
    assert (made(observer), observer.row()["state"]) == ([1, 2], "succeeded")


def test_waits_are_bounded_and_nothing_of_it_stays(effects: Effects, connection: psycopg.Connection) -> None:
    with effects.transaction() as inside:
        assert inside.execute("SHOW lock_timeout").fetchone() == ("5s",)
        assert inside.execute("SHOW statement_timeout").fetchone() == ("10s",)
        assert inside.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("1min",)
    assert connection.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_a_lease_renewed_in_mid_transaction_is_no_conflict_whatever_the_servers_default(
    database: str, observer: Observer
) -> None:
    name = sql.Identifier(observer.connection.info.dbname)
    observer.connection.execute(
        sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'").format(name)
    )
    parsed = environment(database).database
    with closing(connect(parsed)) as connection, closing(connect(parsed)) as renewing:
        claimed = first(database, connection)
        effects = Effects(connection, claimed)
        with effects.transaction() as inside:
            inside.execute("INSERT INTO effect VALUES (1)")
            assert renew(renewing, claimed, lease_seconds=LEASE)
        with effects.transaction() as inside:
            inside.execute("INSERT INTO effect VALUES (2)")
            assert renew(renewing, claimed, lease_seconds=LEASE)
            effects.finish(Outcome())
    assert (made(observer), observer.row()["state"]) == ([1, 2], "succeeded")


@pytest.fixture
def behind_pgbouncer(database: str) -> Iterator[str]:
    with PgBouncer.before(database) as pooler:
        yield pooler.url


def test_it_is_so_behind_a_pgbouncer_in_transaction_mode(behind_pgbouncer: str, observer: Observer) -> None:
    """Two connections of the server for all: each transaction may have another."""
    parsed = environment(behind_pgbouncer).database
    with closing(connect(parsed)) as connection, closing(connect(parsed)) as other:
        effects = Effects(connection, first(behind_pgbouncer, connection))
        with effects.transaction() as inside:
            inside.execute("INSERT INTO effect VALUES (1)")
        observer.expire()
        with pytest.raises(LeaseLostError), effects.transaction() as inside:  # noqa: PT012
            inside.execute("INSERT INTO effect VALUES (2)")
            later = Effects(other, first(behind_pgbouncer, other))
        with later.transaction() as inside:
            inside.execute("INSERT INTO effect VALUES (3)")
            later.finish(Outcome())
    assert (made(observer), observer.row()["state"]) == ([1, 3], "succeeded")
