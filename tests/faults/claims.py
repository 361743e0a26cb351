"""A checker of claims in the manner of Jepsen: many claimers on one Postgres, and no mercy.

Claimers are killed, frozen past their lease, cut off and severed from the database, by a plan that a seed gives; clocks
of half of them are wrong; a third reaches Postgres through PgBouncer in transaction mode. What the database committed
meanwhile is judged as it comes (claims_history). Each claimer asks for each tick until it is final.

    python -m tests.faults.claims [--claims 1000000] [--seed 7] [--claimers 12] [--bug no_fence]
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg

from devcluster.postgres import Postgres
from region_operator.database.migrate import migrate
from region_tick.contract import State
from region_tick.database_url import DatabaseUrl
from tests.faults.claimer import Arguments, Progress
from tests.faults.claims_bugs import Bug
from tests.faults.claims_history import History
from tests.faults.claims_plan import Blow, Harm, Plan, chance
from tests.faults.claims_wal import EFFECT, Log
from tests.harness.pgbouncer import PgBouncer
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLAIMS = 50_000
CLAIMERS = 12
SEED = 1
_LEAST_CLAIMS_PER_SECOND = 50
"""So slow that something hangs."""
_START_SECONDS = 90
_STEP_SECONDS = 0.05
_READ_EVERY_SECONDS = 2.0
_TELL_EVERY_SECONDS = 10.0


class Player:
    """A claimer's process, one life after another, and its way to the database."""

    def __init__(self, arguments: Arguments, proxy: Proxy | None) -> None:
        self.proxy = proxy
        self._arguments = arguments
        self._progress = Progress(arguments.progress)
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen_until = self._cut_until = 0.0

    @property
    def claims(self) -> int:
        """How many claims had a verdict."""
        return self._progress.claims

    @property
    def refused(self) -> int:
        """How many transactions were refused because the lease was lost."""
        return self._progress.refused

    @property
    def lives(self) -> int:
        """How often it was started."""
        return self._arguments.life

    @property
    def done(self) -> bool:
        """Whether every tick is final, as far as it knows."""
        return self._progress.position >= self._arguments.plan.ticks

    def attend(self, lasting: Callable[[], float]) -> None:
        """Start it where it is gone, thaw and mend it when it is time. Raises RuntimeError where it broke."""
        now = time.monotonic()
        if self._cut_until and self.proxy and now >= self._cut_until:
            self._cut_until = 0.0
            self.proxy.mend()
        if self._process is None:
            self._start()
        elif (code := self._process.poll()) is not None:
            self._process, self._frozen_until = None, 0.0
            if code == 1:
                raise RuntimeError(f"claimer {self._arguments.number} broke: its traceback is above")
        elif self._frozen_until and now >= self._frozen_until:
            self._frozen_until = 0.0
            self._process.send_signal(signal.SIGCONT)
        elif not self._frozen_until and _stopped(self._process.pid):
            self._frozen_until = now + lasting()

    def suffer(self, harm: Harm, lasts: float) -> None:
        """Be harmed, unless it is gone, frozen or cut off already."""
        if self._process is None or self._frozen_until or self._cut_until:
            return
        match harm:
            case Harm.KILL:
                self._process.kill()
            case Harm.FREEZE:
                self._frozen_until = time.monotonic() + lasts
                self._process.send_signal(signal.SIGSTOP)
            case Harm.CUT if self.proxy:
                self._cut_until = time.monotonic() + lasts
                self.proxy.cut()

    def end(self) -> None:
        """End it, however it is."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        if not self.done:
            self._process = subprocess.Popen([sys.executable, "-m", "tests.faults.claimer", self._arguments.encode()])
            self._arguments = replace(self._arguments, life=self.lives + 1)


class Game:
    """Claimers on one database, those who harm them, and the judge."""

    def __init__(self, plan: Plan, players: list[Player], admin: psycopg.Connection, log: Log) -> None:
        self.history = History()
        self.harms: Counter[Harm] = Counter()
        self._plan, self._players, self._admin, self._log = plan, players, admin, log
        self._random = chance(plan.seed, "game")
        self._begun = time.monotonic()

    @property
    def claims(self) -> int:
        """How many claims had a verdict."""
        return sum(player.claims for player in self._players)

    @property
    def refused(self) -> int:
        """How many transactions were refused because the lease was lost: how often the fence was needed."""
        return sum(player.refused for player in self._players)

    def play(self, *, until: Callable[[History], bool] = lambda _history: False) -> None:
        """Harm and judge until every tick is final, or until the history is as asked; then judge the end.

        Raises TimeoutError where claimers are so slow that something hangs, RuntimeError where one broke.
        """
        deadline = self._begun + _START_SECONDS + self._plan.ticks * self._plan.claimers / _LEAST_CLAIMS_PER_SECOND
        blows = self._plan.blows()
        blow = next(blows)
        due, read, tell = self._begun + blow.after, self._begun, self._begun + _TELL_EVERY_SECONDS
        while not all(player.done for player in self._players):
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError(f"{self.told()}: not done within {now - self._begun:.0f} s")
            for player in self._players:
                player.attend(lambda: self._plan.lasting(self._random))
            if now >= due:
                self._strike(blow)
                blow = next(blows)
                due = now + blow.after
            if now >= read:
                self._judge()
                if until(self.history):
                    return
                read = time.monotonic() + _READ_EVERY_SECONDS
            if now >= tell:
                print(self.told(), flush=True)
                tell = now + _TELL_EVERY_SECONDS
            time.sleep(_STEP_SECONDS)
        self._judge()
        self.history.end(map(self._plan.tick, range(self._plan.ticks)))
        kept = self._admin.execute("SELECT count(*) FROM public.effect").fetchone()
        if kept != (self.history.effects,):
            raise RuntimeError(f"the log showed {self.history.effects} effects, the table holds {kept}")
        print(self.told(), flush=True)

    def told(self) -> str:
        """Say in one line how far it is."""
        seconds = max(time.monotonic() - self._begun, 0.001)
        ended = ", ".join(f"{self.history.count(state)} {state}" for state in State if self.history.count(state))
        harms = ", ".join(f"{count} {harm}" for harm, count in sorted(self.harms.items()))
        return (
            f"{seconds:5.0f} s: {self.claims} claims ({self.claims / seconds:.0f}/s),"
            f" {self._plan.ticks} ticks: {ended}; {self.history.takeovers} take-overs,"
            f" {self.history.reopened} reopened, {self.history.effects} effects,"
            f" {self.refused} refused;"
            f" from outside {harms}; {sum(player.lives for player in self._players)} lives;"
            f" {len(self.history.violations)} violations"
        )

    def _strike(self, blow: Blow) -> None:
        self.harms[blow.harm] += 1
        if blow.harm is Harm.SEVER:
            self._admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid OFFSET %s LIMIT 1",
                (blow.claimer,),
            )
            return
        able = [player for player in self._players if player.proxy or blow.harm is not Harm.CUT]
        able[blow.claimer % len(able)].suffer(blow.harm, blow.lasts)

    def _judge(self) -> None:
        for transaction in self._log.read():
            self.history.see(transaction)


@contextmanager
def game(plan: Plan, *, bug: Bug | None = None) -> Iterator[Game]:
    """Make a server, the ways to it and claimers; end them all in the end."""
    with Postgres.temporary() as server:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET wal_level = logical")
        server.stop()
        server.start()
        server.create_database("claims")
        url = server.url("claims")
        asyncio.run(migrate(DatabaseUrl.parse(url)))
        with (
            psycopg.connect(url, autocommit=True) as admin,
            PgBouncer.before(url) as bouncer,
            tempfile.TemporaryDirectory() as folder,
            ExitStack() as stack,
        ):
            admin.execute(EFFECT)
            log = Log(admin)
            players = []
            for number in range(plan.claimers):
                proxy = stack.enter_context(Proxy.to(server.port)) if number % 3 == 1 else None
                way = bouncer.url if number % 3 == 2 else _through(url, proxy.port) if proxy else url
                progress = Path(folder, str(number))
                players.append(
                    Player(Arguments(plan=plan, number=number, life=0, url=way, progress=progress, bug=bug), proxy)
                )
                stack.callback(players[-1].end)
            yield Game(plan, players, admin, log)


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@{parts.hostname}:{port}").geturl()


def _stopped(process: int) -> bool:
    """Tell whether a process has stopped itself (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def main() -> None:
    """Play one game, and exit with 1 where it found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.claims", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--claims", type=int, default=CLAIMS, help="at least how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="what the plan comes from (%(default)s)")
    parser.add_argument("--claimers", type=int, default=CLAIMERS, help="how many processes (%(default)s)")
    parser.add_argument("--bug", type=Bug, choices=list(Bug), help="what claims are to lack, for a try of the checker")
    options = parser.parse_args()
    begin = datetime.now(UTC).replace(second=0, microsecond=0)
    plan = Plan.of(options.claims, seed=options.seed, claimers=options.claimers, begin=begin)
    print(f"seed {options.seed}: {plan.ticks} ticks of {plan.regions} regions, {plan.claimers} claimers", flush=True)
    with game(plan, bug=options.bug) as played:
        played.play()
    found = played.history.violations
    for violation in found[:20]:
        print(violation)
    print(f"{len(found)} violations: {dict(Counter(violation.crime.name for violation in found))}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
