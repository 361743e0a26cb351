"""A RegionScheduler in Git under a real Argo CD: its health, edits in Git and by hand, and quiet when nobody edits."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from region_operator.scheduler import APPROVAL_ANNOTATION
from tests.gitops.conftest import EXAMPLE, OTHERS
from tests.harness.long import rounds
from tests.harness.proxy import Proxy
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.argocd import ArgoCd
    from tests.harness.argocd_application import Application
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

pytestmark = [pytest.mark.gitops, pytest.mark.timeout(600)]

GIT = {"BOOTSTRAP": "false"}
KIND = "RegionScheduler"


def slots(kubectl: Kubectl) -> str:
    """Return how many ticks the quota lets run at once."""
    quota: str = kubectl.get("resourcequota", "region-tick")["spec"]["hard"]["pods"]
    return quota


def patch(kubectl: Kubectl, **spec: object) -> None:
    kubectl("patch", "rsched", "default", "--type=merge", "--patch", json.dumps({"spec": spec}))


def test_git_makes_it_edits_it_and_takes_back_what_people_edit(
    application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(2)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        assert application.health_of(KIND) == ("Healthy", "InSync: 2 of 2 active regions are scheduled")
        application.repository.edit(EXAMPLE, "concurrency: 4", "concurrency: 7")
        application.will_have_synced(application.push("Run more at once"))
        eventually(lambda: slots(kubectl) == "7", what="the quota follows Git")
        patch(kubectl, concurrency=9)
        eventually(lambda: slots(kubectl) == "9", what="the quota follows a person")
        eventually(lambda: slots(kubectl) == "7", what="the quota follows Git again", seconds=60)
        application.will_be("Synced", "Healthy")


def test_a_spec_that_is_refused_is_degraded_until_git_mends_it(
    application: Application, run_operator: RunOperator, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        mount = "volumeMounts: [{name: absent, mountPath: /absent}]"
        application.repository.edit(EXAMPLE, "concurrency: 4", f"concurrency: 4\n  tick: {{{mount}}}")
        application.push("Mount what is not there")
        application.will_be("Synced", "Degraded")
        health, message = application.health_of(KIND)
        assert health == "Degraded"
        assert message.startswith("InvalidSpec: ")
        application.repository.revert()
        application.refresh()
        application.will_be("Synced", "Healthy")


def test_without_its_database_it_is_degraded(
    application: Application, run_operator: RunOperator, database: str, add_regions: AddRegions
) -> None:
    add_regions(1)
    port = psycopg.conninfo.conninfo_to_dict(database)["port"]
    with Proxy.to(int(str(port))) as proxy:
        away = database.replace(f":{port}/", f":{proxy.port}/")
        assert away != database
        with run_operator(**GIT, DATABASE_URL=away, REGION_REFRESH_INTERVAL_MS="1000"):
            application.will_be("Synced", "Healthy")
            proxy.cut()
            application.will_be("Synced", "Degraded", seconds=180)
            assert application.health_of(KIND)[1].startswith("Database")
            proxy.mend()
            application.will_be("Synced", "Healthy", seconds=180)


def test_suspended_in_git_it_is_suspended(
    application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions, argo: ArgoCd
) -> None:
    add_regions(1)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        application.repository.edit(EXAMPLE, "concurrency: 4", "concurrency: 4\n  suspend: true")
        application.push("Suspend")
        application.will_be("Synced", "Suspended")
        assert argo.offers(kubectl) == {"resume"}
        argo.act(kubectl, "resume")
        eventually(lambda: kubectl.scheduler()["spec"]["suspend"], what="Git wins over the action", seconds=60)
        application.will_be("Synced", "Suspended")


def test_paused_by_an_action_it_stays_so_where_git_says_nothing_of_it(
    application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions, argo: ArgoCd
) -> None:
    add_regions(1)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        assert argo.offers(kubectl) == {"pause"}
        argo.act(kubectl, "pause")
        application.will_be("Synced", "Suspended")
        application.repository.edit(OTHERS, "first", "second")
        application.will_have_synced(application.push("Edit something else"))
        application.will_be("Synced", "Suspended")
        assert kubectl.scheduler()["spec"]["suspend"] is True
        argo.act(kubectl, "resume")
        application.will_be("Synced", "Healthy")


def test_an_approval_by_an_action_lets_go_what_is_held_and_survives_a_sync(
    application: Application,
    run_operator: RunOperator,
    kubectl: Kubectl,
    add_regions: AddRegions,
    argo: ArgoCd,
    database: str,
) -> None:
    add_regions(3)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("TRUNCATE region_index")
        eventually(lambda: kubectl.condition("DeletionsHeld"), what="deletions are held")
        assert argo.offers(kubectl) == {"pause", "approve-deletions"}
        argo.act(kubectl, "approve-deletions")
        eventually(lambda: not kubectl.cronjobs(), what="the CronJobs go")
        application.will_be("Synced", "Healthy")
        before = kubectl.scheduler()["metadata"]["annotations"][APPROVAL_ANNOTATION]
        application.repository.edit(OTHERS, "first", "second")
        application.will_have_synced(application.push("Edit something else"))
        assert kubectl.scheduler()["metadata"]["annotations"][APPROVAL_ANNOTATION] == before


def test_a_paused_region_stays_paused_through_a_sync(
    application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(2)
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        kubectl("annotate", "cronjob", kubectl.cronjobs()["R1"]["metadata"]["name"], "region-tick.dev/paused=true")
        eventually(lambda: kubectl.cronjobs()["R1"]["spec"]["suspend"], what="R1 is paused")
        application.repository.edit(EXAMPLE, "concurrency: 4", "concurrency: 5")
        application.will_have_synced(application.push("Run more at once"))
        eventually(lambda: slots(kubectl) == "5", what="the sync has arrived")
        assert [kubectl.cronjobs()[code]["spec"]["suspend"] for code in ("R1", "R2")] == [True, False]
        application.will_be("Synced", "Healthy")


@pytest.mark.long
@pytest.mark.timeout(4500)
def test_ticks_make_no_sync(
    application: Application, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    """In its long form it looks on for an hour."""
    minutes = rounds(2, long=60)
    for minute in range(60):
        add_regions([f"M{minute}"], cron=f"{minute} * * * *")
    with run_operator(**GIT):
        application.will_be("Synced", "Healthy")
        before, generation = application.status, kubectl.scheduler()["metadata"]["generation"]
        ticked: set[str] = set()
        for number in range(minutes + 1):  # the first minute has begun already
            now = int(time.time() // 60)
            eventually(lambda: time.time() // 60 > now, what="the next minute", seconds=90)  # noqa: B023 - at once
            ticked |= last_starts(kubectl)
            after = application.status
            assert (after["history"], after["operationState"]) == (before["history"], before["operationState"]), number
        assert len(ticked) >= minutes
        assert after["reconciledAt"] > before["reconciledAt"], "Argo CD has looked meanwhile"
        assert kubectl.scheduler()["metadata"]["generation"] == generation
        application.will_be("Synced", "Healthy")


def last_starts(kubectl: Kubectl) -> set[str]:
    """Return the minutes in which the CronJob controller has lately made a Job."""
    statuses = [cronjob.get("status", {}) for cronjob in kubectl.cronjobs().values()]
    return {status["lastScheduleTime"] for status in statuses if "lastScheduleTime" in status}
