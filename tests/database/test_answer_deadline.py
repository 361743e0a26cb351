"""An answer is waited for so long and no longer, on a real connection; what is said of it is true in every race."""

from __future__ import annotations

import os
import select
import time
from threading import Timer

import psycopg
import pytest

from region_tick.answer_deadline import NoAnswerError, answer_deadline


def test_an_answer_in_time_is_given(connection: psycopg.Connection) -> None:
    with answer_deadline(connection, within=60):
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert connection.execute("SELECT 2").fetchone() == (2,)


def test_a_server_that_does_not_answer_is_left(connection: psycopg.Connection) -> None:
    before = time.monotonic()
    with pytest.raises(NoAnswerError, match="no answer within 0 s"), answer_deadline(connection, within=0.2):
        connection.execute("SELECT pg_sleep(20)")
    assert time.monotonic() - before < 20


def test_what_the_server_says_in_time_is_no_missing_answer(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), answer_deadline(connection, within=60):
        connection.execute("SELECT 1/0")


def test_an_answer_in_the_very_moment_of_the_cut_is_none(connection: psycopg.Connection) -> None:
    """Whoever got it would go on with a connection that is dead."""

    def answered_and_cut() -> None:
        connection.execute("SELECT 1")
        assert select.select([connection], [], [], 20)[0], "the connection was never cut"

    with pytest.raises(NoAnswerError), answer_deadline(connection, within=0.2):
        answered_and_cut()


def test_where_no_thread_can_start_nothing_stays_open(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_timer: Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Timer, "start", no_thread)
    free = lowest_free()
    with pytest.raises(RuntimeError, match="new thread") as raised, answer_deadline(connection, within=60):
        pytest.fail("nothing would cut it")
    assert lowest_free() == free
    assert raised.traceback, "its frames keep alive what only the garbage collector would close"
    assert connection.execute("SELECT 1").fetchone() == (1,)


def lowest_free() -> int:
    """Return the file descriptor that would be opened next."""
    file = os.open(os.devnull, os.O_RDONLY)
    os.close(file)
    return file
