"""A process that asks for every tick of a plan until it is final, and does what it claims: the real claim, lease,
handler's thread, fenced transactions and end, in one process again and again, because starting one for each tick would
take longer than all the rest.

    python -m tests.faults.claimer ARGUMENTS (one JSON object, see Arguments)
"""

from __future__ import annotations

import json
import logging
import mmap
import signal
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from region_tick import effects, run, supervise
from region_tick.claim import Claimed, ClaimResult, Final, claim
from region_tick.contract import State, job_name, rerun_job_name
from region_tick.effects import Effects
from region_tick.handlers import LeaseLostError, Outcome, PermanentError, Tick
from region_tick.lease import Lease
from region_tick.rerun import claim_again
from region_tick.session import connect
from tests.faults.claims_bugs import Bug, plant, put
from tests.faults.claims_plan import LEASE_SECONDS, RENEWAL_SECONDS, Harm, Moment, Plan, Work, chance
from tests.faults.claims_wal import INSERT_EFFECT, SEEN
from tests.harness.ticks import CRONJOB, environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from region_tick.environment import Environment

_AHEAD = 8
"""How many ticks that others hold are left behind before they are asked for again."""
_SEEN_EVERY = 20
_PATIENCE_SECONDS = 1.0
_PAUSE_SECONDS = 0.02


