"""Claims on a real Postgres: who may do a tick, and what a stale attempt can still do (nothing)."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from region_operator.regions.slots import slot_of
from region_tick.claim import Claimed, Final, Leased, Refused, RunKey, claim
from region_tick.contract import LATENESS_TOLERANCE_SECONDS, Reason, State, job_name
from region_tick.database_wait import Wait
from region_tick.fence import Ending, finish, is_finished, renew
from region_tick.session import connect
from region_tick.statements import MANUAL_LOCK
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

DAY = 24 * 60 * 60


def test_the_first_claim_gets_the_tick(database: str, connection: psycopg.Connection, observer: Observer) -> None:
    verdict = claim(connection, environment(database), lease_seconds=LEASE)
    assert isinstance(verdict, Claimed)
    assert (verdict.key, verdict.attempt) == (RunKey(source=SOURCE, region_id="42", tick_at=TICK_AT, manual_uid=""), 1)
    row = observer.row()
    assert row["lease_until"] - row["started_at"] == timedelta(seconds=LEASE)
    told = ("state", "reason", "attempt", "cron", "handler", "region_code", "job_name", "pod", "node", "finished_at")
    assert [row[column] for column in told] == [
        "running", None, 1, "*/5 * * * *", "poke", "ch-zrh", job_name(CRONJOB, TICK_AT), "pod-1", "node-1", None,
    ]  # fmt: skip


def test_while_its_lease_holds_nobody_else_gets_it(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    claimed = first(database, connection)
    before = observer.row()
    verdict = claim(connection, environment(database, POD_NAME="pod-2"), lease_seconds=LEASE)
    assert verdict == Leased(claimed.key, attempt=1, until=before["lease_until"])
    assert observer.row() | {"now": None} == before | {"now": None}


def test_when_the_lease_ran_out_the_next_attempt_takes_over(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    first(database, connection)
    observer.expire()
    verdict = claim(connection, environment(database, POD_NAME="pod-2"), lease_seconds=LEASE)
    assert isinstance(verdict, Claimed)
    row = observer.row()
    assert (verdict.attempt, row["attempt"], row["state"], row["pod"]) == (2, 2, "running", "pod-2")
    assert row["lease_until"] > row["now"]


def test_an_interrupted_tick_is_free_at_once_and_forgets_its_error(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    ending = Ending(state=State.INTERRUPTED, reason=Reason.ERROR, error=ValueError("no"))
    assert finish(connection, first(database, connection), ending)
    assert first(database, connection).attempt == 2
    row = observer.row()
    assert [row[column] for column in ("state", "reason", "error_class", "error_message", "finished_at")] == [
        "running", None, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("state", [state for state in State if state.final])
def test_a_final_tick_never_runs_again(
    state: State, database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    claimed = first(database, connection)
    observer.change(state=state, reason="so it is")
    observer.expire()
    before = observer.row()
    verdict = claim(connection, environment(database), lease_seconds=LEASE)
    assert verdict == Final(claimed.key, state, "so it is")
    assert observer.row() | {"now": None} == before | {"now": None}


@pytest.mark.parametrize(("margin", "late"), [(-30, True), (60, False)])
def test_lateness_is_the_start_deadline_with_some_tolerance(
    margin: int, late: bool, database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    """The claim comes `margin` seconds before the tick would be late."""
    tick_at = ago(minutes=10)
    age = (datetime.now(UTC) - tick_at).total_seconds()
    start_deadline = int(age) - LATENESS_TOLERANCE_SECONDS + margin
    late_environment = environment(database, tick_at=tick_at, START_DEADLINE_SECONDS=str(start_deadline))
    verdict = claim(connection, late_environment, lease_seconds=LEASE)
    row = observer.row()
    if late:
        assert verdict == Final(verdict.key, State.SKIPPED, "late")
        assert (row["attempt"], row["started_at"], row["lease_until"]) == (0, None, None)
        assert row["finished_at"] is not None
        assert verdict.detail == row["error_message"]
        assert f"after the minute, and startDeadline allows {start_deadline}" in row["error_message"]
        assert claim(connection, late_environment, lease_seconds=LEASE) == verdict
    else:
        assert isinstance(verdict, Claimed)


MISSED, LATE = (State.MISSED, "database away"), (State.SKIPPED, "late")


@pytest.mark.parametrize(
    ("waited", "told", "ending"),
    [
        ({"the database": 400}, "400 s for the database: gone", MISSED),
        ({"the database": 399, "a lock": 1}, "1 s for a lock and 399 s for the database: gone", MISSED),
        ({"the database": 1, "a lock": 399}, "399 s for a lock and 1 s for the database: gone", LATE),
        ({"the database": 300}, "300 s for the database: gone", LATE),
        ({"the database": 1}, "1 s for the database: gone", LATE),
        ({"a lock": 400}, "400 s for a lock", LATE),
        ({}, "", LATE),
    ],
    ids=["the database", "and then a lock", "a lock, and a hiccup", "late by itself", "a retry", "a lock", "nothing"],
)
def test_a_tick_that_is_late_because_of_the_database_names_the_database(
    waited: dict[str, float],
    told: str,
    ending: tuple[State, str],
    database: str,
    connection: psycopg.Connection,
    observer: Observer,
) -> None:
    """The tick may start six minutes ago at the latest. Its pod did nothing but wait."""
    tick_at = ago(minutes=10)
    age = (datetime.now(UTC) - tick_at).total_seconds()
    start_deadline = int(age) - 360 - LATENESS_TOLERANCE_SECONDS
    seconds = sum(waited.values())
    wait = Wait(began=time.monotonic() - seconds, seconds=waited, error="gone")
    late = environment(database, tick_at=tick_at, START_DEADLINE_SECONDS=str(start_deadline))
    verdict = claim(connection, late, lease_seconds=LEASE, wait=wait)
    row = observer.row()
    assert verdict == Final(verdict.key, *ending)
    assert (row["state"], row["reason"], row["attempt"], row["started_at"]) == (*ending, 0, None)
    assert row["error_message"].endswith(f" after the minute, and waited {told}" if told else " s after the minute")


def suspend(connection: psycopg.Connection, *, counted_until: datetime) -> None:
    """Count the region's ticks of the last hour in a suspension, up to a moment."""
    connection.execute(
        "INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, first_tick_at,"
        " last_tick_at, ticks, counted_until) VALUES (%s, '42', %s, '', '', %s, %s, 1, %s)",
        (SOURCE, ago(hours=1), ago(minutes=59), counted_until, counted_until),
    )


