"""cronjobs/render.py: names, digests, and the parts of the manifest that must follow a rule."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.cronjobs.labels import DIGEST_ANNOTATION, SuspendedBy, cronjob_name, region_key
from region_operator.cronjobs.render import render_cronjob
from region_operator.regions.schedule import parse_schedule
from region_tick.contract import OF_RERUNS, Variable, job_name
from tests.harness.examples import PARIS, scheduler

if TYPE_CHECKING:
    from region_operator.regions.region import RegionRow


def render(region: RegionRow = PARIS, *, suspend: bool = False, **spec: Any) -> dict[str, Any]:
    schedule = parse_schedule(region.cron_schedule, code=region.code)
    return render_cronjob(
        region,
        schedule,
        scheduler(**spec),
        name="fr-75-x",
        tick_image="tick:1",
        suspended_by=SuspendedBy.SPEC if suspend else None,
    )


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_code_gives_a_name_that_a_cronjob_may_have(code: str, region_id: str) -> None:
    name = cronjob_name(replace(PARIS, code=code, id=region_id))
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= 52
    assert name.endswith(region_key(region_id))


def test_a_code_is_readable_in_the_name() -> None:
    assert cronjob_name(PARIS).startswith("fr-75-")


def test_the_same_region_renders_to_the_same_digest_and_any_other_to_another() -> None:
    digest = render()["metadata"]["annotations"][DIGEST_ANNOTATION]
    assert render()["metadata"]["annotations"][DIGEST_ANNOTATION] == digest
    assert render(suspend=True)["metadata"]["annotations"][DIGEST_ANNOTATION] != digest


@pytest.mark.parametrize(
    ("tick", "deadline"),
    [
        ({"timeout": "10m", "retries": 2, "startDeadline": "2m"}, 120 + 600 + 3 * (600 + 30) + 10 + 20),
        ({"timeout": "30s", "retries": 0, "startDeadline": "15s"}, 15 + 60),
        (
            {"timeout": "30s", "retries": 10, "startDeadline": "15s"},
            15 + 30 + 11 * 60 + sum([10, 20, 40, 80, 160, 320, 600, 600, 600, 600]),
        ),
    ],
)
def test_a_job_has_time_for_its_waits_its_attempts_and_its_backoffs(tick: dict[str, Any], deadline: int) -> None:
    assert render(tick=tick)["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == deadline


def test_a_handler_and_a_timeout_of_the_regions_own_go_before_the_regionschedulers() -> None:
    def told(region: RegionRow) -> tuple[str, str, int]:
        job = render(region, tick={"handler": "poll", "timeout": "30s", "retries": 0, "startDeadline": "15s"})
        spec = job["spec"]["jobTemplate"]["spec"]
        values = {item["name"]: item.get("value") for item in spec["template"]["spec"]["containers"][0]["env"]}
        return values[Variable.HANDLER], values[Variable.TIMEOUT_SECONDS], spec["activeDeadlineSeconds"]

    assert told(PARIS) == ("poll", "30", 15 + 60)
    assert told(replace(PARIS, handler="work:run")) == ("work:run", "30", 15 + 60)
    assert told(replace(PARIS, timeout=timedelta(minutes=5))) == ("poll", "300", 15 + 330)


def test_the_start_deadline_follows_the_schedule_unless_it_is_given() -> None:
    assert render()["spec"]["startingDeadlineSeconds"] == 100
    assert render(tick={"startDeadline": "40s"})["spec"]["startingDeadlineSeconds"] == 40


def test_a_job_is_kept_as_long_as_the_regionscheduler_says() -> None:
    def kept(**tick: Any) -> tuple[int, int, int]:
        spec = render(tick=tick)["spec"]
        ttl = spec["jobTemplate"]["spec"]["ttlSecondsAfterFinished"]
        return spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"], ttl

    assert kept() == (1, 1, 86_400)
    assert kept(failedJobsHistoryLimit=3, ttl="1h30m") == (1, 3, 5400)


def test_the_controller_and_the_tick_see_fixed_minutes_and_people_what_the_row_says() -> None:
    manifest = render(replace(PARIS, cron_schedule="H/10 * * * *", code="FR/75"))
    container = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    values = {item["name"]: item.get("value") for item in container["env"]}
    assert manifest["spec"]["schedule"] == values[Variable.REGION_CRON] == "0-59/10 * * * *"
    assert manifest["metadata"]["annotations"]["region-tick.dev/schedule"] == "H/10 * * * *"
    assert "region-tick.dev/schedule" not in render()["metadata"]["annotations"]


def test_the_same_code_gets_the_same_minute_in_another_cluster_and_under_another_id() -> None:
    there = replace(PARIS, cron_schedule="H H * * *", id="another", name="Paris again")
    assert (
        render(there, source={"table": "other"})["spec"]["schedule"]
        == (render(replace(PARIS, cron_schedule="H H * * *"))["spec"]["schedule"])
    )


def test_the_tick_is_told_its_region_and_where_its_job_name_stands() -> None:
    region = replace(PARIS, params='{"price": "$5"}')
    container = render(region, tick={"maxWindow": "1h30m", "failedLogLines": 20})["spec"]["jobTemplate"]["spec"][
        "template"
    ]["spec"]["containers"][0]
    environment = {item["name"]: item for item in container["env"]}
    assert environment.keys() == {str(variable) for variable in Variable if variable not in OF_RERUNS}
    assert environment[Variable.MAX_WINDOW_SECONDS]["value"] == "5400"
    assert environment[Variable.FAILED_LOG_LINES]["value"] == "20"
    assert environment[Variable.REGION_PARAMS]["value"] == '{"price": "$$5"}'
    assert environment[Variable.REGION_BBOX]["value"] == "2.224122,48.815573,2.469921,48.902145"
    assert environment[Variable.CRONJOB_NAME]["value"] == "fr-75-x"
    path = environment[Variable.JOB_NAME]["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['batch.kubernetes.io/job-name']"


def test_a_tick_has_no_token_of_the_cluster_whatever_its_service_account() -> None:
    for tick in ({}, {"serviceAccountName": "puller"}):
        assert (
            render(tick=tick)["spec"]["jobTemplate"]["spec"]["template"]["spec"]["automountServiceAccountToken"]
            is False
        )


def test_ticks_may_have_a_database_role_of_their_own() -> None:
    def secret(**tick: Any) -> dict[str, str]:
        container = render(tick=tick)["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
        [found] = [item["valueFrom"] for item in container["env"] if item["name"] == Variable.DATABASE_URL]
        return dict(found["secretKeyRef"])

    assert secret() == {"name": "region-tick-database", "key": "DATABASE_URL"}
    assert secret(databaseSecret="tick-database") == {"name": "tick-database", "key": "DATABASE_URL"}


def test_a_name_is_not_read_as_a_reference_to_another_variable() -> None:
    schedule = parse_schedule(PARIS.cron_schedule)
    region = replace(PARIS, code="US$$", name="$(TICK_SOURCE)")
    manifest = render_cronjob(region, schedule, scheduler(), name="us-x", tick_image="tick:1", suspended_by=None)
    container = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    values = {item["name"]: item.get("value") for item in container["env"]}
    assert values[Variable.REGION_CODE] == "US$$$$"
    assert values[Variable.REGION_NAME] == "$$(TICK_SOURCE)"
    assert manifest["metadata"]["annotations"]["region-tick.dev/code"] == "US$$"


def test_users_additions_come_after_ours() -> None:
    manifest = render(
        tick={"env": [{"name": "KEY", "value": "v"}], "image": "mine:1", "nodeSelector": {"pool": "ticks"}}
    )
    pod = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["env"][-1] == {"name": "KEY", "value": "v"}
    assert pod["containers"][0]["image"] == "mine:1"
    assert pod["nodeSelector"] == {"pool": "ticks"}


def test_a_users_mount_at_tmp_takes_the_place_of_the_operators() -> None:
    def mounts(*paths: str) -> list[tuple[str, str]]:
        own = [{"name": "own", "mountPath": path} for path in paths]
        pod = render(tick={"volumes": [{"name": "own"}], "volumeMounts": own})["spec"]["jobTemplate"]["spec"][
            "template"
        ]
        [container] = pod["spec"]["containers"]
        return [(mount["name"], mount["mountPath"]) for mount in container["volumeMounts"]]

    assert mounts("/tmp/own") == [("region-tick-tmp", "/tmp"), ("own", "/tmp/own")]
    assert mounts("/tmp/") == [("own", "/tmp/")]


def test_what_a_user_adds_to_the_metadata_never_takes_a_label_of_ours() -> None:
    extra = {"labels": {"app": "mine", "team": "geo"}, "annotations": {"note": "x"}}
    job = render(tick={"jobMetadata": extra, "podMetadata": extra})["spec"]["jobTemplate"]
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        assert (metadata["labels"]["app"], metadata["labels"]["team"]) == ("region-tick", "geo")
        assert metadata["annotations"] == {"note": "x"}


def test_a_security_context_replaces_the_default_as_a_whole_and_the_containers_stays() -> None:
    pod = render(tick={"securityContext": {"fsGroup": 7}})["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"fsGroup": 7}
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_longest_name_leaves_room_for_the_controllers_suffix() -> None:
    from datetime import UTC, datetime

    name = cronjob_name(replace(PARIS, code="x" * 99))
    assert len(job_name(name, datetime(2100, 1, 1, tzinfo=UTC))) <= 63


def test_what_outlives_its_regionscheduler_is_the_same_under_the_next_one() -> None:
    """So the next one finds nothing to write."""
    old, new = scheduler(deletionPolicy="Orphan"), scheduler(deletionPolicy="Orphan").model_copy(update={"uid": "b2"})
    schedule = parse_schedule(PARIS.cron_schedule)
    both = [
        render_cronjob(PARIS, schedule, each, name="fr-75-x", tick_image="tick:1", suspended_by=None)
        for each in (old, new)
    ]
    assert both[0] == both[1]
    assert "ownerReferences" not in both[0]["metadata"]
    assert render(deletionPolicy="Delete")["metadata"]["ownerReferences"][0]["uid"] == old.uid
