"""The operator on a real control plane and a real Postgres: what a row does to the cluster."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.guard import wait_for_reconciles
from tests.harness.audit import audit_lines, is_renewal, sent_by
from tests.harness.regions import ONCE_A_YEAR, ROW_TRIGGER
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

SCHEDULER = {"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}
NO_WAKE_UPS = {"REGION_REFRESH_INTERVAL_MS": "1000"}


def test_rows_become_cronjobs_and_edits_show(run_operator: RunOperator, kubectl: Kubectl, sql: Any) -> None:
    sql(
        "INSERT INTO region_index (code, name, bbox_min_lon, bbox_min_lat, bbox_max_lon, bbox_max_lat, cron_schedule)"
        " VALUES ('FR-75', 'Paris', 2.224122, 48.815573, 2.469921, 48.902145, '*/5 * * * *')"
    )
    sql(
        "INSERT INTO region_index (code, name, cron_schedule, active)"
        " VALUES ('IS-1', 'Reykjavík', '0 * * * *', true), ('KE-30', 'Nairobi', '@hourly', true),"
        " ('XX', 'Nowhere', '@daily', false)"
    )
    with run_operator() as operator:
        eventually(lambda: kubectl.cronjobs().keys() == {"FR-75", "IS-1", "KE-30"}, what="one CronJob per active row")
        paris = kubectl.cronjobs()["FR-75"]
        assert paris["spec"]["schedule"] == "*/5 * * * *"
        assert paris["spec"]["timeZone"] == "UTC"
        assert paris["spec"]["concurrencyPolicy"] == "Forbid"
        assert paris["spec"]["startingDeadlineSeconds"] == 100
        assert paris["metadata"]["annotations"]["region-tick.dev/bbox"] == "2.224122,48.815573,2.469921,48.902145"
        assert paris["metadata"]["ownerReferences"][0]["kind"] == "RegionScheduler"
        assert kubectl.get("resourcequota", "region-tick")["spec"]["hard"] == {"pods": "4"}

        eventually(lambda: operator.logged("listening"), what="the operator listens")
        uid = paris["metadata"]["uid"]
        sql("UPDATE region_index SET cron_schedule = '*/7 * * * *', name = 'Lutetia' WHERE code = 'FR-75'")
        eventually(lambda: kubectl.cronjobs()["FR-75"]["spec"]["schedule"] == "*/7 * * * *", what="the edit shows")
        assert kubectl.cronjobs()["FR-75"]["metadata"]["uid"] == uid
        assert kubectl.cronjobs()["FR-75"]["metadata"]["annotations"]["region-tick.dev/name"] == "Lutetia"

        sql("UPDATE region_index SET active = true WHERE code = 'XX'")
        sql("UPDATE region_index SET active = false WHERE code = 'IS-1'")
        sql("DELETE FROM region_index WHERE code = 'FR-75'")
        eventually(lambda: kubectl.cronjobs().keys() == {"KE-30", "XX"}, what="what is gone from the table is gone")
        changes = {
            ("added", "FR-75"),
            ("rescheduled", "FR-75"),
            ("removed", "FR-75"),
            ("removed", "IS-1"),
            ("added", "XX"),
        }
        eventually(
            lambda: changes <= {(line["event"], line["region.code"]) for line in operator.lines if "cronjob" in line},
            what="each change is told",
        )
        regions = {"active": 2, "scheduled": 2, "quarantined": 0, "held": 0, "paused": 0}
        eventually(lambda: kubectl.scheduler()["status"].get("regions") == regions, what="the status")
        assert kubectl.ready()["reason"] == "InSync"


def test_the_refresh_interval_finds_what_no_notification_told(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    sql(f"DROP TRIGGER {ROW_TRIGGER} ON region_index")
    add_regions(1)
    with run_operator(MIGRATE="false", **NO_WAKE_UPS):
        eventually(lambda: kubectl.cronjobs().keys() == {"R1"}, what="the first reconcile")
        sql("UPDATE region_index SET cron_schedule = '0 3 * * *'")
        eventually(
            lambda: kubectl.cronjobs()["R1"]["spec"]["schedule"] == "0 3 * * *", what="the edit shows without NOTIFY"
        )


def test_an_unchanged_table_causes_no_write(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    add_regions(200)
    with run_operator(**NO_WAKE_UPS) as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="200 CronJobs", seconds=60)
        assert len(kubectl.cronjobs()) == 200
        settled = operator.reconciles
        eventually(lambda: operator.reconciles > settled, what="a reconcile that may still write a status")
        before = operator.reconciles
        mark = control_plane.audit_log.stat().st_size
        eventually(lambda: operator.reconciles >= before + 3, what="three reconciles")
        eventually(lambda: audit_lines(control_plane, kubectl.namespace, since=mark), what="a renewal of the Lease")
    writes = [line for line in audit_lines(control_plane, kubectl.namespace) if sent_by(line)]
    assert sum("/cronjobs/" in write["requestURI"] for write in writes) >= 200
    since = audit_lines(control_plane, kubectl.namespace, since=mark)
    assert [write["requestURI"] for write in since if sent_by(write) and not is_renewal(write)] == []


def test_a_row_with_an_invalid_schedule_is_quarantined_alone(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(50)
    with run_operator() as operator:
        eventually(lambda: len(kubectl.cronjobs()) == 50, what="50 CronJobs")
        eventually(lambda: operator.logged("listening"), what="the operator listens")
        versions = {code: item["metadata"]["resourceVersion"] for code, item in kubectl.cronjobs().items()}
        sql("UPDATE region_index SET cron_schedule = '61 * * * *' WHERE code = 'R7'")
        eventually(lambda: kubectl.cronjobs()["R7"]["spec"]["suspend"], what="the row's CronJob is suspended")
        after = kubectl.cronjobs()
        assert after["R7"]["spec"]["schedule"] == ONCE_A_YEAR
        assert {code for code, item in after.items() if item["metadata"]["resourceVersion"] != versions[code]} == {"R7"}

        ready = eventually(
            lambda: kubectl.ready() if kubectl.ready()["reason"] == "RegionsQuarantined" else None, what="the status"
        )
        assert ready["status"] == "True"
        assert "R7" in ready["message"]
        assert "61" in ready["message"]
        assert kubectl.scheduler()["status"]["regions"] == {
            "active": 50,
            "scheduled": 49,
            "quarantined": 1,
            "held": 0,
            "paused": 0,
        }
        [line] = operator.logged("quarantined")
        assert (line["region.code"], "61" in line["reason"]) == ("R7", True)
        [event] = [event for event in kubectl.get("events")["items"] if event["reason"] == "RegionQuarantined"]
        assert "R7" in event["message"]

        sql("UPDATE region_index SET cron_schedule = '1 * * * *' WHERE code = 'R7'")
        eventually(lambda: not kubectl.cronjobs()["R7"]["spec"]["suspend"], what="a repaired row leaves quarantine")
        eventually(lambda: kubectl.ready()["reason"] == "InSync", what="the status is well again")


def test_a_new_row_with_an_invalid_schedule_gets_no_cronjob(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(2)
    sql("UPDATE region_index SET cron_schedule = 'every day' WHERE code = 'R2'")
    with run_operator():
        eventually(lambda: kubectl.ready().get("reason") == "RegionsQuarantined", what="the row is reported")
        assert kubectl.cronjobs().keys() == {"R1"}


def test_an_edited_cronjob_is_set_right_at_the_next_reconcile(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**NO_WAKE_UPS):
        eventually(lambda: kubectl.ready().get("status") == "True", what="one CronJob")
        name = kubectl.cronjobs()["R1"]["metadata"]["name"]
        kubectl("patch", "cronjob", name, "--type", "merge", "--patch", json.dumps({"spec": {"schedule": "2 2 2 2 *"}}))
        eventually(lambda: kubectl.cronjobs()["R1"]["spec"]["schedule"] == ONCE_A_YEAR, what="the schedule is back")
        kubectl("delete", "cronjob", name)
        eventually(lambda: "R1" in kubectl.cronjobs(), what="the CronJob is back")


def test_a_foreign_cronjob_is_left_alone(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    kubectl("create", "cronjob", "backup", "--image", "busybox", "--schedule", "@daily")
    add_regions(1)
    with run_operator(REGION_REFRESH_INTERVAL_MS="1000") as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="one CronJob")
        sql("DELETE FROM region_index")
        eventually(lambda: not kubectl.cronjobs(), what="ours is gone")
        wait_for_reconciles(operator, 2)
        assert kubectl.get("cronjob", "backup")["spec"]["schedule"] == "@daily"


def test_a_missing_secret_is_said_and_its_creation_is_enough(
    run_operator: RunOperator, kubectl: Kubectl, database: str, add_regions: AddRegions, tmp_path: Path
) -> None:
    add_regions(1)
    secret = tmp_path / "DATABASE_URL"
    with run_operator(DATABASE_URL_FILE=str(secret)) as operator:
        ready = eventually(kubectl.ready, what="a status without a database")
        assert (ready["status"], ready["reason"]) == ("False", "DatabaseNotConfigured")
        assert "kubectl create secret generic region-tick-database" in ready["message"]
        assert operator.get("/healthz")[0] == 200
        code, text = eventually(lambda: operator.get("/readyz"), what="the readiness")
        assert (code, "create secret" in text) == (503, True)
        secret.write_text(database + "\n")
        eventually(lambda: kubectl.cronjobs().keys() == {"R1"}, what="the Secret's creation is enough", seconds=60)
        eventually(lambda: operator.get("/readyz")[0] == 200, what="ready")


def test_a_scheduler_can_be_deleted_while_the_operator_runs_and_while_it_does_not(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(3)
    with run_operator() as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="three CronJobs")
        assert "finalizers" not in kubectl.scheduler()["metadata"]
        kubectl("delete", "rsched", "default", "--timeout", "20s")
        eventually(lambda: not kubectl.cronjobs(), what="all it owns is collected")
        eventually(lambda: operator.logged("scheduler gone"), what="the log says that no region ticks any more")
        code, text = operator.get("/readyz")
        assert (code, text.startswith("RegionScheduler default is gone")) == (503, True)
        assert operator.metric("region_operator_regions", state="scheduled") == 0
        reconciles = operator.reconciles
        sql("UPDATE region_index SET name = 'x'")
        assert kubectl.scheduler() == {}
        assert operator.reconciles == reconciles
        assert operator.stop() == 0
    kubectl("create", "-f", "-", stdin=json.dumps(SCHEDULER))
    with run_operator() as operator:
        eventually(lambda: len(kubectl.cronjobs()) == 3, what="three CronJobs again")
        operator.signal(signal.SIGKILL)
    kubectl("delete", "rsched", "default", "--timeout", "20s")
    assert kubectl.scheduler() == {}


def test_another_name_than_default_is_refused(kubectl: Kubectl) -> None:
    manifest = SCHEDULER | {"metadata": {"name": "second"}}
    with pytest.raises(AssertionError, match="its name is"):
        kubectl("create", "-f", "-", stdin=json.dumps(manifest))
