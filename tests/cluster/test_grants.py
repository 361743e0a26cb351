"""The operator as a process with exactly the database rights that `region-operator grants` gives it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_operator.database.engine import make_engine
from region_operator.database.grants import Kind
from region_operator.kube.connect import connect
from region_operator.ledger.finalize import Finalizer
from region_operator.ledger.job_cleanup import JobCleanup
from region_operator.ledger.job_watch import JobWatch
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_tick.database_url import DatabaseUrl
from tests.harness.examples import scheduler
from tests.harness.regions import ONCE_A_YEAR
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions
    from tests.harness.roles import Roles

SOURCE = "public.region_index"
HOUR = {"REGION_REFRESH_INTERVAL_MS": "3600000"}


@pytest.mark.parametrize("migrates", [False, True])
def test_it_reconciles_listens_and_saves_the_schedules(
    roles: Roles,
    run_operator: RunOperator,
    kubectl: Kubectl,
    database: str,
    sql: Any,
    add_regions: AddRegions,
    migrates: bool,
) -> None:
    roles.close_public_schema(database)
    assert roles.grant(database, migrates=migrates) == []
    if migrates:
        give_schema(database, roles.name(Kind.OPERATOR))
    add_regions(2)
    with run_operator(DATABASE_URL=roles.url(Kind.OPERATOR, database), MIGRATE=str(migrates), **HOUR) as operator:
        eventually(lambda: kubectl.cronjobs().keys() == {"R1", "R2"}, what="CronJobs")
        eventually(lambda: operator.logged("listening"), what="it listens")
        sql("UPDATE region_index SET cron_schedule = '7 0 * * *' WHERE code = 'R1'")
        eventually(lambda: kubectl.cronjobs()["R1"]["spec"]["schedule"] == "7 0 * * *", what="a notified edit shows")
        eventually(lambda: schedules(database) == {"R1": "7 0 * * *", "R2": ONCE_A_YEAR}, what="schedule versions")
        assert [line for line in operator.lines if line["level"] not in ("debug", "info")] == []
        assert operator.stop() == 0


async def test_it_accounts_for_ticks_that_never_came(
    roles: Roles, kubectl: Kubectl, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles.grant(database)
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    of = scheduler().model_copy(update={"namespace": kubectl.namespace})
    spec = ScheduleSpec(cron="* * * * *", code="a", cronjob="a", start_deadline_seconds=20)
    begins = [datetime.now(UTC) - timedelta(minutes=minutes) for minutes in (8, 4)]
    versions = [
        ScheduleVersion(source=SOURCE, region_id="1", spec=replace(spec, suspended=suspended), valid_from=since)
        for since, suspended in zip(begins, (False, True), strict=True)
    ]
    engine = make_engine(DatabaseUrl.parse(roles.url(Kind.OPERATOR, database)))
    async with connect("test") as api:
        for version in versions:
            await save_versions(engine, {version.key: version}, installation=of.installation)
        watch, month = JobWatch(api), timedelta(days=30)
        finalizer = Finalizer(engine, of, job_watch=watch, job_cleanup=JobCleanup(api, watch), retention=month)
        await finalizer.finalize(timedelta())
    await engine.dispose()
    with psycopg.connect(database) as connection:
        states = connection.execute("SELECT DISTINCT state FROM region_tick.runs ORDER BY state").fetchall()
    assert states == [("missed",), ("skipped",)]


def give_schema(database: str, owner: str) -> None:
    """Make a role the owner of our schema and of all that is in it, as if the role had migrated."""
    with psycopg.connect(database, autocommit=True) as connection:
        me = connection.info.user
        connection.execute(f'GRANT "{owner}" TO "{me}"'.encode())
        connection.execute(f"ALTER SCHEMA region_tick OWNER TO {owner}".encode())
        tables = "SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'region_tick'::regnamespace"
        for (name,) in connection.execute(f"{tables} AND relkind IN ('r', 'p', 'v')".encode()).fetchall():
            connection.execute(f"ALTER TABLE {name} OWNER TO {owner}".encode())


def schedules(database: str) -> dict[str, str]:
    """Return each region's current schedule by its code, as the ledger has it."""
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT code, cron FROM region_tick.region_schedule WHERE valid_to IS NULL")
        return dict(found.fetchall())
