"""kubectl_region: the names that the plugin knows are those of the operator, which it does not import."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubectl_region import checks, cluster, completion, console, holds, pauses, tick_text
from kubectl_region.jobs import manual_name
from region_operator import scheduler
from region_operator.console import region_views, views
from region_operator.console.as_json import camel_case
from region_operator.console.lists import Filter
from region_operator.cronjobs import labels
from region_operator.plan.changes import Guarded
from region_operator.plan.conditions import HELD, ConditionType
from region_operator.plan.guard_memory import STATUS_FIELDS
from region_tick.contract import State, tick_at_of
from tests.unit import plugin_answers

CHECKOUT = Path(__file__).parents[2]
ROLES = list(yaml.safe_load_all((CHECKOUT / "manifests/people/clusterroles.yaml").read_text()))


def test_annotations_and_labels() -> None:
    assert cluster.PAUSE_ANNOTATIONS == labels.PAUSE_ANNOTATIONS
    assert cluster.CODE_ANNOTATION == labels.CODE_ANNOTATION
    assert cluster.REGION_LABEL == labels.REGION_LABEL
    assert cluster.SUSPENDED_BY_ANNOTATION == labels.SUSPENDED_BY_ANNOTATION
    assert cluster.APPROVAL_ANNOTATION == scheduler.APPROVAL_ANNOTATION
    assert cluster.SCHEDULER == scheduler.DEFAULT_NAME
    assert f"app={labels.OUR_LABELS['app']}" == cluster.SELECTOR
    assert cluster.CONTAINER == labels.CONTAINER
    assert pauses.PAUSED == labels.SuspendedBy.PAUSED
    assert pauses.WITH_ALL == labels.SuspendedBy.SPEC


def test_the_kinds_of_holds() -> None:
    assert list(holds.KINDS) == [kind.value for kind in Guarded]
    for kind, (held, released, condition) in holds.KINDS.items():
        assert {held, released} <= set(STATUS_FIELDS)
        assert condition == HELD[Guarded(kind)]


def test_the_conditions_that_the_doctor_knows() -> None:
    assert set(checks.CHECKED) <= {kind.value for kind in ConditionType}


def test_the_states_that_are_completed() -> None:
    assert completion.STATES["list"] == tuple(Filter)
    assert completion.STATES["runs"] == tuple(State)


@pytest.mark.parametrize(
    ("answer", "view"),
    [
        (plugin_answers.overview(), views.Overview),
        (plugin_answers.region_list(), region_views.RegionList),
        (plugin_answers.region(), region_views.Region),
        (plugin_answers.tick_list(), region_views.TickList),
        (plugin_answers.tick(), region_views.Tick),
        (plugin_answers.plan(), region_views.Plan),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_answers_of_the_plugins_tests_have_the_keys_of_the_console(answer: dict[str, Any], view: type) -> None:
    keys = {camel_case(field.name) for field in fields(view)}
    assert answer.keys() == keys | {"apiVersion", "kind"}
    assert (answer["apiVersion"], answer["kind"]) == (views.API_VERSION, view.__name__)


def test_each_state_has_its_letter() -> None:
    assert set(tick_text.LETTERS) == set(State)
    assert len(set(tick_text.LETTERS.values())) == len(State)


def test_the_roles_give_what_the_doctor_asks_for() -> None:
    for name, rights in (
        (console.VIEW_ROLE, checks.VIEW),
        (console.FORWARD_ROLE, checks.FORWARD),
        (checks.OPERATE_ROLE, checks.OPERATE),
    ):
        [role] = [role for role in ROLES if role["metadata"]["name"] == name]
        given = {
            (verb, group, resource, named)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
            for named in rule.get("resourceNames", [""])
        }
        assert {(right.verb, right.group, right.resource, right.name) for right in rights} <= given


def test_the_roles_reach_no_other_service_and_no_secret() -> None:
    rules = [rule for role in ROLES for rule in role["rules"]]
    [proxy] = [rule for rule in rules if "services/proxy" in rule["resources"]]
    assert proxy["resourceNames"] == [console.PROXIED]
    [forward] = [rule for rule in rules if "pods/portforward" in rule["resources"]]
    assert (forward["resources"], forward["verbs"]) == (["pods/portforward"], ["create"])
    assert not any("secrets" in rule["resources"] or "*" in rule["verbs"] + rule["resources"] for rule in rules)
    assert not any("aggregat" in label for role in ROLES for label in role["metadata"]["labels"])


def test_a_job_by_hand_is_no_scheduled_tick() -> None:
    cronjob = f"{'x' * 39}-0123456789ab"
    assert len(cronjob) == labels.NAME_LIMIT
    assert len(manual_name(cronjob)) <= 63
    assert tick_at_of(manual_name(cronjob), cronjob=cronjob) is None
