"""Bad rows on a real control plane: each costs its own region alone, and only for as long as it is bad."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_operator.kube.events import EVENTS_AT_ONCE
from tests.harness.audit import audit_lines, is_renewal
from tests.harness.regions import ONCE_A_YEAR
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess
    from tests.harness.regions import AddRegions

EVERY_SECOND = {"REGION_REFRESH_INTERVAL_MS": "1000"}

BREAKS = {
    "R1": "cron_schedule = '0 3 * * 7'",
    "R2": "code = NULL",
    "R3": "code = 'R4'",
    "R5": "code = code || chr(7)",
    "R6": "bbox_min_lon = 1",
    "R7": "bbox_min_lat = 2, bbox_max_lat = 1, bbox_min_lon = 1, bbox_max_lon = 2",
    "R8": "bbox_min_lat = 'NaN', bbox_max_lat = 1, bbox_min_lon = 1, bbox_max_lon = 2",
    "R9": "name = name || chr(10)",
}
BROKEN = {*BREAKS}
REPAIR = (
    f"UPDATE region_index SET code = 'R' || nr, name = 'Region R' || nr, cron_schedule = '{ONCE_A_YEAR}',"
    " bbox_min_lon = NULL, bbox_min_lat = NULL, bbox_max_lon = NULL, bbox_max_lat = NULL"
)


@pytest.fixture
def sql(database: str) -> Callable[..., None]:
    """Run statements on the test's database, committed together."""

    def run(*statements: str) -> None:
        with psycopg.connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    return run


@pytest.fixture
def table(add_regions: AddRegions, sql: Callable[..., None]) -> Callable[[int], None]:
    """Fill a table that allows everything that Postgres does with so many good rows, R1, R2, ..."""

    def fill(count: int) -> None:
        add_regions(count)
        sql(
            "ALTER TABLE region_index DROP CONSTRAINT region_index_code_key, ALTER code DROP NOT NULL, ADD nr int",
            "UPDATE region_index SET nr = substr(code, 2)::int",
        )

    return fill


def break_rows() -> list[str]:
    """Return the statements that break a row each, in a way of its own."""
    return [f"UPDATE region_index SET {change} WHERE code = '{code}'" for code, change in BREAKS.items()]


def versions(kubectl: Kubectl) -> dict[str, str]:
    return {code: item["metadata"]["resourceVersion"] for code, item in kubectl.cronjobs().items()}


def suspended(kubectl: Kubectl) -> set[str]:
    return {code for code, item in kubectl.cronjobs().items() if item["spec"]["suspend"]}


def no_writes_in_three_reconciles(operator: OperatorProcess, cluster: LocalCluster, kubectl: Kubectl) -> None:
    settled = operator.reconciles
    eventually(lambda: operator.reconciles > settled, what="a reconcile that may still write a status")
    mark, before = cluster.audit_log.stat().st_size, operator.reconciles
    eventually(lambda: operator.reconciles >= before + 3, what="three reconciles")
    writes = audit_lines(cluster, kubectl.namespace, since=mark)
    assert [write["requestURI"] for write in writes if not is_renewal(write)] == []


def test_among_500_rows_one_turns_invalid_and_the_others_are_not_touched(
    run_operator: RunOperator, kubectl: Kubectl, table: Callable[[int], None], sql: Callable[..., None]
) -> None:
    table(500)
    with run_operator() as operator:
        eventually(lambda: len(kubectl.cronjobs()) == 500, what="500 CronJobs", seconds=60)
        eventually(lambda: operator.logged("listening"), what="the operator listens")
        before = versions(kubectl)
        uid = kubectl.cronjobs()["R250"]["metadata"]["uid"]
        sql("UPDATE region_index SET cron_schedule = '61 * * * *' WHERE code = 'R250'")
        eventually(lambda: suspended(kubectl) == {"R250"}, what="its CronJob is suspended")
        after = versions(kubectl)
        assert {code for code in before if after[code] != before[code]} == {"R250"}
        bad = kubectl.cronjobs()["R250"]
        assert (bad["metadata"]["uid"], bad["spec"]["schedule"]) == (uid, ONCE_A_YEAR)
        regions = {"active": 500, "scheduled": 499, "quarantined": 1, "held": 0, "paused": 0}
        eventually(lambda: kubectl.scheduler()["status"]["regions"] == regions, what="the status, after the CronJobs")


