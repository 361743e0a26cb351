"""A suspension of all regions on a real API server: who, since when, until when, and how it ends by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_operator import reconcile
from region_operator.database.store import Store
from region_operator.kube.apply import Applied, PlanApplier
from region_operator.kube.connect import connect
from region_operator.scheduler import API_VERSION, KIND, format_time
from tests.cluster.plugin import plugin_of
from tests.cluster.quiet import HOUR, marked, settled
from tests.harness.clock import Clock
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions


def in_seconds(seconds: float) -> str:
    return format_time(datetime.now(UTC) + timedelta(seconds=seconds))


def set_spec(kubectl: Kubectl, manager: str = "kubectl-patch", **spec: Any) -> None:
    patch = json.dumps({"spec": spec})
    kubectl("patch", "rsched", "default", "--type", "merge", "--patch", patch, f"--field-manager={manager}")


def suspended(kubectl: Kubectl) -> set[str]:
    return {code for code, cronjob in kubectl.cronjobs().items() if cronjob["spec"]["suspend"]}


def condition(kubectl: Kubectl) -> dict[str, Any]:
    """Return the condition Suspended, {} if it is absent."""
    conditions = kubectl.scheduler()["status"].get("conditions", [])
    return next((each for each in conditions if each["type"] == "Suspended"), {})


def test_a_suspension_with_an_end_ends_by_itself_and_leaves_the_spec_as_it_is(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    """The refresh interval is an hour, so the operator wakes up for the end. A pause of one region outlives it."""
    add_regions(2)
    with run_operator(**HOUR) as operator:
        cronjobs = settled(operator, kubectl, regions=2)
        kubectl("annotate", "cronjob", cronjobs["R2"]["metadata"]["name"], "region-tick.dev/paused=true")
        eventually(lambda: suspended(kubectl) == {"R2"}, what="one is paused")
        until = in_seconds(3600)
        set_spec(kubectl, "ana", suspendUntil=until)
        eventually(lambda: suspended(kubectl) == {"R1", "R2"}, what="both are suspended")
        found = eventually(lambda: condition(kubectl), what="the condition")
        assert found["reason"] == "SuspendUntil"
        words = f"by ana since {found['lastTransitionTime']}, until {until}, as spec.suspendUntil says"
        assert found["message"] == f"all 2 active regions are suspended {words}"
        assert kubectl.ready()["message"] == found["message"]
        [event] = eventually(
            lambda: [each for each in kubectl.get("events")["items"] if each["reason"] == "Suspended"], what="an Event"
        )
        assert event["message"] == f"all regions are suspended {words}"
        until = in_seconds(4)
        set_spec(kubectl, "ana", suspendUntil=until)
        eventually(lambda: suspended(kubectl) == {"R2"}, what="it is over")
        assert format_time(datetime.now(UTC)) >= until
        eventually(lambda: not condition(kubectl), what="the condition is gone")
        assert kubectl.scheduler()["spec"]["suspendUntil"] == until, "Git may have written it"
        assert operator.logged("all resumed")
        kubectl("annotate", "cronjob", cronjobs["R2"]["metadata"]["name"], "region-tick.dev/paused-")
        eventually(lambda: suspended(kubectl) == set(), what="and the pause")
        set_spec(kubectl, suspend=True)
        eventually(lambda: suspended(kubectl) == {"R1", "R2"}, what="what is left over ends no later suspension")


async def test_a_reconcile_that_takes_long_delays_the_end_by_nothing(
    kubectl: Kubectl, database: str, add_regions: AddRegions, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()

    class Slow(PlanApplier):
        async def run(self) -> Applied:
            clock.now += 500
            return await super().run()

    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    monkeypatch.setattr(reconcile, "PlanApplier", Slow)
    add_regions(1)
    spec = {"refreshInterval": "1h", "suspendUntil": in_seconds(600)}
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "default"}, "spec": spec}
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    async with connect("a test") as api, Store(lambda: database, may_migrate=True) as store:
        reconciler = reconcile.Reconciler(api, store, tick_image="tick:1")
        reconciler.observer._clock = clock
        ended = await reconciler.reconcile(kubectl.namespace, "default")
    assert suspended(kubectl) == {"R1"}
    assert ended is not None
    assert 50 < ended.look_in.total_seconds() <= 101


def test_since_when_outlives_the_leader_and_an_edit(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        settled(operator, kubectl, regions=1)
        set_spec(kubectl, "ana", suspendUntil=in_seconds(3600))
        first = eventually(lambda: condition(kubectl), what="the condition")
        assert operator.stop() == 0
    with run_operator(**HOUR) as operator:
        eventually(lambda: operator.logged("all suspended"), what="another leader has looked", seconds=60)
        later = in_seconds(7200)
        set_spec(kubectl, "bob", suspendUntil=later)
        eventually(lambda: later in condition(kubectl).get("message", ""), what="another end")
        assert condition(kubectl)["lastTransitionTime"] == first["lastTransitionTime"]
        assert f"by bob since {first['lastTransitionTime']}" in condition(kubectl)["message"]
        version = kubectl.scheduler()["metadata"]["resourceVersion"]
        operator.stop()
    assert kubectl.scheduler()["metadata"]["resourceVersion"] == version, "who waits for an end writes nothing"


def test_an_end_that_passed_while_no_operator_ran_counts(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        settled(operator, kubectl, regions=1)
        set_spec(kubectl, suspendUntil=in_seconds(3600))
        eventually(lambda: suspended(kubectl) == {"R1"}, what="it is suspended")
        assert operator.stop() == 0
    set_spec(kubectl, suspendUntil=in_seconds(-60))
    with run_operator(**HOUR):
        eventually(lambda: suspended(kubectl) == set(), what="it is resumed", seconds=60)


def test_the_api_server_refuses_what_would_end_nothing_and_never_an_emergency(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        settled(operator, kubectl, regions=1)
        for spec in ({"suspend": True, "suspendUntil": in_seconds(3600)}, {"suspendUntil": "tomorrow"}):
            with pytest.raises(AssertionError, match=r"suspendUntil"):
                set_spec(kubectl, **spec)
        set_spec(kubectl, suspendUntil="2020-01-01T00:00:00Z")
        set_spec(kubectl, suspend=True)
        eventually(lambda: suspended(kubectl) == {"R1"}, what="an end that is past stands in nobody's way")
        set_spec(kubectl, concurrency=2)  # what stands may be applied again
        with pytest.raises(AssertionError, match="would end nothing"):
            set_spec(kubectl, suspendUntil=in_seconds(3600))
        set_spec(kubectl, suspendUntil=None)
        marked(kubectl)
        assert suspended(kubectl) == {"R1"}


def test_a_moment_that_is_left_in_git_is_in_no_suspensions_way(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions, tmp_path: Path
) -> None:
    """Git has no `suspend`, as docs/gitops.md advises, and the line of a maintenance that is over."""
    add_regions(1)
    plugin = plugin_of(kubectl, tmp_path)
    over = "2020-01-01T00:00:00Z"
    in_git = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "default"}, "spec": {"suspendUntil": over}}

    def sync() -> None:
        to_git = ("--server-side", "--force-conflicts", "--field-manager=git", "-f", "-")
        kubectl("apply", *to_git, stdin=json.dumps(in_git))

    with run_operator(**HOUR) as operator:
        settled(operator, kubectl, regions=1)
        sync()
        for _ in range(2):
            plugin.succeeds("pause", "--all", "--reason", "disks", "-y")
            sync()
            marked(kubectl)
            assert suspended(kubectl) == {"R1"}
            plugin.succeeds("resume", "--all", "-y")
        sync()
        plugin.succeeds("pause", "--all", "--reason", "disks", "--until", "2h", "-y")
        assert suspended(kubectl) == {"R1"}
        sync()
        eventually(lambda: suspended(kubectl) == set(), what="the moment in Git wins")
        assert kubectl.scheduler()["spec"]["suspendUntil"] == over


def test_the_ledger_keeps_one_suspension_and_the_plugin_says_the_operators_words(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions, database: str, tmp_path: Path
) -> None:
    add_regions(2)
    plugin = plugin_of(kubectl, tmp_path)
    with run_operator(**HOUR) as operator:
        settled(operator, kubectl, regions=2)
        paused = plugin.succeeds("pause", "--all", "--reason", "new disks", "--until", "2h", "-y")
        words = condition(kubectl)["message"]
        assert paused == f"{kubectl.namespace}/default: {words}\n"
        assert words.endswith("as spec.suspendUntil says: new disks")
        assert suspended(kubectl) == {"R1", "R2"}
        assert "it stays so" in plugin("pause", "--all", "--reason", "x", "--until", "1h", "-y").stderr
        plugin.succeeds("pause", "--all", "--reason", "for longer", "-y")
        longer = condition(kubectl)["message"]
        assert longer.endswith("until spec.suspend is set to false, whatever spec.suspendUntil says: for longer")
        assert kubectl.ready()["message"] == longer
        status = plugin("status")
        assert longer in status.stdout
        assert status.stdout.count("for longer") == 1, "once is enough"
        annotate = ("annotate", "regionscheduler", "default", "--overwrite")
        refused = plugin.answers(
            "resume", "--all", meanwhile=lambda: kubectl(*annotate, "region-tick.dev/paused-reason=mine")
        )
        assert (refused.returncode, suspended(kubectl)) == (1, {"R1", "R2"})
        assert "the suspension was changed meanwhile, and nothing is written" in refused.stderr
        resumed = plugin.answers("resume", "--all", meanwhile=lambda: kubectl(*annotate, "other=x"))
        assert resumed.returncode == 0, resumed.stderr
        assert resumed.stdout == f"{kubectl.namespace}/default: 2 of 2 active regions are scheduled\n"
        assert suspended(kubectl) == set()
        left = kubectl.scheduler()
        assert "suspendUntil" not in left["spec"]
        assert not [name for name in left["metadata"].get("annotations", {}) if "/paused" in name]
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT code, suspended_by FROM region_tick.region_schedule WHERE suspended ORDER BY 1"
        ).fetchall()
    assert found == [("R1", "spec.suspend"), ("R2", "spec.suspend")], "a longer end is no other suspension"
