"""More ticks in one minute than there are slots: no more at once than the quota lets through, and all of them done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.regions import add_regions
from tests.harness.waiting import eventually
from tests.node.installation import effects, runs, use_handler

if TYPE_CHECKING:
    import psycopg

    from tests.harness.kubectl import Kubectl

pytestmark = pytest.mark.timeout(900)

SLOTS, REGIONS = 4, 20
RECOUNTED = 1
"""Kubernetes' own race: its quota controller counts the pods anew while one is admitted that it does not see yet
(pkg/controller/resourcequota, syncResourceQuota). Then one more is let through. Without a quota there would be REGIONS.
"""


def test_twenty_ticks_of_one_minute_share_four_slots(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]]
) -> None:
    use_handler(running, database, "short", startDeadline="90s")
    add_regions(database, [f"R{number:02}" for number in range(REGIONS)])
    eventually(lambda: len(running.cronjobs()) == REGIONS, what="CronJobs")
    minute = (datetime.now(UTC) + timedelta(seconds=80)).replace(second=0, microsecond=0)
    cron = f"{minute.minute} {minute.hour} {minute.day} {minute.month} *"
    database.execute("UPDATE region_index SET cron_schedule = %s", (cron,))
    eventually(lambda: len(finished(database)) == REGIONS, what="every tick is over", seconds=300)
    assert {row[1:] for row in runs(database)} == {("succeeded", "ok", 1)}
    assert effects(database) == [(f"R{number:02}", 1) for number in range(REGIONS)]
    eventually(lambda: len(ended := lifetimes(running)) == REGIONS and all(ended), what="every pod has ended")
    assert SLOTS <= most_at_once(lifetimes(running)) <= SLOTS + RECOUNTED


def finished(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT FROM region_tick.job_run WHERE finished_at IS NOT NULL").fetchall()


def lifetimes(kubectl: Kubectl) -> list[tuple[str, str] | None]:
    """Return when each pod of a tick was made and when it ended; None for one that has not ended."""
    pods = kubectl.get("pods", "--selector", "app=region-tick,batch.kubernetes.io/job-name")["items"]
    return [lifetime(pod) for pod in pods]


def lifetime(pod: dict[str, Any]) -> tuple[str, str] | None:
    for container in pod["status"].get("containerStatuses", []):
        if ended := container["state"].get("terminated"):
            return pod["metadata"]["creationTimestamp"], ended["finishedAt"]
    return None


def most_at_once(lives: list[tuple[str, str] | None]) -> int:
    """Return how many pods there were at most; within one second, ends come before beginnings."""
    known = [life for life in lives if life]
    changes = sorted([(began, 1) for began, _ in known] + [(ended, -1) for _, ended in known])
    return max(accumulate(change for _, change in changes))