def test_whatever_is_wrong_with_a_row_its_cronjob_is_suspended_and_comes_back(
    run_operator: RunOperator,
    kubectl: Kubectl,
    control_plane: LocalCluster,
    table: Callable[[int], None],
    sql: Callable[..., None],
) -> None:
    table(12)
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: len(kubectl.cronjobs()) == 12, what="12 CronJobs")
        eventually(lambda: operator.logged("listening"), what="the operator listens")
        before = kubectl.cronjobs()
        sql(*break_rows())
        eventually(lambda: suspended(kubectl) == BROKEN, what="the bad rows' CronJobs are suspended")
        eventually(
            lambda: len({line["region.id"] for line in operator.logged("quarantined")}) == len(BROKEN),
            what="each is told",
        )
        after = kubectl.cronjobs()
        for code in BROKEN:
            assert after[code]["spec"] == before[code]["spec"] | {"suspend": True}
            assert after[code]["metadata"]["uid"] == before[code]["metadata"]["uid"]
        assert {after[code]["metadata"]["resourceVersion"] for code in after.keys() - BROKEN} == {
            before[code]["metadata"]["resourceVersion"] for code in before.keys() - BROKEN
        }
        no_writes_in_three_reconciles(operator, control_plane, kubectl)

        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", '{"spec": {"tick": {"timeout": "77s"}}}')
        name = after["R2"]["metadata"]["name"]
        kubectl("patch", "cronjob", name, "--type", "merge", "--patch", '{"spec": {"suspend": false}}')
        eventually(
            lambda: '"77"' in json.dumps(kubectl.cronjobs()["R2"]) and suspended(kubectl) == BROKEN,
            what="a suspended CronJob follows its scheduler, and does not run again by hand",
        )
        assert operator.stop() == 0

    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: operator.reconciles >= 1, what="a new operator")
        no_writes_in_three_reconciles(operator, control_plane, kubectl)
        eventually(lambda: operator.logged("listening"), what="the operator listens")
        sql(REPAIR)
        eventually(lambda: suspended(kubectl) == set(), what="repaired rows leave quarantine")
        eventually(lambda: kubectl.ready()["reason"] == "InSync", what="the status is well again")
        assert {line["region.id"] for line in operator.logged("quarantine ended")} == {
            line["region.id"] for line in operator.logged("quarantined")
        }


def test_of_two_rows_with_one_code_the_one_that_ticks_goes_on(
    run_operator: RunOperator, kubectl: Kubectl, table: Callable[[int], None], sql: Callable[..., None]
) -> None:
    table(4)
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: len(kubectl.cronjobs()) == 4, what="4 CronJobs")
        eventually(lambda: operator.logged("listening"), what="the operator listens")
        before = versions(kubectl)
        sql("INSERT INTO region_index (nr, code, name, cron_schedule) VALUES (5, 'R1', 'A newcomer', '* * * * *')")
        sql("UPDATE region_index SET code = 'R2' WHERE nr = 3")
        eventually(lambda: suspended(kubectl) == {"R3"}, what="the row that took another's code is suspended")
        eventually(lambda: kubectl.scheduler()["status"]["regions"]["quarantined"] == 2, what="so is the newcomer")
        after = versions(kubectl)
        assert {code for code in after if after[code] != before[code]} == {"R3"}
        assert "which ticks for it: give this region a code of its own" in kubectl.ready()["message"]
        assert operator.stop() == 0
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: operator.reconciles >= 2, what="a new operator")
        assert versions(kubectl) == after, "who ticks is known from the cluster alone"
        sql("UPDATE region_index SET code = 'R5' WHERE nr = 5", "UPDATE region_index SET code = 'R3' WHERE nr = 3")
        eventually(lambda: kubectl.ready()["reason"] == "InSync", what="codes of their own")
        assert suspended(kubectl) == set()
        assert len(kubectl.cronjobs()) == 5


