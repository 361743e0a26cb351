"""A schedule with an `H`, from the row to the CronJob: fixed values for Kubernetes, the row's text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import SCHEDULE_ANNOTATION
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions


def test_a_hash_is_compiled_for_the_cluster_and_kept_for_people(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions, sql: Any
) -> None:
    def schedules() -> dict[str, tuple[str, str | None]]:
        return {
            code: (item["spec"]["schedule"], item["metadata"]["annotations"].get(SCHEDULE_ANNOTATION))
            for code, item in kubectl.cronjobs().items()
        }

    add_regions(["FR/75"], cron="H H(0-7) 1 * *")
    with run_operator() as operator:
        eventually(lambda: schedules() == {"FR/75": ("50 7 1 * *", "H H(0-7) 1 * *")}, what="the CronJob")
        sql("UPDATE region_index SET cron_schedule = 'H(0-99) * * * *'")
        eventually(lambda: kubectl.cronjobs()["FR/75"]["spec"]["suspend"], what="the quarantine")
        assert schedules() == {"FR/75": ("50 7 1 * *", "H H(0-7) 1 * *")}, "as it last was"
        sql("UPDATE region_index SET cron_schedule = 'H H(0-7) 1 * *'")
        eventually(lambda: not kubectl.cronjobs()["FR/75"]["spec"]["suspend"], what="the quarantine's end")
        eventually(lambda: operator.logged("resumed"), what="the log's line")
        assert len(operator.logged("suspended")) == len(operator.logged("resumed")) == 1

        sql("UPDATE region_index SET cron_schedule = '50 7 1 * *'")
        eventually(lambda: schedules() == {"FR/75": ("50 7 1 * *", None)}, what="a plain schedule")
        assert operator.logged("rescheduled") == []

        before = kubectl.cronjobs()["FR/75"]["metadata"]["uid"]
        sql("UPDATE region_index SET id = gen_random_uuid(), cron_schedule = 'H H(0-7) 1 * *'")
        eventually(
            lambda: (
                schedules() == {"FR/75": ("50 7 1 * *", "H H(0-7) 1 * *")}
                and kubectl.cronjobs()["FR/75"]["metadata"]["uid"] != before
            ),
            what="the same minute under another id",
        )


def test_an_edit_of_the_annotation_is_undone(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(["FR/75"], cron="H H 1 * *")
    with run_operator():
        [name] = eventually(
            lambda: [item["metadata"]["name"] for item in kubectl.cronjobs().values()], what="the CronJob"
        )
        kubectl("annotate", "cronjob", name, "--overwrite", f"{SCHEDULE_ANNOTATION}=H * * * *")
        eventually(
            lambda: kubectl.cronjobs()["FR/75"]["metadata"]["annotations"][SCHEDULE_ANNOTATION] == "H H 1 * *",
            what="what the row says",
        )
