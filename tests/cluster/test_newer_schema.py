"""The operator beside a schema that a newer release made: regions follow the table whatever the schema allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.harness.regions import ONCE_A_YEAR
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess
    from tests.harness.regions import AddRegions

HOUR = {"REGION_REFRESH_INTERVAL_MS": "3600000"}
NEWER = "UPDATE region_tick.alembic_version SET version_num = '9999'"
MIN_READER = "UPDATE region_tick.compatibility SET min_reader = %s"


def saved_schedules(database: str) -> dict[str, str]:
    """Return the current schedule versions of the ledger: each region's schedule by its code."""
    with psycopg.connect(database, autocommit=True) as connection:
        rows = connection.execute("SELECT code, cron FROM region_tick.region_schedule WHERE valid_to IS NULL")
        return dict(rows.fetchall())


def edit(sql: Any, kubectl: Kubectl, cron: str) -> None:
    """Edit R1's schedule, and wait until the edit shows."""
    sql("UPDATE region_index SET cron_schedule = %s WHERE code = 'R1'", cron)
    eventually(lambda: kubectl.cronjobs()["R1"]["spec"]["schedule"] == cron, what="the edit shows")


def wait_until_in_sync(operator: OperatorProcess, kubectl: Kubectl) -> str:
    """Return Ready's message once the operator listens and has reconciled."""
    eventually(lambda: operator.logged("listening"), what="it listens")
    eventually(lambda: kubectl.ready().get("reason") == "InSync", what="a reconcile")
    ready = kubectl.ready()
    assert ready["status"] == "True"
    return str(ready["message"])


@pytest.mark.parametrize("migrate", ["true", "false"])
def test_edits_show_beside_a_schema_that_is_too_new(
    run_operator: RunOperator, kubectl: Kubectl, database: str, sql: Any, add_regions: AddRegions, migrate: str
) -> None:
    add_regions(2)
    sql(NEWER)
    sql(MIN_READER, "99.1.0")
    with run_operator(MIGRATE=migrate, **HOUR) as operator:
        message = wait_until_in_sync(operator, kubectl)
        edit(sql, kubectl, "7 0 * * *")
        sql("DELETE FROM region_index WHERE code = 'R2'")
        eventually(lambda: kubectl.cronjobs().keys() == {"R1"}, what="a deletion shows")
        assert saved_schedules(database) == {}

        [line] = operator.logged("schema left alone")
        assert line["reason"].endswith("run release 99.1.0 or newer")
        assert message == f"2 of 2 active regions are scheduled; {line['reason']}"
        assert operator.get("/readyz")[1].splitlines()[-2:] == ["schema revision: 9999", line["reason"]]
        assert operator.get("/readyz")[0] == 200
        assert not operator.logged("not accounted")

        sql(MIN_READER, "0.1.0")
        edit(sql, kubectl, "8 0 * * *")
        eventually(lambda: saved_schedules(database) == {"R1": "8 0 * * *"}, what="the ledger goes on")
        eventually(lambda: "release" not in kubectl.ready()["message"], what="the status says no more of it")
        assert operator.stop() == 0


def test_all_goes_on_beside_a_newer_schema_that_may_be_used(
    run_operator: RunOperator, kubectl: Kubectl, database: str, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(2)
    with run_operator(**HOUR) as operator:
        wait_until_in_sync(operator, kubectl)
        sql(NEWER)  # by another release, while this one runs
        edit(sql, kubectl, "7 0 * * *")
        eventually(
            lambda: saved_schedules(database) == {"R1": "7 0 * * *", "R2": ONCE_A_YEAR}, what="the ledger goes on"
        )
        assert kubectl.ready()["message"] == "2 of 2 active regions are scheduled"
        eventually(lambda: operator.get("/readyz")[1].endswith("schema revision: 9999\n"), what="/readyz")
        assert not operator.logged("schema left alone")
        assert operator.stop() == 0
