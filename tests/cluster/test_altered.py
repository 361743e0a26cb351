"""What the operator says where an admission policy changes its writes. Needs Kubernetes 1.36."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from region_operator.cronjobs.labels import DIGEST_ANNOTATION
from tests.cluster.quiet import HOUR, marked, settled
from tests.harness.policies import policy, setting
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

PLAIN = ("create", "cronjob", "plain", "--image=plain", "--schedule=@yearly", "--dry-run=server", "--output=json")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ('schedule: "0 0 1 1 *"', 'R1: schedule is "0 0 1 1 *" instead of "'),
        ("suspend: true", "R1: suspend is true instead of false"),
    ],
)
def test_a_policy_that_changes_what_is_written_is_told_once_and_its_end_too(
    fields: str, said: str, run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    field, value = fields.split(": ", 1)
    with run_operator(**HOUR) as operator:
        settled(operator, kubectl, regions=0)
        with policy(kubectl, "cronjobs", "batch", setting(fields)):
            heard = json.loads(value)
            eventually(lambda: json.loads(kubectl(*PLAIN))["spec"].get(field) == heard, what="the policy is heard")
            add_regions(1)
            eventually(lambda: kubectl.ready().get("reason") == "CronJobsAltered", what="the status")
            assert kubectl.ready()["status"] == "True"
            assert said in kubectl.ready()["message"]
            marked(kubectl)
            assert len(operator.logged("altered by admission")) == 1
            events = kubectl.get("events")["items"]
            assert len([event for event in events if event["reason"] == "CronJobsAltered"]) == 1
            assert operator.logged("restored") == []  # writing again would be answered by the policy again
        eventually(lambda: json.loads(kubectl(*PLAIN))["spec"].get(field) != heard, what="the policy is gone")
        kubectl("annotate", "cronjobs", "--all", f"{DIGEST_ANNOTATION}-")
        eventually(lambda: kubectl.ready().get("reason") == "InSync", what="the end")
        assert len(operator.logged("no longer altered by admission")) == 1
