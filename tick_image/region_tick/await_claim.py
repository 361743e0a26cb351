"""Claims a tick, and waits for what stands in the way: a database that is away, a lock, or another attempt's lease.

A database that is away costs the tick none of its own time: the tick's `timeout` counts from when the database answers.
The wait for the database lasts until the tick's latest start, after which nobody may begin the tick, and at least for
as long as the tick itself may take: a retry of a tick that has a row is never late.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

import psycopg

from region_tick.answer_deadline import answer_deadline
from region_tick.claim import Claimed, Final, Leased, NotDue, Refused, claim
from region_tick.contract import LATENESS_TOLERANCE_SECONDS, Reason
from region_tick.database_wait import DATABASE, Wait, first_line, passes_by_itself, pause_seconds
from region_tick.handlers import StoppedError
from region_tick.session import connect

if TYPE_CHECKING:
    from region_tick.claim import ClaimResult
    from region_tick.environment import Environment
    from region_tick.supervise import Message

_LISTEN_SECONDS = 0.2
"""How soon a signal is heard while a connection is being made."""
_REPORT_SECONDS = 60.0
"""How often a wait for the database is logged."""

log = logging.getLogger("region_tick")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the claim, the connection to go on with, and when the tick's own time is over (monotonic)."""

    connection: psycopg.Connection
    result: Claimed | Final | Refused | NotDue
    deadline: float


def longest_wait(environment: Environment) -> float:
    """Return for how many seconds the claim may wait for the database: to the latest start, at least the timeout."""
    latest = 0.0
    if environment.scheduled_at is not None:
        allowed = float(environment.start_deadline_seconds + LATENESS_TOLERANCE_SECONDS)
        age = (datetime.now(UTC) - environment.scheduled_at).total_seconds()
        latest = allowed - max(age, 0.0)  # this machine's clock may be slow
    return max(latest, float(environment.timeout_seconds))


class ClaimWait:
    """Claims one tick, and owns the connection. `answer_seconds` is how long a claim waits for a hanging server."""

    def __init__(
        self,
        environment: Environment,
        messages: SimpleQueue[Message],
        *,
        lease_seconds: float,
        answer_seconds: float,
    ) -> None:
        self._environment, self._messages = environment, messages
        self._lease_seconds, self._answer_seconds = lease_seconds, answer_seconds
        self._connection: psycopg.Connection | None = None
        self._wait = Wait(began=time.monotonic())
        self._deadline = self._wait.began + environment.timeout_seconds
        self._database_until = self._wait.began + longest_wait(environment)
        self._asked = self._wait.began
        self._failures = 0
        self._next_report = 0.0

    def claim(self) -> Verdict | None:
        """Claim the tick. Return None if a signal or the tick's deadline ends the wait.

        Raises psycopg.Error: an error that lasts, or the last error of a database that was away for too long.
        """
        pause = 0.0
        while True:
            with suppress(Empty):
                log.warning("not claimed", extra={"reason": self._messages.get(timeout=pause)})
                return None
            try:
                result = self._ask()
            except StoppedError:
                pause = 0.0  # the message is there
                continue
            except psycopg.errors.LockNotAvailable as error:
                self._note_answer()
                pause = self._wait_for("a lock", {"error": str(error)})
            except psycopg.Error as error:
                pause = self._wait_for_database(error)
                if time.monotonic() + pause >= self._database_until or not passes_by_itself(error):
                    raise
                continue
            else:
                if not isinstance(result, Leased):
                    assert self._connection is not None  # noqa: S101 - for the type checker: it has just answered
                    return Verdict(self._connection, result, self._deadline)
                fields = {"tick_at": result.key.tick_at, "leased_by": result.attempt, "leased_until": result.until}
                pause = self._wait_for(f"attempt {result.attempt}", fields)
            if time.monotonic() + pause >= self._deadline:
                log.warning("not claimed", extra={"reason": Reason.TIMEOUT})
                return None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self) -> ClaimResult:
        """Claim once, on a new connection if there is none. Raises psycopg.Error, StoppedError."""
        self._asked = time.monotonic()
        if self._connection is None:
            self._connection = self._connect()
        with answer_deadline(self._connection, within=self._answer_seconds):
            result = self._claim_once(self._connection)
        self._note_answer()
        return result

    def _note_answer(self) -> None:
        """Let the tick's own time begin now if the database was away until now."""
        if self._failures:
            log.info("database answers", extra={"waited_seconds": round(time.monotonic() - self._wait.began, 1)})
            self._failures, self._deadline = 0, time.monotonic() + self._environment.timeout_seconds

    def _claim_once(self, connection: psycopg.Connection) -> ClaimResult:
        if self._environment.rerun_of is None:
            return claim(connection, self._environment, lease_seconds=self._lease_seconds, wait=self._wait)
        from region_tick.rerun import claim_again  # only a rerun pays for the import

        return claim_again(connection, self._environment, lease_seconds=self._lease_seconds)

    def _connect(self) -> psycopg.Connection:
        """Connect in a thread, because a silent host holds a connection up for its timeout, and signals must be heard.

        Raises psycopg.Error, and StoppedError if the process is told to end meanwhile.
        """
        answers: SimpleQueue[psycopg.Connection | Exception] = SimpleQueue()

        def try_to_connect() -> None:
            try:
                answers.put(connect(self._environment.database))
            except Exception as error:
                answers.put(error)

        Thread(target=try_to_connect, name="connect", daemon=True).start()
        while self._messages.empty():
            with suppress(Empty):
                answer = answers.get(timeout=_LISTEN_SECONDS)
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise StoppedError

    def _wait_for(self, cause: str, fields: dict[str, object]) -> float:
        """Note what is waited for, and return how long to pause. Only the first pause is logged."""
        if cause not in self._wait.seconds:
            log.info("waiting", extra=fields)
        return self._note_pause(cause, random.uniform(0.5, 1.5))  # noqa: S311

    def _wait_for_database(self, error: psycopg.Error) -> float:
        """Note why the database is away, and return how long to pause. A long wait is logged every minute."""
        self.close()
        self._failures += 1
        self._wait.error = first_line(error)
        now = time.monotonic()
        if passes_by_itself(error) and now >= self._next_report:
            self._next_report = now + _REPORT_SECONDS
            fields = {"error": str(error), "database": self._environment.database.address}
            log.warning("database away", extra=fields | {"waits_seconds": round(self._database_until - now)})
        return self._note_pause(DATABASE, pause_seconds(self._failures, share=random.random()))  # noqa: S311

    def _note_pause(self, cause: str, pause: float) -> float:
        """Count the claim that came to nothing, and the pause after it, for what is waited for. Return the pause."""
        self._wait.add(cause, time.monotonic() - self._asked + pause)
        return pause
