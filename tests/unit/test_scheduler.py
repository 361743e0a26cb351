"""scheduler.py: the models agree with themselves and with the CustomResourceDefinition that users install."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from region_operator.scheduler import InvalidSchedule, Spec, format_duration, parse_duration

CRD = Path(__file__).parents[2] / "crds" / "regionscheduler.yaml"


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m", 300), ("90s", 90), ("1h30m", 5400), ("300ms", 0.3), ("1.5h", 5400), ("0s", 0)]
)
def test_durations_are_those_of_go(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5d", "5m!", "\uff11m"])
def test_what_is_no_duration_is_refused_by_name_and_remedy(text: str) -> None:
    with pytest.raises(ValueError, match=r"write a number and a unit") as caught:
        parse_duration(text)
    assert f'"{text}"' in str(caught.value)


@given(st.integers(min_value=0, max_value=10**9))
def test_a_formatted_duration_parses_to_the_same(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(value)) == value


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


def _fields(schema: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for name, child in schema.get("properties", {}).items():
        found |= {f"{prefix}{name}"} | (_fields(child, f"{prefix}{name}.") if child["type"] == "object" else set())
    return found


def _fields_of_model(model: dict[str, Any], root: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for name, child in model["properties"].items():
        found.add(f"{prefix}{name}")
        reference = child.get("$ref", "")
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
