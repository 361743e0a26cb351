"""Every expected tick has exactly one final row and the right cause, whatever happened meanwhile: on a real API server
with its real controllers, minute after minute. What was to be expected, the test counts for itself.
"""

from __future__ import annotations

import json
import signal
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_tick.contract import Reason, State
from tests.faults.standin import StandInKubelet
from tests.harness.audit import audit_lines
from tests.harness.frozen import frozen
from tests.harness.long import rounds
from tests.harness.regions import EVERY_MINUTE, add_regions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl

MINUTE = timedelta(minutes=1)
pytestmark = pytest.mark.timeout(600)  # minutes are real here

SELDOM = {"REGION_REFRESH_INTERVAL_MS": "3600000", "CONCURRENCY": "8"}
"""No reconcile comes by itself: the ledger has a clock of its own."""
TICK = {"timeout": "5s", "retries": 0, "startDeadline": "10s"}
"""A Job that gets no pod fails 45 s after its tick."""
SUCCEEDED = (State.SUCCEEDED, Reason.OK)
FULL = (State.SKIPPED, Reason.CAPACITY)
STOPPED = (State.MISSED, Reason.NOT_CREATED)
PAUSED = (State.SKIPPED, Reason.SUSPENDED)


def until(moment: datetime) -> None:
    """Let real minutes pass: the controllers' clock cannot be injected."""
    seconds = (moment - datetime.now(UTC)).total_seconds()
    assert -5 < seconds < 120, f"the test is {-seconds:.0f} s late: the machine is too slow for its minutes"
    time.sleep(max(0.0, seconds))


@contextmanager
def full_quota(kubectl: Kubectl) -> Iterator[None]:
    """Take every slot with pods that are nobody's tick."""
    count = int(SELDOM["CONCURRENCY"])
    spec = {
        "priorityClassName": "region-tick",
        "containers": [{"name": "c", "image": "none"}],
        "terminationGracePeriodSeconds": 0,
    }
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"filler-{n}", "labels": {"x": "filler"}},
            "spec": spec,
        }
        for n in range(count)
    ]
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    try:
        yield
    finally:
        kubectl("delete", "pods", "--selector", "x=filler", "--grace-period=0", "--force")


def rows(database: str) -> dict[tuple[str, datetime], list[tuple[str, str]]]:
    """Return state and reason of each tick. Of a suspension, that is each minute from the first tick to the last."""
    with psycopg.connect(database, autocommit=True) as connection:
        found: dict[tuple[str, datetime], list[tuple[str, str]]] = {}
        for code, tick_at, state, reason in connection.execute(
            "SELECT region_code, at, state, reason"
            " FROM region_tick.runs, generate_series(tick_at, last_tick_at, interval '1 minute') AS at"
        ):
            found.setdefault((code, tick_at.astimezone(UTC)), []).append((state, reason))
        return found