class Progress:
    """What a claimer did and where it stands, in a file that outlives it."""

    _SHAPE = struct.Struct("qqq")

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(self._SHAPE.size))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), self._SHAPE.size)

    @property
    def claims(self) -> int:
        """How many claims had a verdict."""
        return int(self._SHAPE.unpack(self._map[:])[0])

    @property
    def refused(self) -> int:
        """How many transactions were refused because the lease was lost."""
        return int(self._SHAPE.unpack(self._map[:])[1])

    @property
    def position(self) -> int:
        """The first tick that is not known to be final."""
        return int(self._SHAPE.unpack(self._map[:])[2])

    def set(self, *, claims: int, refused: int, position: int) -> None:
        """Write all three."""
        self._map[:] = self._SHAPE.pack(claims, refused, position)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What a claimer is told."""

    plan: Plan
    number: int
    life: int
    """How many lives it had before."""
    url: str
    progress: Path
    bug: Bug | None

    def encode(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def decode(cls, text: str) -> Arguments:
        fields = json.loads(text)
        plan = fields.pop("plan")
        begin = datetime.fromisoformat(plan.pop("begin"))
        bug = fields.pop("bug")
        return cls(
            plan=Plan(begin=begin, **plan),
            bug=bug and Bug(bug),
            progress=Path(fields.pop("progress")),
            **fields,
        )


class Claimer:
    """One claimer in one life."""

    def __init__(self, arguments: Arguments) -> None:
        self._plan = arguments.plan
        self._progress = Progress(arguments.progress)
        self._environment = environment(arguments.url, HANDLER="history", POD_NAME=f"claimer-{arguments.number}")
        self._random = chance(arguments.plan.seed, "claimer", arguments.number, arguments.life)
        self._connection: psycopg.Connection | None = None
        self._seen = self._asked = self._refused = 0
        self._harm: tuple[Moment, Harm] | None = None

    def work(self) -> None:
        """Ask for every tick until it is final, first those that nobody was asked for, else those that others hold."""
        position, claims, refused = self._progress.position, self._progress.claims, self._progress.refused
        ahead, held, idle = iter(range(position, self._plan.ticks)), deque[int](), 0
        while True:
            index = next(ahead, None) if len(held) < _AHEAD else None
            if index is None:
                if not held:
                    break
                index = held.popleft()
            verdict = self._ask(index)
            if isinstance(verdict, Final):
                idle = 0
            else:
                held.append(index)
                idle += 1
            claims += verdict is not None
            position = max(position, index + 1)
            self._progress.set(claims=claims, refused=refused + self._refused, position=min((position, *held)))
            if idle > len(held):
                time.sleep(self._random.uniform(0, 2 * _PAUSE_SECONDS))

    def _ask(self, index: int) -> ClaimResult | None:
        """Claim a tick, and do it; None where the database cannot be asked."""
        try:
            connection = self._connected()
            asked = self._of(index)
            verdict = claim(connection, asked, lease_seconds=LEASE_SECONDS)
            if isinstance(verdict, Final) and verdict.state is not State.SUCCEEDED and self._plan.run_again(index):
                asked = self._again(index, asked)
                verdict = claim_again(connection, asked, lease_seconds=LEASE_SECONDS)
        except psycopg.Error:
            self._disconnect()
            return None
        if isinstance(verdict, Claimed):
            self._do(asked, verdict, connection)
        return verdict

    def _of(self, index: int) -> Environment:
        region, tick_at = self._plan.tick(index)
        return replace(
            self._environment,
            region=replace(self._environment.region, id=region),
            scheduled_at=tick_at,
            job_name=job_name(CRONJOB, tick_at),
            start_deadline_seconds=-(10**6) if self._plan.late(index) else 10**6,
        )

    def _again(self, index: int, asked: Environment) -> Environment:
        """Return what a pod of the rerun's Job is told: all claimers are pods of one Job for each tick."""
        _, tick_at = self._plan.tick(index)
        return replace(
            asked,
            scheduled_at=None,
            rerun_of=tick_at,
            job_name=rerun_job_name(CRONJOB, tick_at, attempt=1),
            job_uid=f"rerun-{index}",
        )

    def _do(self, asked: Environment, claimed: Claimed, connection: psycopg.Connection) -> None:
        committing = Effects(connection, claimed)
        deadline = time.monotonic() + asked.timeout_seconds
        tick = run.make_tick(asked, claimed, connection, committing, deadline)
        seconds = {"lease_seconds": LEASE_SECONDS, "renewal_seconds": RENEWAL_SECONDS}
        lease = Lease(claimed, asked.database, committing, **seconds)
        run._run_handler(asked, claimed, tick, committing, lease, SimpleQueue())
        if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
            self._disconnect()

    def handle(self, tick: Tick) -> Outcome:
        """Do a tick's part, deaf to what it is told: only the fence keeps it from harm."""
        part = self._plan.part((tick.region.id, tick.tick_at), tick.attempt)
        self._harm = part.harm
        self.meet(Moment.CLAIMED)
        time.sleep(part.seconds)
        try:
            return self._make(tick, part.work)
        except LeaseLostError:
            self._refused += 1
            raise

    def _make(self, tick: Tick, work: Work) -> Outcome:
        outcome = Outcome({"attempt": tick.attempt})
        if work is not Work.TOGETHER:
            with tick.transaction() as connection:
                self._write(connection, tick, ends=False)
            self.meet(Moment.COMMITTED)
        match work:
            case Work.TOGETHER | Work.STEPS:
                with tick.transaction() as connection:
                    self._write(connection, tick, ends=True)
                    tick.finish(outcome)
                self.meet(Moment.COMMITTED)
            case Work.AGAIN:
                raise ValueError(f"attempt {tick.attempt}")
            case Work.FAILS:
                raise PermanentError(f"attempt {tick.attempt}")
            case Work.APART:
                pass
        return outcome

    def meet(self, moment: Moment) -> None:
        """Come to harm at a moment, if that is the plan."""
        if self._harm is not None and self._harm[0] is moment:
            number = signal.SIGKILL if self._harm[1] is Harm.KILL else signal.SIGSTOP
            self._harm = None
            signal.raise_signal(number)  # to this very thread: kill() may stop another one first

    def _write(self, connection: psycopg.Connection, tick: Tick, *, ends: bool) -> None:
        connection.execute(INSERT_EFFECT, (tick.region.id, tick.tick_at, tick.attempt, ends, self._seen))
        self.meet(Moment.WROTE)

    def _connected(self) -> psycopg.Connection:
        """Return a connection, and ask it from time to time what every claim from then on knows of."""
        if self._connection is None:
            self._connection = connect(self._environment.database)
        if self._asked % _SEEN_EVERY == 0:
            row = self._connection.execute(SEEN).fetchone()
            assert row is not None
            self._seen = row[0]
        self._asked += 1
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


def main() -> None:
    arguments = Arguments.decode(sys.argv[1])
    logging.disable()
    if arguments.bug is not None:
        plant(arguments.bug)
    claimer = Claimer(arguments)
    put(supervise, PATIENCE_SECONDS=_PATIENCE_SECONDS, load=lambda _name: claimer.handle)
    for guard in ("guard_within", "finish_within"):
        put(effects, **{guard: _then(getattr(effects, guard), claimer)})
    skew(arguments.plan, arguments.number)
    claimer.work()


def _then(guard: Callable[..., bool], claimer: Claimer) -> Callable[..., bool]:
    """Return the guard with the moment after it."""

    def guarded(*arguments: Any, **named: Any) -> bool:
        held = guard(*arguments, **named)
        claimer.meet(Moment.GUARDED)
        return held

    return guarded


def skew(plan: Plan, claimer: int) -> None:
    """Make the clocks that Python's code asks wrong, another way each second."""
    for name in ("time", "monotonic"):
        right: Callable[[], float] = getattr(time, name)
        setattr(time, name, lambda right=right: (now := right()) + plan.clock(claimer, int(now)))


if __name__ == "__main__":
    main()
