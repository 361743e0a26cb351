"""What makes a reconcile due, from statement to CronJob. The refresh interval is an hour, so that nothing else can."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from devcluster.postgres import Postgres
from region_operator.database.migrate import migrate
from region_tick.contract import Variable
from region_tick.database_url import DatabaseUrl
from tests.harness.regions import ROW_TRIGGER, add_regions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

HOUR = {"REGION_REFRESH_INTERVAL_MS": "3600000"}
UPDATES = 10_000
UPDATES_PER_SECOND = 1000


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    """A Postgres of the test's own, migrated, with a region."""
    with Postgres.temporary() as server:
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        add_regions(server.url(), 1)
        yield server


def name_of(kubectl: Kubectl, code: str) -> str:
    annotations: dict[str, str] = kubectl.cronjobs()[code]["metadata"]["annotations"]
    return annotations["region-tick.dev/name"]


def test_a_burst_of_updates_costs_few_reconciles_and_the_last_one_wins(
    run_operator: RunOperator, kubectl: Kubectl, database: str, add_regions: AddRegions
) -> None:
    add_regions(20)
    with run_operator(**HOUR) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="20 CronJobs")
        eventually(lambda: operator.logged("listening"), what="it listens")
        before = operator.reconciles
        with psycopg.connect(database, autocommit=True) as connection:
            began = time.monotonic()
            for number in range(1, UPDATES + 1):
                connection.execute(
                    "UPDATE region_index SET name = %s WHERE code = %s", [str(number), f"R{number % 20 + 1}"]
                )
                time.sleep(max(0.0, began + number / UPDATES_PER_SECOND - time.monotonic()))  # the load, not a wait
        last = {f"R{number % 20 + 1}": str(number) for number in range(UPDATES - 19, UPDATES + 1)}
        took = time.monotonic() - began
        eventually(lambda: {code: name_of(kubectl, code) for code in last} == last, what="the last state")
        assert operator.reconciles - before <= took + 10, "one a second while updates stream in, and a few at both ends"


def test_rows_that_go_are_seen_as_those_that_change(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(3)
    with run_operator(**HOUR) as operator:
        eventually(lambda: len(kubectl.cronjobs()) == 3, what="three CronJobs")
        eventually(lambda: operator.logged("listening"), what="it listens")
        sql("DELETE FROM region_index WHERE code = 'R1'")
        eventually(lambda: kubectl.cronjobs().keys() == {"R2", "R3"}, what="DELETE")
        measured = partial(operator.metric, "region_operator_edit_latency_seconds_count")
        eventually(lambda: measured() == 4, what="three came, one went: measured when the API server has answered")
        assert operator.metric("region_operator_edit_latency_seconds_sum") < 60
        sql("TRUNCATE region_index")
        eventually(lambda: operator.logged("changes held"), what="TRUNCATE")


def test_what_changed_while_nobody_listened_is_found_on_the_next_connection(
    run_operator: RunOperator, kubectl: Kubectl, database: str, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="one CronJob")
        eventually(lambda: operator.logged("listening"), what="it listens")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'region-operator listen'"
            )
            connection.execute("UPDATE region_index SET name = 'x'")
        eventually(lambda: name_of(kubectl, "R1") == "x", what="the edit shows")
        eventually(lambda: len(operator.logged("listening")) == 2, what="it listens again")


def test_a_frozen_database_is_noticed_and_its_thaw_is_enough(
    run_operator: RunOperator, kubectl: Kubectl, mortal: Postgres
) -> None:
    with run_operator(**HOUR, DATABASE_URL=mortal.url()) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="one CronJob")
        eventually(lambda: operator.logged("listening"), what="it listens")
        with mortal.frozen():
            eventually(lambda: operator.logged("not listening"), what="it is noticed")
            assert operator.get("/healthz")[0] == 200
        eventually(lambda: len(operator.logged("listening")) == 2, what="it listens again")
        with psycopg.connect(mortal.url()) as connection:
            connection.execute("UPDATE region_index SET name = 'x'")
        eventually(lambda: name_of(kubectl, "R1") == "x", what="the edit shows")


def test_a_restarted_database_is_listened_to_again(
    run_operator: RunOperator, kubectl: Kubectl, mortal: Postgres
) -> None:
    with run_operator(**HOUR, DATABASE_URL=mortal.url()) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="one CronJob")
        eventually(lambda: operator.logged("listening"), what="it listens")
        mortal.stop()
        mortal.start()
        with psycopg.connect(mortal.url()) as connection:
            connection.execute("UPDATE region_index SET name = 'x'")
        eventually(lambda: name_of(kubectl, "R1") == "x", what="the edit shows", seconds=60)


