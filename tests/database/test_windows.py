"""Fetch windows on a real Postgres: from the last success to the tick, whatever order ticks end in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.claim import Claimed, Final, claim
from region_tick.contract import Reason, State
from region_tick.fence import Ending, finish
from region_tick.handlers import Window
from region_tick.session import connect
from tests.harness.ticks import LEASE, SUCCESS, TICK_AT, Observer, ago, environment, first, until_blocked

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Claim = Callable[..., Claimed]

INTERRUPTED = Ending(state=State.INTERRUPTED, reason=Reason.ERROR, error=ValueError("no"))
FAILED = Ending(state=State.FAILED, reason=Reason.ERROR, error=ValueError("no"))


@pytest.fixture
def begin(database: str, connection: psycopg.Connection) -> Claim:
    """Claim the tick of so many minutes ago."""

    def begin(minutes: float, **changes: Any) -> Claimed:
        return first(database, connection, tick_at=ago(minutes=minutes), **changes)

    return begin


def end(connection: psycopg.Connection, claimed: Claimed, ending: Ending = SUCCESS) -> None:
    assert finish(connection, claimed, ending)


def cursor(observer: Observer) -> datetime | None:
    """Return where the cursor of the only region stands."""
    rows = observer.connection.execute("SELECT window_end FROM region_tick.region_cursor").fetchall()
    assert len(rows) <= 1
    return rows[0][0] if rows else None


def test_the_first_window_has_no_start(begin: Claim, observer: Observer) -> None:
    assert begin(5).window == Window(start=None, end=ago(minutes=5))
    row = observer.row()
    assert (row["window_start"], row["window_end"]) == (None, ago(minutes=5))
    assert cursor(observer) is None


def test_a_window_begins_where_the_last_success_ended(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    end(connection, begin(15))
    assert cursor(observer) == ago(minutes=15)
    end(connection, begin(10), FAILED)
    end(connection, begin(5), INTERRUPTED)
    claimed = begin(0)
    assert claimed.window == Window(start=ago(minutes=15), end=TICK_AT)
    assert claimed.window.start is not None
    assert claimed.window.start.tzinfo is UTC
    row = observer.rows()[-1]
    assert (row["window_start"], row["window_end"]) == (ago(minutes=15), TICK_AT)


def test_a_retry_begins_where_the_cursor_has_come_meanwhile(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    end(connection, begin(15))
    end(connection, begin(5), INTERRUPTED)
    end(connection, begin(10))
    assert begin(5, START_DEADLINE_SECONDS="15").window == Window(start=ago(minutes=10), end=ago(minutes=5))
    row = observer.rows()[1]
    assert (row["attempt"], row["window_start"], row["window_end"]) == (2, ago(minutes=10), ago(minutes=5))


def test_what_a_later_tick_has_fetched_is_not_fetched_again(begin: Claim, connection: psycopg.Connection) -> None:
    end(connection, begin(5))
    assert begin(10).window == Window(start=ago(minutes=10), end=ago(minutes=10))


@pytest.mark.parametrize("older_first", [True, False])
@pytest.mark.parametrize("before", [True, False], ids=["a success before", "none before"])
def test_of_two_that_overlap_the_later_one_moves_the_cursor_whichever_ends_first(
    before: bool, older_first: bool, begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    if before:
        end(connection, begin(15))
    older, newer = begin(10), begin(5)
    assert older.window.start == newer.window.start == (ago(minutes=15) if before else None)
    for each in (older, newer) if older_first else (newer, older):
        end(connection, each)
    assert cursor(observer) == ago(minutes=5)


def test_two_that_end_at_once_leave_the_later_cursor(
    begin: Claim, database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    """The older one's statement begins before the newer one's commit."""
    end(connection, begin(15))
    older, newer = begin(10), begin(5)
    with closing(connect(environment(database).database)) as other, ThreadPoolExecutor(1) as pool:
        with other.transaction():
            end(other, newer)
            ending = pool.submit(end, connection, older)
            until_blocked(database, connection)
        ending.result(timeout=60)
    assert cursor(observer) == ago(minutes=5)


@pytest.mark.parametrize("ending", [FAILED, INTERRUPTED], ids=["failed", "interrupted"])
def test_only_a_success_moves_the_cursor(
    ending: Ending, begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    end(connection, begin(10), ending)
    assert cursor(observer) is None
    end(connection, begin(5))
    end(connection, begin(0), ending)
    assert cursor(observer) == ago(minutes=5)


def test_an_attempt_that_lost_its_lease_moves_nothing(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    claimed = begin(5)
    observer.expire()
    assert not finish(connection, claimed, SUCCESS)
    assert cursor(observer) is None


def test_a_manual_run_reads_the_cursor_and_moves_nothing(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    end(connection, begin(0, JOB_NAME="by-hand", JOB_UID="uid-1"))
    assert cursor(observer) is None
    end(connection, begin(5))
    manual = begin(0, JOB_NAME="by-hand", JOB_UID="uid-2")
    assert manual.window == Window(start=ago(minutes=5), end=manual.key.tick_at)
    end(connection, manual)
    assert cursor(observer) == ago(minutes=5)


def test_each_handler_and_each_region_has_a_cursor_of_its_own(begin: Claim, connection: psycopg.Connection) -> None:
    end(connection, begin(10))
    assert begin(5, HANDLER="poll").window.start is None
    assert begin(5, REGION_ID="43").window.start is None
    assert begin(5, SOURCE="other.regions").window.start is None


def test_a_tick_that_is_late_has_no_window(database: str, connection: psycopg.Connection, observer: Observer) -> None:
    late = environment(database, tick_at=ago(minutes=10), START_DEADLINE_SECONDS="15")
    assert isinstance(claim(connection, late, lease_seconds=LEASE), Final)
    row = observer.row()
    assert (row["state"], row["window_start"], row["window_end"]) == ("skipped", None, None)


def test_a_cursor_set_back_by_hand_stays_back_although_a_tick_was_at_work(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    end(connection, begin(10))
    at_work = begin(5)
    observer.connection.execute("UPDATE region_tick.region_cursor SET window_end = %s", (ago(minutes=60),))
    end(connection, at_work)
    assert cursor(observer) == ago(minutes=60)
    end(connection, begin(0))
    assert cursor(observer) == TICK_AT


def test_a_cursor_deleted_by_hand_stays_deleted_although_a_tick_was_at_work(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    end(connection, begin(10))
    at_work = begin(5)
    observer.connection.execute("DELETE FROM region_tick.region_cursor")
    end(connection, at_work)
    assert cursor(observer) is None
    assert begin(0).window.start is None


def test_the_view_of_runs_has_durations_and_marks_what_was_run_by_hand(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    end(connection, begin(0))
    begin(0, JOB_NAME="by-hand", JOB_UID="uid-1")
    runs = observer.connection.execute("SELECT manual, state, duration FROM region_tick.runs ORDER BY manual")
    (done, by_hand) = runs.fetchall()
    assert done[:2] == (False, "succeeded")
    assert done[2] > timedelta(0)
    assert by_hand == (True, "running", None)


def partly(until: datetime) -> Ending:
    return Ending(state=State.SUCCEEDED, reason=Reason.OK, fetched_until=until)


def test_a_handler_that_came_only_so_far_leaves_the_rest_to_the_next_tick(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    end(connection, begin(60))
    end(connection, begin(30), partly(ago(minutes=50)))
    assert cursor(observer) == ago(minutes=50)
    row = observer.rows()[-1]
    assert (row["window_start"], row["window_end"]) == (ago(minutes=60), ago(minutes=50))
    assert begin(0).window == Window(start=ago(minutes=50), end=TICK_AT)


def test_a_first_window_may_be_fetched_in_part(begin: Claim, connection: psycopg.Connection) -> None:
    end(connection, begin(10), partly(ago(days=3)))
    assert begin(5).window.start == ago(days=3)


def test_one_that_came_nowhere_leaves_the_cursor(begin: Claim, connection: psycopg.Connection) -> None:
    end(connection, begin(10))
    end(connection, begin(5), partly(ago(minutes=10)))
    assert begin(0).window.start == ago(minutes=10)


def test_what_a_manual_run_fetched_in_part_moves_nothing(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    end(connection, begin(10))
    end(connection, begin(0, JOB_NAME="by-hand", JOB_UID="uid-1"), partly(ago(minutes=5)))
    assert cursor(observer) == ago(minutes=10)


def test_the_last_success_is_that_of_the_tick_although_the_cursor_stands_elsewhere(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    observer.connection.execute(
        "INSERT INTO region_tick.region_schedule (source, region_id, cron, code, valid_from, cronjob,"
        " start_deadline_seconds) VALUES ('public.region_index', '42', '', '', now(), '', 1)"
    )
    end(connection, begin(10), partly(ago(days=3)))
    row = observer.connection.execute("SELECT tick_at FROM region_tick.last_success").fetchone()
    assert row == (ago(minutes=10),)


def test_a_window_is_cut_and_a_retry_gets_the_same_one(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    end(connection, begin(500))
    for attempt in (1, 2):
        claimed = begin(5, MAX_WINDOW_SECONDS="3600")
        assert claimed.attempt == attempt
        assert claimed.window == Window(start=ago(minutes=500), end=ago(minutes=440))
        end(connection, claimed, INTERRUPTED)
    assert observer.rows()[-1]["window_end"] == ago(minutes=440)


def test_a_first_window_is_not_cut_for_it_has_no_beginning(begin: Claim) -> None:
    assert begin(5, MAX_WINDOW_SECONDS="60").window == Window(start=None, end=ago(minutes=5))


def test_an_outage_of_a_day_is_caught_up_in_order_hour_by_hour_and_the_ledger_shows_it(
    begin: Claim, connection: psycopg.Connection, observer: Observer
) -> None:
    """A tick every five minutes, with windows of an hour: after 24 hours without one, the 27th tick has caught up."""
    end(connection, begin(24 * 60 + 130, START_DEADLINE_SECONDS="200000"))
    fetched = []
    for minutes in range(130, -1, -5):
        claimed = begin(minutes, MAX_WINDOW_SECONDS="3600")
        fetched.append((claimed.window.start, claimed.window.end))
        end(connection, claimed)
    assert fetched[0] == (ago(minutes=24 * 60 + 130), ago(minutes=23 * 60 + 130))
    assert [start for start, _ in fetched[1:]] == [stop for _, stop in fetched[:-1]]
    assert fetched[-1] == (ago(minutes=10), TICK_AT)
    hour = timedelta(hours=1)
    assert {stop - start for start, stop in fetched[:26] if start is not None} == {hour}
    shown = observer.connection.execute(
        "SELECT window_start, window_end FROM region_tick.runs WHERE window_start IS NOT NULL ORDER BY tick_at"
    ).fetchall()
    assert shown == fetched
