"""A key's units of a day on a real Postgres: no pod spends what the day has not got."""

from __future__ import annotations

import logging
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from region_tick.contract import ExitCode
from region_tick.daily_budget import DailyBudget
from region_tick.database_url import DatabaseUrl
from region_tick.handlers.enqueue import ENQUEUE, FETCH, LIMIT, QUEUE
from region_tick.retry import ThrottledError
from region_tick.session import connect
from region_tick.shared_budgets import AWAY_SECONDS, JITTER_SECONDS, ConnectionBeside, SharedBudgets
from tests.database.polls import Polls, polls, some
from tests.database.tick_process import Process
from tests.database.worker_queue import DRIVER, FAST
from tests.harness.ticks import SOURCE
from tests.harness.upstream import NO_KEY, Asked, Upstream
from tests.harness.waiting import eventually

__all__ = ["polls"]  # a fixture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.database.tick_process import Ticks

BUDGET = DailyBudget(platform="youtube", account="ab", units=50, setting="YOUTUBE_DAILY_UNITS", zone="UTC")
CHANNEL = "UC" + "x" * 21
log = logging.getLogger("test")


@pytest.fixture
def pod(database: str) -> Iterator[Callable[[], SharedBudgets]]:
    """Makes the budgets of a further pod, with a connection of its own."""
    with ExitStack() as stack:

        def make() -> SharedBudgets:
            connection = stack.enter_context(connect(DatabaseUrl.parse(database)))
            return SharedBudgets(lambda: nullcontext(connection), log=log)

        yield make


def spent(database: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database, autocommit=True) as connection:
        return connection.execute("SELECT account, units FROM region_tick.budget ORDER BY account, day").fetchall()