def test_every_expected_tick_has_one_final_row_with_its_cause(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, database: str
) -> None:
    def sql(statement: str) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(statement.encode())

    add_regions(database, ["steady", "edited", "paused", "deactivated"], cron=EVERY_MINUTE)
    with StandInKubelet(kubectl, database):
        if datetime.now(UTC).second > 30:  # so that all stands before the first tick
            until(datetime.now(UTC).replace(second=0, microsecond=0) + MINUTE)
        with run_operator(**SELDOM) as operator:
            eventually(lambda: kubectl.ready().get("status") == "True", what="ready")
            kubectl("patch", "rsched", "default", "--type", "merge", "--patch", json.dumps({"spec": {"tick": TICK}}))
            eventually(
                lambda: all(job["spec"]["startingDeadlineSeconds"] == 10 for job in kubectl.cronjobs().values()),
                what="the CronJobs follow",
            )
            first = datetime.now(UTC).replace(second=0, microsecond=0) + MINUTE
            until(first + timedelta(seconds=25))
            sql("UPDATE region_index SET cron_schedule = '*/2 * * * *' WHERE code = 'edited'")
            sql("UPDATE region_index SET active = false WHERE code = 'deactivated'")
            paused = kubectl.cronjobs()["paused"]["metadata"]["name"]
            kubectl("annotate", "cronjob", paused, "region-tick.dev/paused=true")
            eventually(lambda: len(kubectl.cronjobs()) == 3, what="deactivated")
            eventually(lambda: kubectl.cronjobs()["paused"]["spec"]["suspend"], what="paused")
            eventually(lambda: kubectl.cronjobs()["edited"]["spec"]["schedule"] == "*/2 * * * *", what="the edit shows")
            operator.signal(signal.SIGKILL)
        with run_operator(**SELDOM) as operator:
            until(first + MINUTE - timedelta(seconds=8))
            with full_quota(kubectl):
                until(first + MINUTE + timedelta(seconds=30))
                eventually(lambda: ("steady", first + MINUTE) in rows(database), what="it is settled", seconds=75)
            assert operator.stop() == 0
        with run_operator(**SELDOM) as operator:
            eventually(lambda: operator.get("/readyz")[0] == 200, what="it leads")
            until(first + 3 * MINUTE - timedelta(seconds=3))
            with frozen(control_plane.controller_manager_pid):
                until(first + 3 * MINUTE + timedelta(seconds=13))
            last = first + 4 * MINUTE
            expected: dict[tuple[str, datetime], Any] = {("deactivated", first): SUCCEEDED}
            for number, outcome in enumerate((SUCCEEDED, FULL, SUCCEEDED, STOPPED, SUCCEEDED)):
                at = first + number * MINUTE
                expected["steady", at] = outcome
                expected["paused", at] = outcome if number == 0 else PAUSED
                if number == 0 or at.minute % 2 == 0:
                    expected["edited", at] = outcome
            until(last + timedelta(seconds=30))
            eventually(lambda: rows(database).keys() >= expected.keys(), what="each has a row", seconds=120)
            assert rows(database) == {key: [(str(state), str(reason))] for key, (state, reason) in expected.items()}
            assert not operator.logged("not accounted")
            assert operator.metric("region_operator_ledger_failures_total") == 0


@pytest.mark.long
def test_of_many_ticks_of_one_minute_those_that_got_no_job_are_named(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, database: str
) -> None:
    """With its default flags the CronJob controller makes 8 or 9 Jobs a second."""
    count, seconds = rounds(200, long=500), rounds(10, long=15)
    with psycopg.connect(database, autocommit=True) as connection:
        add_regions(connection, count)
        with StandInKubelet(kubectl, database), run_operator(**SELDOM) as operator:
            tick = json.dumps({"spec": {"tick": TICK | {"startDeadline": f"{seconds}s"}}})
            eventually(lambda: kubectl.ready().get("status") == "True", what="ready", seconds=60)
            kubectl("patch", "rsched", "default", "--type", "merge", "--patch", tick)
            mark = control_plane.audit_log.stat().st_size
            minute = (datetime.now(UTC) + timedelta(seconds=100)).replace(second=0, microsecond=0)
            cron = f"{minute.minute} {minute.hour} {minute.day} {minute.month} *"
            connection.execute("UPDATE region_index SET cron_schedule = %s", (cron,))
            eventually(lambda: are_scheduled(kubectl, cron, count), what="the schedules", seconds=60)
            eventually(lambda: len(rows(database)) == count, what="each has a row", seconds=240)
            eventually(lambda: not open_rows(database), what="each is final", seconds=120)
            assert not operator.logged("not accounted")
        codes = {job["metadata"]["name"]: code for code, job in kubectl.cronjobs().items()}
    made = {
        codes[line["objectRef"]["name"].rpartition("-")[0]]
        for line in audit_lines(control_plane, kubectl.namespace, since=mark)
        if line["verb"] == "create"
        and line["objectRef"]["resource"] == "jobs"
        and line["responseStatus"]["code"] == 201
    }
    without = {code for (code, _), found in rows(database).items() if found == [STOPPED]}
    assert without
    assert without == set(codes.values()) - made


def are_scheduled(kubectl: Kubectl, cron: str, count: int) -> bool:
    schedules = [item["spec"]["schedule"] for item in kubectl.cronjobs().values()]
    return schedules == [cron] * count


def open_rows(database: str) -> int:
    with psycopg.connect(database, autocommit=True) as connection:
        statement = "SELECT FROM region_tick.job_run WHERE state IN ('running', 'interrupted')"
        return len(connection.execute(statement).fetchall())
