"""ledger/schedule_versions.py on a real API server: region_schedule follows the CronJobs, with the server's times."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

INSTANT = timedelta(microseconds=1)
HOUR = {"REGION_REFRESH_INTERVAL_MS": "3600000"}


def history(database: str) -> list[tuple[Any, ...]]:
    """Return the rows of region_schedule: code, cron, from, to, suspended."""
    with psycopg.connect(database, autocommit=True) as connection:
        query = (
            "SELECT code, cron, valid_from, valid_to, suspended FROM region_tick.region_schedule"
            " ORDER BY code, valid_from"
        )
        return connection.execute(query).fetchall()


def suspended_by(database: str) -> dict[str, str]:
    """Return for each region that is suspended now what people are told of it."""
    with psycopg.connect(database, autocommit=True) as connection:
        query = "SELECT code, suspended_by FROM region_tick.region_schedule WHERE valid_to IS NULL AND suspended"
        return dict(connection.execute(query).fetchall())


def created(kubectl: Kubectl, code: str) -> datetime:
    return datetime.fromisoformat(kubectl.cronjobs()[code]["metadata"]["creationTimestamp"])


def test_every_way_in_which_a_schedule_begins_and_ends(
    run_operator: RunOperator, kubectl: Kubectl, database: str, sql: Any, add_regions: AddRegions
) -> None:
    def when(check: Callable[[list[tuple[Any, ...]]], object], what: str) -> list[tuple[Any, ...]]:
        return eventually(lambda: rows if check(rows := history(database)) else None, what=what)

    def current(rows: list[tuple[Any, ...]], *, suspended: bool = False) -> dict[str, str]:
        return {code: cron for code, cron, _, ended, stops in rows if ended is None and stops is suspended}

    daily = dict.fromkeys("abcd", "0 0 * * *")
    with run_operator(**HOUR) as operator:
        eventually(lambda: operator.logged("listening"), what="it listens")
        add_regions("abcd", cron="0 0 * * *")
        rows = when(lambda rows: current(rows) == daily, "four are current")
        assert [row[2] for row in rows] == [created(kubectl, code) for code in "abcd"]

        sql("UPDATE region_index SET cron_schedule = '1 0 * * *' WHERE code = 'a'")
        sql("UPDATE region_index SET active = false WHERE code = 'b'")
        sql("UPDATE region_index SET cron_schedule = 'nonsense' WHERE code = 'c'")
        kubectl("annotate", "cronjob", kubectl.cronjobs()["d"]["metadata"]["name"], "region-tick.dev/paused=true")
        rows = when(lambda rows: current(rows) == {"a": "1 0 * * *"}, "edited, gone, quarantined, paused")
        assert current(rows, suspended=True) == dict.fromkeys("cd", "0 0 * * *")
        assert suspended_by(database) == {"c": "quarantined", "d": "paused by kubectl-annotate"}
        for code in "cd":
            [ran, stopped] = [row for row in rows if row[0] == code]
            assert ran[3] == stopped[2]
        [before, after] = [row for row in rows if row[0] == "a"]
        assert before[3] == after[2]
        [gone] = [row for row in rows if row[0] == "b"]
        at_once = gone[2] + INSTANT  # it was deleted in the second of its creation, and a version is never empty
        assert gone[3] == at_once or gone[3].microsecond == 0, "the API server says when it was deleted"
        assert operator.stop() == 0

    name = kubectl.cronjobs()["a"]["metadata"]["name"]
    kubectl("delete", "cronjob", name)
    kubectl("annotate", "cronjob", kubectl.cronjobs()["d"]["metadata"]["name"], "region-tick.dev/paused-")
    sql("UPDATE region_index SET cron_schedule = '0 0 * * *' WHERE code = 'c'")
    with run_operator(**HOUR) as operator:
        rows = when(
            lambda rows: current(rows) == {"a": "1 0 * * *", "c": "0 0 * * *", "d": "0 0 * * *"}, "after a restart"
        )
        known = len(rows)
        assert known == 9
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", '{"spec": {"suspend": true}}')
        rows = when(lambda rows: not current(rows), "all are suspended")
        assert len(rows) == known + 3
        assert suspended_by(database) == dict.fromkeys("acd", "spec.suspend")
        assert not operator.logged("not accounted")
