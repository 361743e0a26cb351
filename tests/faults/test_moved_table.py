"""A table whose regions tick is moved to another installation and back, and no tick is lost or done twice.

Both installations run all the time. In the long form the table is moved ten times, in about ten minutes. The ticks are
real processes. Each installation has its own operator and its own stand-in for a node.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.faults.standin import StandInKubelet
from tests.harness.long import rounds
from tests.harness.regions import EVERY_MINUTE, add_regions, numbered
from tests.harness.sharing import Installation, schedule_versions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from devcluster.local import LocalCluster

CODES = set(numbered(1, rounds(4, long=10)))
ROUND_TRIPS = rounds(1, long=5)
MINUTE = timedelta(minutes=1)


def ticks(database: str) -> dict[str, list[tuple[datetime, str, int]]]:
    """Return the ticks of each region: when, for which reason it ended, and by how many attempts."""
    found: dict[str, list[tuple[datetime, str, int]]] = {code: [] for code in CODES}
    with psycopg.connect(database, autocommit=True) as connection:
        query = "SELECT region_code, tick_at, reason, attempt FROM region_tick.job_run ORDER BY tick_at"
        for code, *tick in connection.execute(query):
            found[code].append((tick[0], tick[1], tick[2]))
    return found


def await_ticks(database: str) -> None:
    """Wait until each region has done a tick that was due after this call."""
    begun = datetime.now(UTC)

    def done() -> bool:
        last = [runs[-1] for runs in ticks(database).values() if runs]
        return len(last) == len(CODES) and all(at > begun and reason == "ok" for at, reason, _ in last)

    eventually(done, what="a tick of each region", seconds=150)


@pytest.mark.long
@pytest.mark.timeout(300 * (1 + ROUND_TRIPS))
def test_no_tick_is_lost_or_done_twice(control_plane: LocalCluster, database: str, tmp_path: Path) -> None:
    blue, green = (Installation(control_plane.kubeconfig, database, tmp_path) for _ in range(2))
    with blue.operator(), StandInKubelet(blue.kubectl, database), StandInKubelet(green.kubectl, database):
        add_regions(database, sorted(CODES), cron=EVERY_MINUTE)
        blue.will_have(CODES)
        await_ticks(database)
        versions = schedule_versions(database)
        assert len(versions) == len(CODES)
        with green.operator():
            for former, new in ((blue, green), (green, blue)) * ROUND_TRIPS:
                former_ticks = len(ticks(database)["R1"])
                new.take_over(former)
                former.will_have(set())
                new.withdraw_take_over()
                await_ticks(database)
                assert len(ticks(database)["R1"]) > former_ticks
        assert schedule_versions(database) == versions
    for runs in ticks(database).values():
        assert {(reason, attempt) for _, reason, attempt in runs} == {("ok", 1)}
        assert [at for at, _, _ in runs] == [runs[0][0] + number * MINUTE for number in range(len(runs))]
        assert len(runs) >= 1 + 2 * ROUND_TRIPS
    done = sum(map(len, ticks(database).values()))
    print(f"\n{2 * ROUND_TRIPS} moves, {done} ticks of {len(CODES)} regions, {len(versions)} rows of region_schedule")
    for installation in (blue, green):
        installation.kubectl("delete", "namespace", installation.kubectl.namespace, "--wait=false")