def env_patch(**values: str) -> str:
    """Return what sets variables of a tick by hand."""
    container = {"name": "tick", "env": [{"name": name, "value": value} for name, value in values.items()]}
    pod = {"spec": {"containers": [container]}}
    return json.dumps({"spec": {"jobTemplate": {"spec": {"template": pod}}}})


@pytest.mark.parametrize("mode", ["Suspend", "KeepLast"])
def test_what_is_edited_by_hand_while_a_row_is_quarantined_is_undone(
    run_operator: RunOperator, kubectl: Kubectl, table: Callable[[int], None], sql: Callable[..., None], mode: str
) -> None:
    table(1)
    sql("UPDATE region_index SET bbox_min_lon = 1, bbox_min_lat = 1, bbox_max_lon = 2, bbox_max_lat = 2")
    with run_operator(**EVERY_SECOND):
        eventually(lambda: len(kubectl.cronjobs()) == 1, what="a CronJob")
        mode_patch = json.dumps({"spec": {"invalidSchedule": mode}})
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", mode_patch)
        sql("UPDATE region_index SET cron_schedule = 'whenever'")
        eventually(lambda: kubectl.ready().get("reason") == "RegionsQuarantined", what="the row is reported")
        eventually(lambda: suspended(kubectl) == ({"R1"} if mode == "Suspend" else set()), what="as the mode says")
        good = kubectl.cronjobs()["R1"]
        name = good["metadata"]["name"]
        edits = env_patch(REGION_CRON="* * * * *", REGION_NAME="Another", REGION_BBOX="", REGION_CODE="R9")
        kubectl("patch", "cronjob", name, "--type", "strategic", "--patch", edits)
        kubectl("set", "image", f"cronjob/{name}", "tick=example.org/another:1")
        eventually(lambda: kubectl.cronjobs()["R1"]["spec"] == good["spec"], what="variables and image are put back")
        kubectl("patch", "cronjob", name, "--type", "merge", "--patch", '{"spec": {"schedule": "* * * * *"}}')
        eventually(lambda: kubectl.cronjobs()["R1"]["spec"] == good["spec"], what="the schedule is put back")


def keep_last(kubectl: Kubectl) -> None:
    """Choose KeepLast, and wait until a reconcile has ended that knew: one under way may still suspend."""
    kubectl("patch", "rsched", "default", "--type", "merge", "--patch", '{"spec": {"invalidSchedule": "KeepLast"}}')
    eventually(kubectl.is_observed, what="the edit is read")


def test_a_quarantined_cronjob_that_is_known_no_more_is_suspended_until_its_row_is_good(
    run_operator: RunOperator,
    kubectl: Kubectl,
    control_plane: LocalCluster,
    table: Callable[[int], None],
    sql: Callable[..., None],
) -> None:
    table(1)
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: len(kubectl.cronjobs()) == 1, what="a CronJob")
        keep_last(kubectl)
        sql("UPDATE region_index SET cron_schedule = 'whenever'")
        eventually(lambda: kubectl.ready().get("reason") == "RegionsQuarantined", what="the row is reported")
        assert suspended(kubectl) == set()
        name = kubectl.cronjobs()["R1"]["metadata"]["name"]
        both = json.loads(env_patch(REGION_CRON="* * * * *"))
        both["spec"]["schedule"] = "* * * * *"
        kubectl("patch", "cronjob", name, "--type", "strategic", "--patch", json.dumps(both))
        eventually(lambda: suspended(kubectl) == {"R1"}, what="it is suspended, whatever the mode")
        eventually(lambda: "what it last was is not known" in kubectl.ready()["message"], what="and that is said")
        no_writes_in_three_reconciles(operator, control_plane, kubectl)
        sql(REPAIR)
        eventually(lambda: kubectl.cronjobs()["R1"]["spec"]["schedule"] == ONCE_A_YEAR, what="as its row says")
        assert suspended(kubectl) == set()