def test_a_table_of_the_users_own_gets_its_trigger_and_a_view_a_warning(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    sql("CREATE SCHEMA geo")
    sql("CREATE TABLE geo.regions (LIKE region_index INCLUDING ALL)")
    add_regions(1, table="geo.regions")
    sql("CREATE VIEW geo.all_regions AS SELECT * FROM geo.regions")
    with run_operator(**HOUR) as operator:
        eventually(kubectl.ready, what="a scheduler")
        point = '{"spec": {"source": {"table": "geo.%s"}}}'
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", point % "regions")
        eventually(lambda: kubectl.cronjobs().keys() == {"R1"}, what="the other table")
        eventually(lambda: operator.logged("listening"), what="it listens")
        sql("UPDATE geo.regions SET name = 'x'")
        eventually(lambda: name_of(kubectl, "R1") == "x", what="an edit there shows")
        assert [line["table"] for line in operator.logged("trigger created")] == ["geo.regions"]

        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", point % "all_regions")
        [line] = eventually(lambda: operator.logged("no trigger"), what="the view is reported")
        assert (line["table"], line["reason"]) == ("geo.all_regions", "no table")
        for name in ("y", "z"):
            sql("UPDATE geo.regions SET name = %s", name)
            eventually(lambda: name_of(kubectl, "R1") == name, what="the edit shows")  # noqa: B023 - called at once
        assert len(operator.logged("no trigger")) == 1


def test_an_edit_of_params_shows_like_any_other_and_bad_params_are_told_of(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    def variables() -> dict[str, str]:
        pod = kubectl.cronjobs()["R1"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        return {item["name"]: item.get("value", "") for item in pod["containers"][0]["env"]}

    sql("ALTER TABLE region_index ADD options jsonb")
    add_regions(2)
    with run_operator(**HOUR) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="two CronJobs")
        assert variables()[Variable.REGION_PARAMS] == ""
        patch = {"spec": {"source": {"columns": {"params": "options"}}, "tick": {"maxWindow": "1h"}}}
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", json.dumps(patch))
        eventually(lambda: variables().get(Variable.MAX_WINDOW_SECONDS) == "3600", what="windows are limited")
        eventually(lambda: operator.logged("trigger created"), what="edits of the column are heard")
        sql("""UPDATE region_index SET options = '{"depth": 3}' WHERE code = 'R1'""")
        eventually(lambda: variables().get(Variable.REGION_PARAMS) == '{"depth": 3}', what="the params show")
        sql("UPDATE region_index SET options = '[3]' WHERE code = 'R1'")
        eventually(lambda: kubectl.scheduler()["status"]["regions"].get("quarantined") == 1, what="it is quarantined")
        [line] = operator.logged("quarantined")
        assert line["reason"].startswith('params "[3]" is no object: write a JSON object')
        assert variables()[Variable.REGION_PARAMS] == '{"depth": 3}'


def test_a_trigger_that_is_dropped_is_made_again_and_one_that_is_disabled_is_left_so(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(REGION_REFRESH_INTERVAL_MS="1000") as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="one CronJob")
        assert operator.metric("region_operator_table_notifies") == 1
        sql(f"DROP TRIGGER {ROW_TRIGGER} ON region_index")
        eventually(lambda: operator.logged("trigger created"), what="it is made again")
        assert operator.metric("region_operator_table_notifies") == 1

        sql(f"ALTER TABLE region_index DISABLE TRIGGER {ROW_TRIGGER}")
        [line] = eventually(lambda: operator.logged("no trigger"), what="it is said")
        assert (line["reason"], "ENABLE TRIGGER" in line["remedy"]) == ("disabled", True)
        eventually(lambda: operator.metric("region_operator_table_notifies") == 0, what="the metric says so")
        sql("UPDATE region_index SET name = 'x'")
        eventually(lambda: name_of(kubectl, "R1") == "x", what="the interval finds the edit")
        sql(f"ALTER TABLE region_index ENABLE TRIGGER {ROW_TRIGGER}")
        eventually(lambda: operator.logged("trigger found"), what="it is enabled")
        assert operator.metric("region_operator_table_notifies") == 1
        assert len(operator.logged("no trigger")) == 1
        assert len(operator.logged("trigger created")) == 1


def test_a_table_that_is_made_anew_is_noticed_within_seconds_and_gets_its_triggers(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        eventually(lambda: operator.metric("region_operator_table_notifies") == 1, what="edits are heard")
        sql("BEGIN; CREATE TABLE anew (LIKE region_index INCLUDING ALL); DROP TABLE region_index CASCADE;"
            " ALTER TABLE anew RENAME TO region_index; COMMIT")  # fmt: skip
        add_regions(["R1", "R2"])
        eventually(lambda: kubectl.cronjobs().keys() == {"R1", "R2"}, what="the new table")
        sql("UPDATE region_index SET name = 'x' WHERE code = 'R2'")
        eventually(lambda: name_of(kubectl, "R2") == "x", what="an edit of the new table shows")


def test_that_edits_are_not_heard_is_a_condition_and_an_event(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(1)

    with run_operator(**HOUR) as operator:
        eventually(lambda: operator.metric("region_operator_table_notifies") == 1, what="edits are heard")
        assert kubectl.condition("EditsUnheard") == {}
        sql(f"ALTER TABLE region_index DISABLE TRIGGER {ROW_TRIGGER}")
        condition = eventually(lambda: kubectl.condition("EditsUnheard"), what="it is said")
        assert (condition["status"], condition["reason"]) == ("True", "NoNotifications")
        assert "ENABLE TRIGGER" in condition["message"]
        assert kubectl.ready()["reason"] == "InSync"
        assert operator.metric("region_operator_table_notifies") == 0
        [event] = kubectl.get("events", "--field-selector", "reason=EditsUnheard")["items"]
        assert event["message"] == condition["message"]
        sql(f"ALTER TABLE region_index ENABLE TRIGGER {ROW_TRIGGER}")
        eventually(lambda: not kubectl.condition("EditsUnheard"), what="it is over")
        assert operator.metric("region_operator_table_notifies") == 1
