"""What a failed attempt leaves in its row, with ticks as processes: its exit code, and its last log lines if wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import ExitCode, Reason, State
from region_tick.fence import Ending, finish
from region_tick.handlers import PermanentError
from tests.database.tick_process import SHORT_LEASE
from tests.harness.ticks import SUCCESS, first

if TYPE_CHECKING:
    import psycopg

    from tests.database.tick_process import Ticks
    from tests.harness.ticks import Observer

FAILED = Ending(state=State.FAILED, reason=Reason.ERROR, error=ValueError("no"), log_lines="asked\nfailed")


def left(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["attempt"], row["exit_code"], row["log_attempt"]


def test_a_failed_attempt_leaves_its_last_log_lines_and_no_secret(ticks: Ticks, observer: Observer) -> None:
    password = ticks.database.partition("@")[0].rpartition(":")[2]
    process = ticks.start(handler="talks", FAILED_LOG_LINES="20")
    assert process.exit_code() == ExitCode.AGAIN
    row = observer.row()
    assert left(row) == (1, 75, 1)
    lines = row["log_lines"].split("\n")
    assert " info claimed manual=False " in lines[0]
    assert lines[1].endswith(" info asked url=postgresql://***@" + ticks.database.partition("@")[2])
    assert lines[2].endswith(" error finished state=interrupted reason=error")
    assert row["error_message"] == "cannot read postgresql://***@" + ticks.database.partition("@")[2]
    assert lines[-1] == f"    ValueError: {row['error_message']}"
    assert "printed" not in row["log_lines"]
    assert f":{password}@" not in row["log_lines"] + row["error_message"]
    assert "their_handlers.py" in row["log_lines"]


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("sent " + "hunter2-".encode("utf-16-le").decode("latin-1"), "sent ***"),
        ("x" * 1995 + "hunter2-", "x" * 1995 + "***"),
    ],
)
def test_an_errors_message_has_no_secret_between_nuls_or_at_its_end(
    message: str,
    kept: str,
    database: str,
    connection: psycopg.Connection,
    observer: Observer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APP_TOKEN", "hunter2-")
    assert finish(connection, first(database, connection), replace(FAILED, error=ValueError(message)))
    assert observer.row()["error_message"] == kept


def test_the_lines_outlive_the_retry_that_succeeds_with_the_number_of_their_attempt(
    ticks: Ticks, observer: Observer
) -> None:
    assert ticks.start(handler="talks", FAILED_LOG_LINES="20").exit_code() == ExitCode.AGAIN
    before = observer.row()["log_lines"]
    assert ticks.start(handler="talks", FAILED_LOG_LINES="20").exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["error_class"], row["log_lines"]) == ("succeeded", None, before)
    assert left(row) == (2, 0, 1)


def test_by_default_no_line_is_left(ticks: Ticks, observer: Observer) -> None:
    assert ticks.start(handler="talks").exit_code() == ExitCode.AGAIN
    row = observer.row()
    assert (left(row), row["log_lines"]) == ((1, 75, None), None)


@pytest.mark.parametrize(("handler", "code"), [("permanent", 65), ("absent", 78), ("exits", 75)])
def test_the_exit_code_is_the_process_own(handler: str, code: int, ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(handler=handler, FAILED_LOG_LINES="1")
    assert process.exit_code() == observer.row()["exit_code"] == code
    assert len(observer.row()["log_lines"].splitlines()) == 1


@pytest.mark.parametrize(("handler", "knobs"), [("until_released", ()), ("deaf", ("patience=0.2",))])
def test_an_attempt_that_is_told_to_end_leaves_that_line(
    handler: str, knobs: tuple[str, ...], ticks: Ticks, observer: Observer
) -> None:
    process = ticks.start(*knobs, handler=handler, FAILED_LOG_LINES="20")
    process.until("working")
    process.popen.terminate()
    assert process.exit_code() == ExitCode.AGAIN
    row = observer.row()
    assert left(row) == (1, 75, 1)
    assert " warning stopping reason=terminated\n" in row["log_lines"]


def test_an_attempt_that_lost_its_lease_leaves_nothing_in_the_row_of_the_next(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(*SHORT_LEASE, handler="until_released", FAILED_LOG_LINES="20")
    process.until("working")
    observer.change(attempt=2, pod="another", log_lines="theirs", log_attempt=2)
    assert process.exit_code() == ExitCode.AGAIN
    assert process.event("lease lost")
    row = observer.row()
    assert (left(row), row["log_lines"]) == ((2, None, 2), "theirs")


def test_the_next_failure_takes_the_place_of_the_lines_and_one_without_lines_leaves_them(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    failed = replace(FAILED, state=State.INTERRUPTED)
    assert finish(connection, first(database, connection), failed)
    assert finish(connection, first(database, connection), replace(failed, log_lines="later"))
    assert (left(observer.row()), observer.row()["log_lines"]) == ((2, 75, 2), "later")
    claimed = first(database, connection)
    assert (left(observer.row()), observer.row()["log_lines"]) == ((3, None, 2), "later")
    assert finish(connection, claimed, SUCCESS)
    assert (left(observer.row()), observer.row()["log_lines"]) == ((3, 0, 2), "later")


def test_an_exit_code_that_no_process_has_costs_no_row(
    database: str, connection: psycopg.Connection, observer: Observer
) -> None:
    class OddError(PermanentError):
        exit_code: Any = "odd"

    assert finish(connection, first(database, connection), replace(FAILED, error=OddError("no")))
    assert (observer.row()["state"], observer.row()["exit_code"]) == ("failed", None)
