"""kubectl_region/rerun_job.py and the names of such Jobs: made from the CronJob's template, and nobody else's."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_region.backfill_plan import Rerun
from kubectl_region.rerun_job import make_job, read_job
from region_operator.cronjobs.job import Job
from region_operator.cronjobs.labels import NAME_LIMIT, key_in_name
from region_operator.kube.waiting_job import cronjob_and_minute
from region_tick.contract import Variable, job_name, rerun_job_name, tick_at_of
from region_tick.environment import Environment
from tests.harness.ticks import variables

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
CRONJOB: dict[str, Any] = {
    "metadata": {"name": "ch-zrh-0123456789ab", "namespace": "ticks", "uid": "u-1"},
    "spec": {
        "jobTemplate": {
            "metadata": {"labels": {"app": "region-tick"}, "annotations": {"team": "geo"}},
            "spec": {
                "backoffLimit": 2,
                "template": {
                    "metadata": {"labels": {"app": "region-tick"}},
                    "spec": {
                        "containers": [
                            {"name": "sidecar"},
                            {"name": "tick", "env": [{"name": "REGION_CODE", "value": "ch$$zrh"}]},
                        ]
                    },
                },
            },
        }
    },
}
RERUN = Rerun(code="ch$zrh", cronjob="ch-zrh-0123456789ab", tick_at=NOON)
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?-[0-9a-f]{12}", fullmatch=True)


def test_a_job_is_made_from_the_template_and_says_which_tick_and_who() -> None:
    before = copy.deepcopy(CRONJOB)
    job = make_job(CRONJOB, RERUN, by="alice: $(HOME) is away")
    assert before == CRONJOB
    assert job["metadata"] == {
        "name": RERUN.job,
        "namespace": "ticks",
        "labels": {"app": "region-tick", "region-tick.dev/tick-at": "20261130T1200Z"},
        "annotations": {"team": "geo", "region-tick.dev/rerun-by": "alice: $(HOME) is away"},
        "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "ch-zrh-0123456789ab", "uid": "u-1"}],
    }
    assert job["spec"]["backoffLimit"] == 2
    pod = job["spec"]["template"]
    assert pod["metadata"]["labels"]["region-tick.dev/tick-at"] == "20261130T1200Z"
    assert pod["spec"]["containers"][0] == {"name": "sidecar"}
    assert pod["spec"]["containers"][1]["env"] == [
        {"name": "REGION_CODE", "value": "ch$$zrh"},
        {"name": "TICK_RERUN_OF", "value": "2026-11-30T12:00:00Z"},
        {"name": "TICK_RERUN_BY", "value": "alice: $$(HOME) is away"},
    ]


def test_the_tick_and_the_operator_read_what_was_made() -> None:
    job = make_job(CRONJOB, RERUN, by="alice")
    told = {item["name"]: item["value"] for item in job["spec"]["template"]["spec"]["containers"][1]["env"]}
    environment = Environment.read(variables("postgresql://a:b@c/d") | told | {Variable.JOB_NAME: RERUN.job})
    assert (environment.rerun_of, environment.rerun_by, environment.scheduled_at) == (NOON, "alice", None)
    meta = {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-11-30T13:00:00Z"}
    assert Job.from_object(job | {"metadata": job["metadata"] | meta}).rerun


@pytest.mark.parametrize(("told", "kept"), [(None, 600), (86_400, 600), (60, 60), (0, 0)])
def test_a_job_goes_soon_after_its_end(told: int | None, kept: int) -> None:
    cronjob = copy.deepcopy(CRONJOB)
    if told is not None:
        cronjob["spec"]["jobTemplate"]["spec"]["ttlSecondsAfterFinished"] = told
    assert make_job(cronjob, RERUN, by="alice")["spec"]["ttlSecondsAfterFinished"] == kept


@pytest.mark.parametrize(
    ("status", "active", "why"),
    [
        ({}, True, ""),
        ({"conditions": [{"type": "Suspended", "status": "True"}]}, True, ""),
        ({"conditions": [{"type": "Failed", "status": "False"}]}, True, ""),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, False, ""),
        (
            {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}]},
            False,
            "DeadlineExceeded: too long",
        ),
    ],
)
def test_a_job_is_read(status: dict[str, Any], active: bool, why: str) -> None:
    seen = read_job(make_job(CRONJOB, RERUN, by="alice") | {"status": status})
    assert (seen.code, seen.tick_at, seen.active, seen.why) == ("ch$zrh", NOON, active, why)


@given(names, st.integers(0, 2_000_000), st.integers(1, 9999))
def test_a_name_is_that_of_no_ticks_own_job_and_fits_into_the_names_of_pods(
    cronjob: str, minutes: int, attempt: int
) -> None:
    assert len(cronjob) <= NAME_LIMIT + 1
    tick_at = NOON + timedelta(minutes=minutes)
    name = rerun_job_name(cronjob, tick_at, attempt=attempt)
    assert len(f"{name}-") <= 58
    assert tick_at_of(name, cronjob=cronjob) is None
    told, minute = cronjob_and_minute(name)
    assert minute is None
    assert tick_at_of(name, cronjob=told) is None
    assert key_in_name(cronjob) in name  # type: ignore[operator]
    assert name != rerun_job_name(cronjob, tick_at + timedelta(minutes=1), attempt=attempt)
    assert name != rerun_job_name(cronjob, tick_at, attempt=attempt + 1)
    assert job_name("", tick_at) in name
