"""rerun.py on a real Postgres: which ticks are run again, by whom, and what stays as it was."""

from __future__ import annotations

import secrets
import signal
import threading
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from region_tick.claim import Claimed, Final, Leased, NotDue, claim
from region_tick.contract import ExitCode, Reason, State, job_name, rerun_job_name
from region_tick.database_url import DatabaseUrl
from region_tick.fence import Ending, finish
from region_tick.handlers import Window
from region_tick.rerun import claim_again
from region_tick.session import connect
from tests.harness.ticks import (
    CRONJOB,
    LEASE,
    SOURCE,
    SUCCESS,
    TICK_AT,
    Observer,
    ago,
    environment,
    first,
    until_blocked,
)

if TYPE_CHECKING:
    from region_tick.claim import ClaimResult
    from tests.database.tick_process import Ticks

NOT_SUCCEEDED = [state for state in State if state.final and state is not State.SUCCEEDED]
FAILED = Ending(state=State.FAILED, reason=Reason.ERROR, error=ValueError("no"))
FIVE_MINUTES = timedelta(minutes=5)
EVERY_FIVE = "*/5 * * * *"


def on_the_fives(minutes: float = 0) -> datetime:
    """Return a tick of EVERY_FIVE, at least `minutes` before TICK_AT."""
    moment = ago(minutes=minutes)
    return moment - timedelta(minutes=moment.minute % 5)


def again(
    database: str, connection: psycopg.Connection, uid: str = "rerun-1", *, tick_at: datetime = TICK_AT, **changes: str
) -> ClaimResult:
    """Claim a tick as a rerun's pod does."""
    named = {
        "JOB_NAME": rerun_job_name(CRONJOB, tick_at, attempt=1),
        "RERUN_OF": f"{tick_at:%Y-%m-%dT%H:%M:00Z}",
        "RERUN_BY": "alice: after the outage",
        "JOB_UID": uid,
        "START_DEADLINE_SECONDS": "1",
    }
    return claim_again(connection, environment(database, tick_at=None, **(named | changes)), lease_seconds=LEASE)


def claimed_again(
    database: str, connection: psycopg.Connection, uid: str = "rerun-1", *, tick_at: datetime = TICK_AT, **changes: str
) -> Claimed:
    verdict = again(database, connection, uid, tick_at=tick_at, **changes)
    assert isinstance(verdict, Claimed), verdict
    return verdict


@pytest.fixture
def missed(observer: Observer) -> datetime:
    """A tick of an hour ago that was missed, as the ledger writes its row."""
    tick_at = on_the_fives(60)
    put_final(observer, tick_at)
    return tick_at


def put_final(observer: Observer, tick_at: datetime, state: State = State.MISSED, cron: str = EVERY_FIVE) -> None:
    observer.connection.execute(
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, job_name, state, reason,"
        " finished_at, counted) VALUES (%s, '42', %s, 'ch-zrh', %s, %s, %s, 'not created', now(), true)",
        (SOURCE, tick_at, cron, job_name(CRONJOB, tick_at), state),
    )


