"""The tick as a process that is told to end, by a signal or its deadline, and one that does not hear."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from region_tick.contract import ExitCode

if TYPE_CHECKING:
    from tests.database.tick_process import Ticks
    from tests.harness.ticks import Observer


@pytest.mark.parametrize(("handler", "knobs"), [("until_released", ()), ("deaf", ("patience=0.2",))])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_in_mid_work_leaves_a_row_to_retry(
    handler: str, knobs: tuple[str, ...], number: signal.Signals, ticks: Ticks, observer: Observer
) -> None:
    process = ticks.start(*knobs, handler=handler)
    process.until("working")
    process.popen.send_signal(number)
    assert process.exit_code() == ExitCode.AGAIN
    row = observer.row()
    assert (row["state"], row["reason"], row["attempt"]) == ("interrupted", "terminated", 1)
    assert row["lease_until"] <= row["now"]
    retry = ticks.start()
    assert retry.exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["reason"], row["attempt"]) == ("succeeded", "ok", 2)


def test_sigterm_while_waiting_ends_the_wait(ticks: Ticks, observer: Observer) -> None:
    ticks.start(handler="until_released").until("working")
    other = ticks.start(handler="until_released")
    other.until("waiting")
    other.popen.terminate()
    assert other.exit_code() == ExitCode.AGAIN
    assert other.event("not claimed")["reason"] == "terminated"
    assert observer.row()["attempt"] == 1


def test_waiting_ends_with_the_own_deadline(ticks: Ticks) -> None:
    ticks.start(handler="until_released").until("working")
    other = ticks.start(handler="until_released", TIMEOUT_SECONDS="2")
    assert other.exit_code() == ExitCode.AGAIN
    assert other.event("not claimed")["reason"] == "timeout"


@pytest.mark.parametrize(("handler", "error"), [("until_released", "StoppedError"), ("deaf", "HandlerHungError")])
def test_the_deadline_interrupts_a_handler(handler: str, error: str, ticks: Ticks, observer: Observer) -> None:
    process = ticks.start("patience=0.2", handler=handler, TIMEOUT_SECONDS="1")
    assert process.exit_code() == ExitCode.AGAIN
    row = observer.row()
    assert (row["state"], row["reason"]) == ("interrupted", "timeout")
    assert row["error_class"].endswith(error)
    assert row["lease_until"] <= row["now"]


def test_the_failsafe_ends_a_tick_that_sigterm_does_not(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start("failsafe=1", "patience=60", handler="deaf")
    process.until("working")
    process.popen.terminate()
    assert process.exit_code() == 1
    assert "in deaf" in process.errors
    assert observer.row()["state"] == "running"


def test_the_failsafe_ends_a_tick_in_which_no_thread_can_run(ticks: Ticks) -> None:
    process = ticks.start("failsafe=1", handler="holds_the_interpreter", TIMEOUT_SECONDS="1")
    process.until("working")
    assert process.exit_code() == 1
    assert "in holds_the_interpreter" in process.errors
