"""The forecast as people see it: a condition, one Event, and not a write while nothing changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.harness.audit import audit_lines, is_renewal, sent_by
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

HOUR = min((datetime.now(UTC).hour + 12) % 24, 22)
"""An hour that does not come while the tests run, nor does the next."""
DAILY = f"0 {HOUR},{HOUR + 1} * * *"
"""An hour lies between two ticks, so each may start 5 minutes late. A daily tick may wait for longer."""


def overcommitted(kubectl: Kubectl) -> str:
    """Return the message of the condition Overcommitted, or "" if there is none."""
    conditions = kubectl.scheduler().get("status", {}).get("conditions", [])
    return next((each["message"] for each in conditions if each["type"] == "Overcommitted"), "")


def events(kubectl: Kubectl) -> list[str]:
    return [event["message"] for event in kubectl.get("events")["items"] if event["reason"] == "Overcommitted"]


def test_what_will_not_fit_is_a_condition_and_an_event_until_it_fits(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions, sql: Any
) -> None:
    add_regions(300, cron=DAILY)
    with run_operator(REGION_REFRESH_INTERVAL_MS="1000") as operator:
        eventually(lambda: overcommitted(kubectl), what="the condition", seconds=60)
        assert f"the worst minutes are {HOUR:02}:00 (300 due, " in overcommitted(kubectl)
        assert "write H" in overcommitted(kubectl)
        assert kubectl.ready()["reason"] == "InSync"
        assert events(kubectl) == [overcommitted(kubectl)]

        eventually(lambda: "filling" not in kubectl.scheduler()["status"], what="the first fill is over")
        version = kubectl.scheduler()["metadata"]["resourceVersion"]
        size = control_plane.audit_log.stat().st_size
        reconciles = operator.metric("region_operator_reconciles_total", reason="Succeeded")
        eventually(
            lambda: operator.metric("region_operator_reconciles_total", reason="Succeeded") >= reconciles + 5,
            what="five more reconciles",
        )
        lines = audit_lines(control_plane, kubectl.namespace, since=size)
        assert [line for line in lines if sent_by(line) and not is_renewal(line)] == []
        assert kubectl.scheduler()["metadata"]["resourceVersion"] == version
        assert operator.metric("region_operator_forecast_ticks", outcome="lost") > 0

        sql(f"UPDATE region_index SET cron_schedule = 'H H * * *' WHERE cron_schedule = '{DAILY}'")
        eventually(lambda: not overcommitted(kubectl), what="the spread ticks fit", seconds=60)
        assert operator.metric("region_operator_forecast_ticks", outcome="lost") == 0
        assert len(events(kubectl)) == 1
        assert len(operator.logged("overcommitted")) == len(operator.logged("no longer overcommitted")) == 1