@pytest.mark.parametrize("state", NOT_SUCCEEDED)
def test_a_final_tick_that_did_not_succeed_is_opened_again_as_the_next_attempt(
    state: State, database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    first(database, connection)
    observer.change(
        state=state, reason="so it is", counted=True, error_class="E", error_message="no", finished_at=TICK_AT,
        exit_code=65, log_attempt=1, log_lines="asked",
    )  # fmt: skip
    observer.expire()
    claimed = claimed_again(database, connection)
    assert (claimed.attempt, claimed.rerun, claimed.key.manual_uid, claimed.key.tick_at) == (2, True, "", TICK_AT)
    row = observer.row()
    told = (
        "state",
        "reason",
        "attempt",
        "counted",
        "rerun_uid",
        "rerun_by",
        "finished_at",
        "error_class",
        "error_message",
        "exit_code",
        "log_attempt",
        "log_lines",
    )
    assert [row[column] for column in told] == [
        "running", None, 2, False, "rerun-1", "alice: after the outage", None, None, None, None, 1, "asked",
    ]  # fmt: skip
    assert timedelta(seconds=LEASE - 1) < row["lease_until"] - row["started_at"] < timedelta(seconds=LEASE + 1)
    assert row["job_name"] == rerun_job_name(CRONJOB, TICK_AT, attempt=1)


def test_a_success_is_final_for_every_rerun(database: str, connection: psycopg.Connection, observer: Observer) -> None:
    claimed = first(database, connection)
    assert finish(connection, claimed, SUCCESS)
    before = observer.row()
    assert again(database, connection) == Final(claimed.key, State.SUCCEEDED, Reason.OK)
    assert observer.row() | {"now": None} == before | {"now": None}


def test_a_rerun_opens_a_tick_once_and_another_rerun_once_more(
    database: str, connection: psycopg.Connection, missed: datetime, observer: Observer
) -> None:
    claimed = claimed_again(database, connection, tick_at=missed)
    assert finish(connection, claimed, FAILED)
    assert again(database, connection, tick_at=missed) == Final(claimed.key, State.FAILED, Reason.ERROR)
    other = claimed_again(database, connection, "rerun-2", tick_at=missed)
    assert (claimed.attempt, other.attempt) == (1, 2)
    assert finish(connection, other, SUCCESS)
    for uid in ("rerun-1", "rerun-2", "rerun-3"):
        assert isinstance(again(database, connection, uid, tick_at=missed), Final)
    row = observer.row()
    assert (row["attempt"], row["state"], row["rerun_uid"]) == (2, "succeeded", "rerun-2")


def test_a_rerun_waits_for_whoever_has_the_lease_and_takes_over_when_it_is_over(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    claimed = first(database, connection)
    verdict = again(database, connection)
    assert verdict == Leased(claimed.key, attempt=1, until=observer.row()["lease_until"])
    observer.expire()
    assert claimed_again(database, connection).attempt == 2
    assert again(database, connection, "rerun-2") == Leased(claimed.key, 2, observer.row()["lease_until"])
    assert not finish(connection, claimed, SUCCESS), "the fence holds"


def test_a_reruns_next_pod_goes_on_where_the_last_one_was_interrupted(
    database: str, connection: psycopg.Connection, missed: datetime
) -> None:
    claimed = claimed_again(database, connection, tick_at=missed)
    assert finish(connection, claimed, Ending(state=State.INTERRUPTED, reason=Reason.TERMINATED))
    assert claimed_again(database, connection, tick_at=missed, POD_NAME="pod-2").attempt == 2


def test_the_ticks_own_job_finds_a_rerun_as_any_other_attempt(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    """It may come late: it waited for a slot while somebody ran its tick again."""
    assert finish(connection, first(database, connection), FAILED)
    claimed = claimed_again(database, connection)
    assert isinstance(claim(connection, environment(database), lease_seconds=LEASE), Leased)
    assert finish(connection, claimed, SUCCESS)
    assert claim(connection, environment(database), lease_seconds=LEASE) == Final(claimed.key, State.SUCCEEDED, "ok")
    assert len(observer.rows()) == 1


def test_a_claim_that_waited_for_another_reruns_claim_waits_for_its_lease(
    database: str, connection: psycopg.Connection, missed: datetime, observer: Observer
) -> None:
    """Its own statement saw the row before, as final."""
    with closing(connect(DatabaseUrl.parse(database))) as other, other.transaction():
        claimed_again(database, other, "rerun-2", tick_at=missed)
        verdicts: list[ClaimResult] = []
        thread = threading.Thread(target=lambda: verdicts.append(again(database, connection, tick_at=missed)))
        thread.start()
        until_blocked(database, connection)
    thread.join()
    assert isinstance(verdicts[0], Leased)
    assert observer.row()["rerun_uid"] == "rerun-2"


def test_the_window_is_that_of_the_one_tick_and_the_cursor_stays(
    database: str, connection: psycopg.Connection, missed: datetime, observer: Observer
) -> None:
    assert finish(connection, first(database, connection, tick_at=missed - 2 * FIVE_MINUTES), SUCCESS)
    claimed = claimed_again(database, connection, tick_at=missed, MAX_WINDOW_SECONDS="60")
    assert claimed.window == Window(start=missed - FIVE_MINUTES, end=missed)
    row = observer.rows()[0]
    assert (row["window_start"], row["window_end"]) == (claimed.window.start, claimed.window.end)
    assert finish(connection, claimed, SUCCESS)
    cursors = observer.connection.execute("SELECT window_end FROM region_tick.region_cursor").fetchall()
    assert cursors == [(missed - 2 * FIVE_MINUTES,)]


def test_a_rerun_of_a_first_tick_makes_no_cursor(
    database: str, connection: psycopg.Connection, missed: datetime, observer: Observer
) -> None:
    """A cursor that begins there would leave out what was before."""
    assert finish(connection, claimed_again(database, connection, tick_at=missed), SUCCESS)
    assert observer.connection.execute("SELECT FROM region_tick.region_cursor").rowcount == 0


def test_an_earlier_tick_by_another_schedule_begins_the_window(
    database: str, connection: psycopg.Connection, missed: datetime, observer: Observer
) -> None:
    put_final(observer, missed - timedelta(minutes=2), State.SKIPPED, "* * * * *")
    assert claimed_again(database, connection, tick_at=missed).window.start == missed - timedelta(minutes=2)


def suspend(observer: Observer, *, since: datetime, counted_until: datetime, cron: str = EVERY_FIVE) -> None:
    observer.connection.execute(
        "INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, first_tick_at,"
        " last_tick_at, ticks, counted_until) VALUES (%s, '42', %s, 'ch-zrh', %s, %s, %s, 1, %s)",
        (SOURCE, since, cron, since, counted_until, counted_until),
    )


def test_a_suspended_tick_gets_a_row_then(database: str, connection: psycopg.Connection, observer: Observer) -> None:
    tick_at = on_the_fives(5)
    suspend(observer, since=ago(minutes=25), counted_until=TICK_AT)
    claimed = claimed_again(database, connection, tick_at=tick_at)
    assert (claimed.attempt, claimed.rerun, claimed.window) == (
        1,
        True,
        Window(start=tick_at - FIVE_MINUTES, end=tick_at),
    )
    assert isinstance(again(database, connection, "rerun-2", tick_at=tick_at), Leased)
    assert finish(connection, claimed, FAILED)
    assert again(database, connection, tick_at=tick_at) == Final(claimed.key, State.FAILED, Reason.ERROR)
    assert claimed_again(database, connection, "rerun-2", tick_at=tick_at).attempt == 2
    row = observer.row()
    assert (row["rerun_uid"], row["rerun_by"], row["counted"], row["cron"]) == (
        "rerun-2", "alice: after the outage", False, EVERY_FIVE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tick_at", "why"),
    [
        (on_the_fives(60), "the ledger has no tick at"),
        (on_the_fives(-60), "the ledger has no tick at"),
        (on_the_fives(5) + timedelta(minutes=1), r"the schedule \*/5 \* \* \* \* has no tick at"),
        (on_the_fives(50 * 24 * 60), "the ledger has forgotten the day of"),
    ],
    ids=["not suspended then", "to come", "not of the schedule", "before the retention"],
)
def test_what_was_never_due_is_refused_and_leaves_no_row(
    tick_at: datetime, why: str, database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    suspend(observer, since=ago(minutes=25), counted_until=TICK_AT)
    suspend(observer, since=ago(days=60), counted_until=ago(days=40))
    verdict = again(database, connection, tick_at=tick_at)
    assert isinstance(verdict, NotDue)
    assert verdict.why.startswith(why.replace("\\", ""))
    assert observer.rows() == []


def test_a_schedule_that_others_wrote_leaves_the_window_to_the_rows(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    put_final(observer, ago(minutes=60), cron="@every 7m")
    assert claimed_again(database, connection, tick_at=ago(minutes=60)).window.start is None
    put_final(observer, ago(minutes=67), cron="@every 7m")
    claimed = claimed_again(database, connection, "rerun-2", tick_at=ago(minutes=67))
    assert finish(connection, claimed, SUCCESS)
    observer.expire()
    assert claimed_again(database, connection, "rerun-3", tick_at=ago(minutes=60)).window.start == ago(minutes=67)


def test_an_old_tick_with_a_row_is_run_again_however_late(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    put_final(observer, ago(days=20), State.SKIPPED)
    assert claimed_again(database, connection, tick_at=ago(days=20)).attempt == 1


def test_a_manual_run_of_the_same_minute_is_another_run(
    database: str, connection: psycopg.Connection, missed: datetime, observer: Observer
) -> None:
    first(database, connection, JOB_NAME="by-hand")
    observer.connection.execute("UPDATE region_tick.job_run SET tick_at = %s WHERE manual_uid <> ''", (missed,))
    claimed_again(database, connection, tick_at=missed)
    assert sorted((row["manual_uid"], row["rerun_uid"]) for row in observer.rows()) == [("", "rerun-1"), ("6f1c", None)]


def rerun_of(tick_at: datetime) -> dict[str, str]:
    return {"JOB_NAME": "again", "RERUN_OF": f"{tick_at:%Y-%m-%dT%H:%M:00Z}", "RERUN_BY": "alice"}


def test_a_process_runs_a_tick_again_and_its_handler_knows(ticks: Ticks, missed: datetime, observer: Observer) -> None:
    process = ticks.start(handler="seen", **rerun_of(missed))
    assert process.exit_code() == ExitCode.FINAL
    claimed = process.event("claimed")
    assert (claimed["manual"], claimed["rerun_by"], claimed["attempt"]) == (False, "alice", 1)
    told = process.event("seen")["tick"]
    assert "rerun=True" in told
    assert "manual_uid=''" in told
    row = observer.row()
    assert (row["state"], row["attempt"], row["rerun_by"], row["tick_at"]) == ("succeeded", 1, "alice", missed)
    again = ticks.start(handler="seen", **rerun_of(missed))
    assert again.exit_code() == ExitCode.FINAL
    assert again.event("final")["state"] == "succeeded"


def test_a_process_that_is_told_to_stop_leaves_the_tick_to_the_jobs_next_pod(
    ticks: Ticks, missed: datetime, observer: Observer
) -> None:
    process = ticks.start(handler="until_released", **rerun_of(missed))
    process.until("working")
    process.popen.send_signal(signal.SIGTERM)
    assert process.exit_code() == ExitCode.AGAIN
    assert (observer.row()["state"], observer.row()["reason"]) == ("interrupted", "terminated")
    ticks.release()
    assert ticks.start(handler="until_released", **rerun_of(missed)).exit_code() == ExitCode.FINAL
    assert (observer.row()["state"], observer.row()["attempt"]) == ("succeeded", 2)


def test_a_process_refuses_what_was_never_due_for_good(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(handler="seen", **rerun_of(ago(minutes=3)))
    assert process.exit_code() == ExitCode.CONFIGURATION
    assert process.event("refused")["reason"].startswith("the ledger has no tick at")
    assert observer.rows() == []


def test_a_role_that_was_granted_before_the_columns_came_is_refused_and_changes_nothing(
    database: str, connection: psycopg.Connection, missed: datetime, observer: Observer
) -> None:
    role = f"earlier_tick_{secrets.token_hex(4)}"  # the server may be shared
    observer.connection.execute(f"CREATE ROLE {role}".encode())
    for statement in (
        f"GRANT USAGE ON SCHEMA region_tick TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA region_tick TO {role}",
        f"GRANT UPDATE (state, attempt, lease_until) ON region_tick.job_run TO {role}",
    ):
        observer.connection.execute(statement.encode())
    connection.execute(f"SET ROLE {role}".encode())
    try:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            again(database, connection, tick_at=missed)
    finally:
        connection.execute("RESET ROLE")
        observer.connection.execute(f"DROP OWNED BY {role}".encode())
        observer.connection.execute(f"DROP ROLE {role}".encode())
    assert observer.row()["state"] == "missed"
