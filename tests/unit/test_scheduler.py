"""scheduler.py: the models agree with themselves and with the CustomResourceDefinition that users install."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from region_operator.cronjobs.labels import CONTAINER
from region_operator.cronjobs.pod_spec import TMP_VOLUME
from region_operator.cronjobs.render import render_cronjob
from region_operator.plan.conditions import ConditionType
from region_operator.regions.schedule import parse_schedule
from region_operator.scheduler import InvalidSchedule, Spec
from region_tick.contract import Variable
from tests.harness.examples import PARIS, scheduler

CRD = Path(__file__).parents[2] / "crds" / "regionscheduler.yaml"


def test_fields_are_read_as_users_write_them() -> None:
    spec = Spec.model_validate(
        {
            "source": {"table": "geo.regions", "columns": {"cronSchedule": "cron", "bboxMinLon": "west"}},
            "refreshInterval": "30s",
            "invalidSchedule": "KeepLast",
            "tick": {
                "startDeadline": "2m",
                "failedJobsHistoryLimit": 5,
                "ttl": "168h",
                "envFrom": [{"secretRef": {"name": "keys"}}],
            },
        }
    )
    assert spec.source.table == "geo.regions"
    assert (spec.source.columns.cron_schedule, spec.source.columns.bbox_min_lon) == ("cron", "west")
    assert spec.refresh_interval == timedelta(seconds=30)
    assert spec.invalid_schedule is InvalidSchedule.KEEP_LAST
    assert spec.tick.start_deadline == timedelta(minutes=2)
    assert (spec.tick.failed_jobs_history_limit, spec.tick.ttl) == (5, timedelta(days=7))
    assert spec.tick.env_from == [{"secretRef": {"name": "keys"}}]


def test_the_schema_has_the_same_fields_and_defaults() -> None:
    version = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    ours = Spec.model_json_schema(by_alias=True)
    assert _fields(schema) == _fields_of_model(ours, ours)
    assert Spec.model_validate(_defaults(schema)) == Spec()


def test_the_schema_names_every_condition() -> None:
    status = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    conditions = status["properties"]["conditions"]
    kind = conditions["items"]["properties"]["type"]["description"]
    assert [each for each in ConditionType if each not in conditions["description"]] == []
    assert [each for each in ConditionType if each not in kind and not each.endswith("Held")] == []


def test_the_schema_keeps_what_the_operator_sets_out_of_what_a_user_sets() -> None:
    """The names in the rules are those of the code: variables, labels, the volume, the container."""
    schema = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    tick = schema["properties"]["spec"]["properties"]["tick"]["properties"]

    def quoted(*path: str) -> list[str]:
        within = tick
        for step in path:
            within = within[step]
        return re.findall("'([^']*)'", within["x-kubernetes-validations"][0]["rule"])

    assert quoted("env", "items") == [str(variable) for variable in Variable]
    assert quoted("volumes", "items") == [TMP_VOLUME]
    assert quoted("initContainers", "items") == [CONTAINER]
    assert tick["jobMetadata"]["properties"] == tick["podMetadata"]["properties"]
    job = render_cronjob(
        PARIS, parse_schedule(PARIS.cron_schedule), scheduler(), name="x", tick_image="i", suspended_by=None
    )["spec"]["jobTemplate"]
    names = quoted("jobMetadata", "properties", "labels")
    labels = job["metadata"]["labels"] | job["spec"]["template"]["metadata"]["labels"]
    assert [label for label in labels if label not in names and not label.startswith(names[0])] == []


def _fields(schema: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for name, child in schema.get("properties", {}).items():
        found |= {f"{prefix}{name}"} | (_fields(child, f"{prefix}{name}.") if child["type"] == "object" else set())
    return found


def _fields_of_model(model: dict[str, Any], root: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for name, child in model["properties"].items():
        found.add(f"{prefix}{name}")
        reference = next((choice["$ref"] for choice in child.get("anyOf", [child]) if "$ref" in choice), "")
        nested = root["$defs"][reference.rpartition("/")[2]] if reference else {}
        if "properties" in nested:
            found |= _fields_of_model(nested, root, f"{prefix}{name}.")
    return found


def _defaults(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _defaults(child) if "properties" in child else child["default"]
        for name, child in schema["properties"].items()
        if "default" in child
    }
