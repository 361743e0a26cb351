"""cronjobs/alteration.py and plan/altered.py: what an admission policy made of our writes, and the words for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from region_operator.cronjobs.labels import SuspendedBy
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.render import render_cronjob
from region_operator.plan.altered import explain_altered
from region_operator.regions.schedule import parse_schedule
from region_tick.contract import Variable
from tests.harness.examples import PARIS, applied, live_cronjob, scheduler

SCHEDULE = ("f:spec", "f:schedule")


def written(*, but: tuple[tuple[str, ...], ...] = (), suspended_by: SuspendedBy | None = None) -> dict[str, Any]:
    """Return PARIS' CronJob as it stands after our apply."""
    schedule = parse_schedule("H 3 * * *", code=PARIS.code)
    name = "fr-75-eabddc4488ef"
    return applied(
        render_cronjob(PARIS, schedule, scheduler(), name=name, tick_image="tick", suspended_by=suspended_by), but=but
    )


def altered(body: dict[str, Any], **spec: Any) -> str:
    """Return what is said of the CronJob after a policy set fields of its spec."""
    return LiveCronJob.from_object(body | {"spec": body["spec"] | spec}).altered


@pytest.mark.parametrize("suspended_by", [None, *SuspendedBy])
def test_what_stands_as_it_was_written_is_not_altered(suspended_by: SuspendedBy | None) -> None:
    assert altered(written(suspended_by=suspended_by)) == ""


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("schedule", "0 3 * * *", 'schedule is "0 3 * * *" instead of "'),
        ("timeZone", "Europe/Paris", 'timeZone is "Europe/Paris" instead of "UTC"'),
        ("concurrencyPolicy", "Allow", 'concurrencyPolicy is "Allow" instead of "Forbid"'),
        ("suspend", True, "suspend is true instead of false"),
    ],
)
def test_what_a_policy_changed_is_said(field: str, value: object, said: str) -> None:
    assert altered(written(), **{field: value}).startswith(said)


def test_a_cronjob_that_a_policy_lets_run_is_altered_too() -> None:
    assert altered(written(suspended_by=SuspendedBy.SPEC), suspend=False) == "suspend is false instead of true"


def test_what_somebody_changed_later_is_drift_and_no_alteration() -> None:
    assert altered(written(but=(SCHEDULE,)), schedule="0 3 * * *") == ""


def test_a_cronjob_that_we_did_not_apply_is_not_judged() -> None:
    assert live_cronjob("fr-75-eabddc4488ef", suspended=True).altered == ""


def test_a_cronjob_of_an_older_release_is_not_judged() -> None:
    """Release 0.1 did not say what suspends a CronJob, and such a CronJob may stand for days while it is held."""
    body = written()
    [container] = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    container["env"] = [item for item in container["env"] if item["name"] != Variable.INSTALLATION]
    assert explain_altered([LiveCronJob.from_object(body | {"spec": body["spec"] | {"suspend": True}})]) == ""


def test_the_first_few_are_named_by_code_and_the_others_counted() -> None:
    one = replace(live_cronjob("a", code="A"), told_installation="uid")
    lives = [replace(one, code=code, altered="suspend is true instead of false") for code in "GFEDCBA"]
    said = explain_altered([*lives, one, replace(lives[0], terminating=True)])
    assert said.startswith("7 CronJobs are not as the operator wrote them")
    assert said.endswith(
        "A: suspend is true instead of false; B: suspend is true instead of false; "
        "C: suspend is true instead of false; and 4 more)"
    )


def test_nothing_is_said_where_nothing_is_altered() -> None:
    assert explain_altered([live_cronjob("a", code="A")]) == ""