def test_keep_last_lets_them_run_on(
    run_operator: RunOperator, kubectl: Kubectl, table: Callable[[int], None], sql: Callable[..., None]
) -> None:
    table(12)
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: len(kubectl.cronjobs()) == 12, what="12 CronJobs")
        keep_last(kubectl)
        before = versions(kubectl)
        sql(*break_rows())
        eventually(lambda: kubectl.ready().get("reason") == "RegionsQuarantined", what="the rows are reported")
        settled = operator.reconciles
        eventually(lambda: operator.reconciles >= settled + 2, what="two reconciles more")
        assert versions(kubectl) == before
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", '{"spec": {"invalidSchedule": "Suspend"}}')
        eventually(lambda: suspended(kubectl) == BROKEN, what="the other mode")
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", '{"spec": {"invalidSchedule": "KeepLast"}}')
        eventually(lambda: suspended(kubectl) == set(), what="and back")


def test_ten_thousand_bad_rows_are_all_in_the_log_and_a_few_of_them_in_events(
    run_operator: RunOperator, kubectl: Kubectl, table: Callable[[int], None], sql: Callable[..., None]
) -> None:
    table(10_000)
    sql("UPDATE region_index SET cron_schedule = 'whenever' WHERE nr > 1")
    with run_operator() as operator:
        eventually(lambda: kubectl.ready().get("reason") == "RegionsQuarantined", what="a reconcile", seconds=60)
        assert kubectl.cronjobs().keys() == {"R1"}
        assert kubectl.scheduler()["status"]["regions"] == {
            "active": 10_000,
            "scheduled": 1,
            "quarantined": 9_999,
            "held": 0,
            "paused": 0,
        }
        assert len({line["region.id"] for line in operator.logged("quarantined")}) == 9_999
        events = [event for event in kubectl.get("events")["items"] if event["reason"] == "RegionQuarantined"]
        assert len(events) == EVENTS_AT_ONCE + 1
        assert f"and {9_999 - EVENTS_AT_ONCE} more, which the operator's log names" in {
            event["message"] for event in events
        }


def test_a_view_that_repeats_a_row_costs_that_region_alone(
    run_operator: RunOperator, kubectl: Kubectl, table: Callable[[int], None], sql: Callable[..., None]
) -> None:
    table(3)
    sql("ALTER TABLE region_index RENAME TO region")
    sql("CREATE TABLE creator (region int)", "INSERT INTO creator VALUES (1), (2), (3)")
    sql("CREATE VIEW region_index AS SELECT region.* FROM region LEFT JOIN creator ON creator.region = nr")
    with run_operator(**EVERY_SECOND) as operator:
        eventually(lambda: len(kubectl.cronjobs()) == 3, what="3 CronJobs")
        sql("INSERT INTO creator VALUES (2)")
        eventually(lambda: suspended(kubectl) == {"R2"}, what="the region that the view gives twice")
        [line] = operator.logged("quarantined")
        assert (line["region.code"], line["reason"].startswith("id is in 2 rows: ")) == ("R2", True)
        sql("DELETE FROM creator WHERE region = 2")
        eventually(lambda: suspended(kubectl) == set(), what="it is back, by the row that is left")


def test_whatever_text_a_row_may_have_the_api_server_takes(
    run_operator: RunOperator, kubectl: Kubectl, sql: Callable[..., None], database: str
) -> None:
    sql("ALTER TABLE region_index ALTER id DROP DEFAULT, ALTER id TYPE text")
    rows = [
        ("🗼" * 253, "🗼" * 63, "👩\u200d👩\u200d👧" * 200, "0" + ",0" * 495 + " * * * *"),
        ("https://example.org/?a=b#c", "São Paulo / «x»", '\ufeff"\\ud83d\\n', "0\t*\n*\u3000* *"),
        ("3", "$(HOSTNAME) {{x}} %s", "''; --", "@daily"),
    ]
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO region_index (id, code, name, cron_schedule) VALUES (%s, %s, %s, %s)",
            rows,
        )
    with run_operator() as operator:
        eventually(lambda: kubectl.ready().get("reason") == "InSync", what="all are scheduled")
        assert operator.logged("quarantined") == []
        annotations = [item["metadata"]["annotations"] for item in kubectl.cronjobs().values()]
        written = {
            tuple(annotation[f"region-tick.dev/{key}"] for key in ("id", "code", "name")) for annotation in annotations
        }
        assert written == {row[:3] for row in rows}
        items: list[dict[str, Any]] = list(kubectl.cronjobs().values())
        assert {item["spec"]["schedule"] for item in items} == {" ".join(row[3].split()) for row in rows}