def test_a_leftover_job_of_a_suspended_minute_does_not_do_what_is_counted(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    """Not even if it is in time, by a start deadline that was made longer since."""
    suspend(observer.connection, counted_until=TICK_AT)
    for _ in range(2):
        verdict = claim(connection, environment(database), lease_seconds=LEASE)
        assert verdict == Final(verdict.key, State.SKIPPED, Reason.SUSPENDED)
    assert observer.rows() == []


def test_a_leftover_job_that_comes_before_its_minute_is_counted_does_the_tick(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    suspend(observer.connection, counted_until=ago(minutes=1))
    assert first(database, connection).attempt == 1
    observer.connection.execute("UPDATE region_tick.suspension SET counted_until = %s", (TICK_AT,))
    observer.expire()
    assert first(database, connection).attempt == 2  # the tick has a row, so it was not counted


def test_a_suspension_is_of_its_own_region_and_time_and_of_no_manual_run(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    suspend(observer.connection, counted_until=TICK_AT)
    first(database, connection, REGION_ID="43")
    first(database, connection, SOURCE="public.other")
    first(database, connection, tick_at=ago(hours=1))
    first(database, connection, JOB_NAME="by-hand")
    assert len(observer.rows()) == 4


class Slot:
    """Who owns the slot of region 42."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def belongs_to(self, installation: str, *, since: datetime, successor: str | None = None) -> None:
        self._connection.execute("DELETE FROM region_tick.slot_owner")
        self._connection.execute(
            "INSERT INTO region_tick.slot_owner (source, slot, installation, since, successor)"
            " VALUES (%s, %s, %s, %s, %s)",
            (SOURCE, slot_of("42"), installation, since, successor),
        )


@pytest.fixture
def slot(observer: Observer) -> Slot:
    return Slot(observer.connection)


@pytest.mark.parametrize("job", [job_name(CRONJOB, TICK_AT), "by-hand"], ids=["scheduled", "manual"])
def test_a_tick_of_what_another_installation_owns_is_refused_and_leaves_no_row(
    job: str, database: str, connection: psycopg.Connection, observer: Observer, slot: Slot
) -> None:
    """A row would be the tick's end, and the owner's own Job would do nothing."""
    since = ago(minutes=1)
    slot.belongs_to("theirs", since=since)
    for _ in range(2):
        verdict = claim(
            connection, environment(database, JOB_NAME=job, START_DEADLINE_SECONDS="1"), lease_seconds=LEASE
        )
        assert verdict == Refused(verdict.key, "theirs", since)
    assert observer.rows() == []
    assert first(database, connection, INSTALLATION="theirs").attempt == 1


@pytest.mark.parametrize("tick_after", [timedelta(), timedelta(minutes=-1)])
def test_a_tick_from_before_the_slot_changed_hands_is_done_by_who_comes_first(
    tick_after: timedelta, database: str, connection: psycopg.Connection, slot: Slot
) -> None:
    slot.belongs_to("theirs", since=TICK_AT - tick_after)
    assert first(database, connection).attempt == 1
    assert isinstance(claim(connection, environment(database, INSTALLATION="theirs"), lease_seconds=LEASE), Leased)


def test_the_successor_and_a_cronjob_of_an_older_release_are_not_refused(
    database: str, connection: psycopg.Connection, slot: Slot
) -> None:
    slot.belongs_to("theirs", since=ago(days=1), successor="ours")
    first(database, connection)
    slot.belongs_to("theirs", since=ago(days=1))
    first(database, connection, tick_at=ago(minutes=1), INSTALLATION="")


def test_who_owns_another_slot_or_another_table_refuses_nothing(
    database: str, connection: psycopg.Connection, slot: Slot
) -> None:
    slot.belongs_to("theirs", since=ago(days=1))
    first(database, connection, REGION_ID="43")
    first(database, connection, SOURCE="public.other")


def test_a_tick_that_has_a_row_goes_on_although_its_slot_has_changed_hands(
    database: str, connection: psycopg.Connection, observer: Observer, slot: Slot
) -> None:
    """By its own installation and by the new owner, who may have a Job of the same minute."""
    claimed = first(database, connection)
    slot.belongs_to("theirs", since=ago(days=1))
    assert isinstance(claim(connection, environment(database), lease_seconds=LEASE), Leased)
    observer.expire()
    assert first(database, connection).attempt == 2
    observer.expire()
    assert first(database, connection, INSTALLATION="theirs").attempt == 3
    observer.change(state=State.SUCCEEDED, reason=Reason.OK)
    verdict = claim(connection, environment(database), lease_seconds=LEASE)
    assert verdict == Final(claimed.key, State.SUCCEEDED, Reason.OK)


def test_what_is_counted_in_a_suspension_is_final_whoever_asks(
    database: str, connection: psycopg.Connection, observer: Observer, slot: Slot
) -> None:
    suspend(observer.connection, counted_until=TICK_AT)
    slot.belongs_to("theirs", since=ago(days=1))
    assert isinstance(claim(connection, environment(database), lease_seconds=LEASE), Final)


def test_a_retry_is_never_late(database: str, connection: psycopg.Connection, observer: Observer) -> None:
    tick_at = ago(minutes=10)
    first(database, connection, tick_at=tick_at)
    observer.expire()
    assert first(database, connection, tick_at=tick_at, START_DEADLINE_SECONDS="15").attempt == 2


@pytest.mark.parametrize(
    "job",
    ["by-hand", job_name(CRONJOB, ago(days=2)), job_name(CRONJOB, ago(days=-2))],
    ids=["named by a person", "two days ago", "in two days"],
)
def test_any_other_job_is_a_manual_run_with_its_own_identity(
    job: str, database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    first(database, connection)
    manual = first(database, connection, JOB_NAME=job, JOB_UID="uid-1", START_DEADLINE_SECONDS="1")
    assert manual.key.manual_uid == "uid-1"
    assert manual.key.tick_at.second == 0
    assert abs(observer.rows()[1]["now"] - manual.key.tick_at) < timedelta(minutes=2)
    other = first(database, connection, JOB_NAME=job, JOB_UID="uid-2")
    assert [row["manual_uid"] for row in observer.rows()] == ["", "uid-1", "uid-2"]
    assert other.attempt == 1


def test_a_controllers_job_that_comes_within_a_long_start_deadline_is_no_manual_run(
    database: str, connection: psycopg.Connection
) -> None:
    claimed = first(database, connection, tick_at=ago(days=2), START_DEADLINE_SECONDS=str(3 * DAY))
    assert (claimed.key.tick_at, claimed.key.manual_uid) == (ago(days=2), "")


def test_a_tick_stays_the_same_tick_however_long_after_its_time_it_is_tried_again(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    """Long attempts, a few of them, take more than a day."""
    long_ago = ago(days=2)
    first(database, connection, tick_at=long_ago, START_DEADLINE_SECONDS=str(3 * DAY))
    assert isinstance(claim(connection, environment(database, tick_at=long_ago), lease_seconds=LEASE), Leased)
    observer.expire()
    again = first(database, connection, tick_at=long_ago)
    assert (again.key.manual_uid, again.attempt) == ("", 2)
    assert finish(connection, again, SUCCESS)
    verdict = claim(connection, environment(database, tick_at=long_ago), lease_seconds=LEASE)
    assert verdict == Final(again.key, State.SUCCEEDED, Reason.OK)
    assert len(observer.rows()) == 1


@pytest.mark.parametrize("age", [timedelta(minutes=7), timedelta(days=9)], ids=str)
def test_a_manual_run_is_found_again_after_its_minute(
    age: timedelta, database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    manual = first(database, connection, JOB_NAME="by-hand")
    earlier = manual.key.tick_at - age
    observer.change(tick_at=earlier)
    verdict = claim(connection, environment(database, JOB_NAME="by-hand"), lease_seconds=LEASE)
    assert isinstance(verdict, Leased)
    assert verdict.key.tick_at == earlier
    observer.expire()
    assert first(database, connection, JOB_NAME="by-hand").attempt == 2
    assert len(observer.rows()) == 1


def test_a_renewed_lease_holds_longer(database: str, connection: psycopg.Connection, observer: Observer) -> None:
    claimed = first(database, connection)
    before = observer.row()
    assert renew(connection, claimed, lease_seconds=2 * LEASE)
    assert observer.row()["lease_until"] - before["lease_until"] >= timedelta(seconds=LEASE)


def test_an_ending_is_written(database: str, connection: psycopg.Connection, observer: Observer) -> None:
    claimed = first(database, connection)
    ending = Ending(state=State.FAILED, reason="a\0b\udc80", counts={"a\0\ud800": 1}, error=ValueError("a\0b\udc80"))
    assert finish(connection, claimed, ending)
    row = observer.row()
    assert [row[column] for column in ("state", "reason", "counts", "error_class", "error_message")] == [
        "failed", "ab\\udc80", {"a\\ud800": 1}, "builtins.ValueError", "ab\\udc80",
    ]  # fmt: skip
    assert is_finished(connection, claimed, ending)
    assert row["started_at"] < row["finished_at"] <= row["now"]
    assert row["lease_until"] <= row["now"]


@pytest.mark.parametrize(
    "lost",
    [{"attempt": 2}, {"state": "missed"}, {"state": "interrupted"}, {"lease_until": datetime(2026, 1, 1, tzinfo=UTC)}],
    ids=lambda lost: next(iter(lost)),
)
def test_an_attempt_that_lost_its_lease_writes_nothing(
    lost: dict[str, object], database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    claimed = first(database, connection)
    observer.change(**lost)
    before = observer.row()
    assert not renew(connection, claimed, lease_seconds=LEASE)
    assert not finish(connection, claimed, SUCCESS)
    assert observer.row() | {"now": None} == before | {"now": None}


def test_of_many_at_once_one_gets_it(database: str, observer: Observer) -> None:
    together, rounds = 8, 10
    barrier = threading.Barrier(together)

    def contend(pod: int) -> list[type]:
        tick = environment(database, POD_NAME=f"pod-{pod}")
        with closing(connect(tick.database)) as connection:
            verdicts = []
            for number in range(rounds):
                each = environment(database, REGION_ID=str(number))
                barrier.wait(timeout=60)
                verdicts.append(type(claim(connection, each, lease_seconds=LEASE)))
            return verdicts

    with ThreadPoolExecutor(together) as pool:
        of_pods = list(pool.map(contend, range(together)))
    for verdicts in zip(*of_pods, strict=True):
        assert sorted(verdict.__name__ for verdict in verdicts) == ["Claimed"] + ["Leased"] * (together - 1)
    assert [row["attempt"] for row in observer.rows()] == [1] * rounds


def test_two_pods_of_a_manual_job_agree_on_one_row(database: str, observer: Observer) -> None:
    """The second waits for the first's transaction, so that the end of a minute between them cannot part them."""
    tick = environment(database, JOB_NAME="by-hand")
    with closing(connect(tick.database)) as other, ThreadPoolExecutor(1) as pool, observer.connection.transaction():
        observer.connection.execute(MANUAL_LOCK, {"manual_uid": tick.job_uid})
        claiming = pool.submit(claim, other, tick, lease_seconds=LEASE)
        until_blocked(database, other)
        observer.insert(tick_at=ago(minutes=3), manual_uid=tick.job_uid)
    verdict = claiming.result(timeout=60)
    assert isinstance(verdict, Leased)
    assert verdict.key.tick_at == ago(minutes=3)


@pytest.mark.parametrize(
    ("start_deadline", "known_attempt"), [("36000", 1), ("1", 0)], ids=["in time", "late, so that CLAIM inserts"]
)
def test_a_row_that_appears_during_the_claim_is_leased(
    start_deadline: str, known_attempt: int, database: str, observer: Observer
) -> None:
    """The insert waits for the other's and then conflicts with a row that the statement's snapshot does not show."""
    tick = environment(database, tick_at=ago(minutes=10), START_DEADLINE_SECONDS=start_deadline)
    with closing(connect(tick.database)) as other, ThreadPoolExecutor(1) as pool:
        with observer.connection.transaction():
            observer.insert(tick_at=tick.scheduled_at)
            claiming = pool.submit(claim, other, tick, lease_seconds=LEASE)
            until_blocked(database, other)
        verdict = claiming.result(timeout=60)
        assert isinstance(verdict, Leased)
        assert verdict.attempt == known_attempt
        again = claim(other, tick, lease_seconds=LEASE)
    assert isinstance(again, Leased)
    assert again.attempt == 1


def test_a_wait_for_a_lock_ends(database: str, connection: psycopg.Connection, observer: Observer) -> None:
    with observer.connection.transaction():
        observer.connection.execute("LOCK TABLE region_tick.job_run IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            claim(connection, environment(database), lease_seconds=LEASE)
    assert connection.execute("SHOW lock_timeout").fetchone() == (
        "0",
    )  # nothing stays behind for a pooler's next client