def run(database: str, statement: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_pods_that_spend_at_once_spend_what_there_is_and_no_more(
    pod: Callable[[], SharedBudgets], database: str
) -> None:
    def spend_all(budgets: SharedBudgets) -> Counter[bool]:
        tried: Counter[bool] = Counter()
        for _ in range(20):
            try:
                budgets.spend(BUDGET, 1)
                tried[True] += 1
            except ThrottledError:
                tried[False] += 1
        return tried

    pods = [pod() for _ in range(8)]
    with ThreadPoolExecutor(len(pods)) as threads:
        tried = sum(threads.map(spend_all, pods), Counter[bool]())
    assert tried == {True: 50, False: 110}
    assert spent(database) == [("ab", 50)]


def test_what_the_day_has_not_got_waits_until_the_next_day(pod: Callable[[], SharedBudgets], database: str) -> None:
    budgets = pod()
    budgets.spend(BUDGET, 48)
    with pytest.raises(ThrottledError) as refused:
        budgets.spend(BUDGET, 3)
    midnight = (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    seconds = (midnight - datetime.now(UTC)).total_seconds()
    assert seconds - 60 < refused.value.leave_alone_seconds < seconds + JITTER_SECONDS + 60
    assert not refused.value.whole_host, "another key may have units"
    assert re.fullmatch(
        r"youtube is not asked: the 50 units of its day \(YOUTUBE_DAILY_UNITS\) are spent, until [-\d]{10} 00:00 UTC",
        str(refused.value),
    )
    budgets.spend(BUDGET, 2)
    budgets.spend(replace(BUDGET, account="cd"), 1)
    budgets.spend(replace(BUDGET, units=51), 1)
    assert spent(database) == [("ab", 51), ("cd", 1)]

    run(database, "UPDATE region_tick.budget SET day = day - 1")
    budgets.spend(BUDGET, 50)
    assert spent(database) == [("ab", 51), ("ab", 50), ("cd", 1)]
    run(database, "UPDATE region_tick.budget SET day = day - 31")
    budgets.spend(BUDGET, 1)
    assert spent(database) == [("ab", 1)], "older days are forgotten"


def test_a_day_begins_where_the_platform_is(pod: Callable[[], SharedBudgets], database: str) -> None:
    zones = {"Pacific/Kiritimati": 14, "America/Los_Angeles": -8, "Etc/GMT+12": -12}
    for zone in zones:
        pod().spend(replace(BUDGET, account=zone, zone=zone), 1)
    with psycopg.connect(database) as connection:
        days: dict[str, date] = dict(connection.execute("SELECT account, day FROM region_tick.budget").fetchall())
    assert days["Pacific/Kiritimati"] - days["Etc/GMT+12"] in (timedelta(days=1), timedelta(days=2))


@pytest.mark.parametrize(
    "harm", ["DROP TABLE region_tick.budget", "ALTER TABLE region_tick.budget RENAME TO elsewhere"]
)
def test_a_database_that_keeps_no_budget_stops_nobody(
    harm: str, pod: Callable[[], SharedBudgets], database: str, caplog: pytest.LogCaptureFixture
) -> None:
    run(database, harm)
    budgets = pod()
    for _ in range(2):
        budgets.spend(replace(BUDGET, units=1), 1)
    (line,) = caplog.records
    assert (line.levelname, line.message) == ("WARNING", "daily units are not counted")


def test_who_cannot_count_does_not_ask(pod: Callable[[], SharedBudgets], database: str) -> None:
    budgets = pod()
    budgets.spend(BUDGET, 1)
    with psycopg.connect(database) as other:
        other.execute("UPDATE region_tick.budget SET units = units")
        with pytest.raises(
            ThrottledError, match="youtube's units of the day cannot be counted: LockNotAvailable"
        ) as error:
            budgets.spend(BUDGET, 1)
    assert error.value.leave_alone_seconds == AWAY_SECONDS
    budgets.spend(BUDGET, 1)
    assert spent(database) == [("ab", 2)]


def test_what_is_spent_stays_spent_whatever_becomes_of_the_ticks_transaction(
    connection: psycopg.Connection, database: str
) -> None:
    beside = ConnectionBeside(connection)
    budgets = SharedBudgets(beside.lend, log=log)
    with connection.transaction(force_rollback=True):
        connection.execute("SELECT 1")
        budgets.spend(BUDGET, 1)
    run(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database() AND query LIKE '%region_tick.budget%'",
    )
    with pytest.raises(ThrottledError):
        budgets.spend(BUDGET, 1)
    budgets.spend(BUDGET, 1)
    beside.close()
    assert spent(database) == [("ab", 2)]


# Ticks and workers as processes


def listing(asked: Asked) -> None:
    asked.json({"items": [{"contentDetails": {"relatedPlaylists": {"uploads": "UU"}}}]})


def uploads(asked: Asked) -> None:
    asked.json({"items": []}, etag='"1"')


@pytest.fixture
def youtube(polls: Polls, server: Upstream) -> dict[str, str]:
    """The environment of pods that ask ten channels, each region five, with 7 units a day."""
    server.on("/youtube/v3/channels", listing)
    server.on("/youtube/v3/playlistItems", uploads)
    for number in range(10):
        polls.add(platform="youtube", handle=f"{CHANNEL}{number}", region_id=str(42 + number % 2))
    return {
        "YOUTUBE_API_URL": f"{server.url}/youtube/v3",
        "YOUTUBE_API_KEY": NO_KEY,
        "YOUTUBE_DAILY_UNITS": "7",
    }


WAITS = """
WITH midnight AS (
    SELECT (date_trunc('day', clock_timestamp() AT TIME ZONE 'America/Los_Angeles') + interval '1 day')
        AT TIME ZONE 'America/Los_Angeles' AS at
)
SELECT last_error, not_before BETWEEN at AND at + interval '121 s' AS at_midnight
FROM region_tick.upstream CROSS JOIN midnight WHERE not_before IS NOT NULL
"""


def test_ticks_at_once_ask_as_often_as_the_day_has_units(
    polls: Polls, server: Upstream, youtube: dict[str, str]
) -> None:
    """Each channel takes two units: one to look it up, and one to list it."""
    processes = [polls.start(youtube), polls.start(youtube, again=True, region_id="43")]
    assert [process.exit_code() for process in processes] == [ExitCode.FINAL] * 2
    counts = sum((Counter(polls.runs(region)[0]["counts"]) for region in ("42", "43")), Counter[str]())
    assert len(server.asked) == counts["requests"] == counts["quota_youtube"] == 7
    assert counts["throttled"] == 10 - counts["fetched"]
    assert polls.rows("SELECT platform, units FROM region_tick.budget") == [{"platform": "youtube", "units": 7}]
    waiting = polls.rows(WAITS)
    assert len(waiting) == counts["throttled"]
    assert {row["at_midnight"] for row in waiting} == {True}
    assert {re.sub(r"\d{4}-.*", "", row["last_error"]) for row in waiting} == {
        "youtube is not asked: the 7 units of its day (YOUTUBE_DAILY_UNITS) are spent, until "
    }
    assert polls.rows("SELECT FROM region_tick.host") == []
    assert NO_KEY not in polls.everything()
    assert "requests" not in some(polls.counts(youtube))
    assert len(server.asked) == 7


def test_workers_spend_from_the_same_day(polls: Polls, server: Upstream, youtube: dict[str, str], ticks: Ticks) -> None:
    youtube |= {"DATABASE_URL": ticks.database, "POLL_ALLOW_NETWORKS": "127.0.0.0/8", "HEALTH_PORT": "0"}
    for region in ("42", "43"):
        about = {"queue": QUEUE, "task": FETCH, "source": SOURCE, "region_id": region, "region_code": "r", "region": ""}
        polls.connection.execute(ENQUEUE, about | {"tick_at": datetime.now(UTC), "limit": LIMIT})
    ticks.processes += [Process(ticks.folder, youtube, "-c", DRIVER, *FAST) for _ in range(2)]
    jobs = f"SELECT FROM region_tick.procrastinate_jobs WHERE task_name = '{FETCH}'"
    eventually(lambda: not polls.rows(jobs), what="the queue is empty", seconds=60)
    assert len(server.asked) == 7
    assert polls.rows("SELECT units FROM region_tick.budget") == [{"units": 7}]
