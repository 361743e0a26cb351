"""The deletion guard on a real control plane: however a table loses its rows, no more regions go than may."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.guard import EVERY_SECOND, approve, count, deletes, held, wait_for_count, wait_for_reconciles
from tests.harness.audit import audit_lines, is_renewal
from tests.harness.regions import ONCE_A_YEAR, add_regions, numbered
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.local import LocalCluster
    from tests.cluster.conftest import Standing
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions


def test_a_truncated_table_deletes_nothing_until_it_is_approved(
    standing: Standing, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    with standing(500, **EVERY_SECOND) as operator:
        assert count(kubectl) == 500
        before = {code: item["metadata"]["resourceVersion"] for code, item in kubectl.cronjobs().items()}

        sql("TRUNCATE region_index")
        add_regions(["R501"])
        message = eventually(lambda: held(kubectl), what="the hold is a condition")["message"]
        eventually(lambda: "R501" in kubectl.cronjobs(), what="a creation goes on")
        another = ONCE_A_YEAR.replace("0", "7", 1)  # a tick would be a write
        sql("UPDATE region_index SET cron_schedule = %s WHERE code = 'R501'", another)
        eventually(lambda: kubectl.cronjobs()["R501"]["spec"]["schedule"] == another, what="an update goes on")
        wait_for_reconciles(operator, 1)
        mark = control_plane.audit_log.stat().st_size
        wait_for_reconciles(operator, 3)
        since = [line for line in audit_lines(control_plane, kubectl.namespace, since=mark) if not is_renewal(line)]
        assert [line["requestURI"] for line in since] == []

        after = kubectl.cronjobs()
        assert {code: after[code]["metadata"]["resourceVersion"] for code in before} == before
        assert not any(item["spec"]["suspend"] for item in after.values())
        assert kubectl.scheduler()["status"]["regions"]["held"] == 500
        assert operator.metric("region_operator_held_deletions") == 500
        events = [event for event in kubectl.get("events")["items"] if event["reason"] == "DeletionsHeld"]
        assert [(event["type"], event["message"]) for event in events] == [("Warning", message)]
        [line] = operator.logged("changes held")
        assert line["reason"] == message
        printed = [line.split()[4] for line in kubectl("get", "rsched", "--output", "wide").splitlines()]
        assert printed == ["HELD", "500"]

        for first in range(1, 500, 50):  # in pieces: the last ones must not go as soon as they are few
            add_regions(numbered(first, first + 49))
        eventually(lambda: not held(kubectl), what="the hold goes with its cause")
        wait_for_reconciles(operator, 1)
        assert kubectl.scheduler()["status"]["regions"]["held"] == 0
        assert operator.metric("region_operator_held_deletions") == 0
        assert kubectl.ready()["reason"] == "InSync"
        assert deletes(control_plane, kubectl) == set()

        sql("TRUNCATE region_index")
        eventually(lambda: held(kubectl), what="it holds again")
        approve(kubectl)
        eventually(lambda: count(kubectl) == 0, what="what was approved goes", seconds=90)
        eventually(lambda: not held(kubectl), what="the hold is over")
        wait_for_reconciles(operator, 1)
        assert len(deletes(control_plane, kubectl)) == 501
        assert "approvedDeletions" not in kubectl.scheduler()["status"]


def empty_by_truncate(sql: Any, kubectl: Kubectl) -> None:  # noqa: ARG001 - like the others
    sql("TRUNCATE region_index")


def empty_by_where(sql: Any, kubectl: Kubectl) -> None:  # noqa: ARG001 - like the others
    sql("UPDATE region_index SET active = false WHERE code <> 'no such code'")


def empty_by_view(sql: Any, kubectl: Kubectl) -> None:
    sql("CREATE VIEW current_regions AS SELECT * FROM region_index WHERE name = 'lost in a join'")
    kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"source": {"table": "current_regions"}}}')


def empty_by_another_table(sql: Any, kubectl: Kubectl) -> None:
    """As from a wrong database: the table is there, and its rows are others."""
    sql("CREATE SCHEMA staging")
    sql("CREATE TABLE staging.region_index (LIKE region_index INCLUDING ALL)")
    kubectl(
        "patch", "rsched", "default", "--type=merge", '--patch={"spec": {"source": {"table": "staging.region_index"}}}'
    )


@pytest.mark.parametrize("empty", [empty_by_truncate, empty_by_where, empty_by_view, empty_by_another_table])
def test_however_the_rows_were_lost_nothing_is_deleted(
    standing: Standing,
    kubectl: Kubectl,
    control_plane: LocalCluster,
    sql: Any,
    empty: Callable[[Any, Kubectl], None],
) -> None:
    with standing(30, **EVERY_SECOND) as operator:
        empty(sql, kubectl)
        eventually(lambda: held(kubectl), what="it holds")
        wait_for_reconciles(operator, 3)
        assert count(kubectl) == 30
        assert deletes(control_plane, kubectl) == set()


def test_a_wrong_database_deletes_nothing(
    run_operator: RunOperator, standing: Standing, kubectl: Kubectl, control_plane: LocalCluster, empty_database: str
) -> None:
    with standing(30) as operator:
        assert operator.stop() == 0
    with run_operator(DATABASE_URL=empty_database, **EVERY_SECOND) as operator:
        eventually(lambda: held(kubectl), what="it holds")
        wait_for_reconciles(operator, 3)
        assert operator.stop() == 0
    assert count(kubectl) == 30
    with run_operator():
        eventually(lambda: not held(kubectl), what="the right database ends the hold")
    assert deletes(control_plane, kubectl) == set()


@pytest.mark.parametrize("regions", [2, 10])
@pytest.mark.parametrize("empty", [empty_by_truncate, empty_by_where, empty_by_another_table])
def test_a_small_table_that_is_empty_is_not_believed(
    standing: Standing,
    kubectl: Kubectl,
    control_plane: LocalCluster,
    sql: Any,
    empty: Callable[[Any, Kubectl], None],
    regions: int,
) -> None:
    with standing(regions, **EVERY_SECOND) as operator:
        wait_for_count(kubectl, regions)
        empty(sql, kubectl)
        eventually(lambda: held(kubectl), what="it holds")
        wait_for_reconciles(operator, 3)
        assert count(kubectl) == regions
        assert deletes(control_plane, kubectl) == set()


def test_a_small_installation_outlives_a_wrong_database_and_what_that_brings(
    run_operator: RunOperator, standing: Standing, kubectl: Kubectl, control_plane: LocalCluster, empty_database: str
) -> None:
    """Without a table at first, so that one is made; then with rows of its own, which do not end the hold."""
    with standing(3) as operator:
        assert operator.stop() == 0
    with run_operator(DATABASE_URL=empty_database, **EVERY_SECOND) as operator:
        eventually(lambda: held(kubectl), what="it holds")
        add_regions(empty_database, numbered(101, 140))
        wait_for_count(kubectl, 43)
        wait_for_reconciles(operator, 3)
        assert held(kubectl)
        assert count(kubectl) == 43
        operator.signal(signal.SIGKILL)
        operator.wait()
    with run_operator(DATABASE_URL=empty_database, **EVERY_SECOND) as operator:
        eventually(lambda: operator.reconciles >= 2, what="another process", seconds=60)
        assert count(kubectl) == 43
        assert deletes(control_plane, kubectl) == set()
        approve(kubectl)
        wait_for_count(kubectl, 40)
    assert len(deletes(control_plane, kubectl)) == 3


def test_of_two_regions_one_may_go_and_then_the_other_is_held(
    standing: Standing, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    with standing(2, **EVERY_SECOND) as operator:
        sql("DELETE FROM region_index WHERE code = 'R1'")
        wait_for_count(kubectl, 1)
        sql("DELETE FROM region_index WHERE code = 'R2'")
        eventually(lambda: held(kubectl), what="the last one is held")
        wait_for_reconciles(operator, 2)
        assert kubectl.cronjobs().keys() == {"R2"}
        add_regions(["R2"])
        eventually(lambda: not held(kubectl), what="its row is back")
    assert len(deletes(control_plane, kubectl)) == 1


def test_the_only_region_may_go(run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions) -> None:
    add_regions(1)
    with run_operator(**EVERY_SECOND):
        wait_for_count(kubectl, 1)
        sql("DELETE FROM region_index")
        wait_for_count(kubectl, 0)
        assert not held(kubectl)
