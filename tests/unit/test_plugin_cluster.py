"""kubectl_region/cluster.py: a CronJob as the plugin reads it, and how many of them one call names."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from kubectl_region.cluster import NAMES_AT_ONCE, Cluster, CronJob, by_namespace
from kubectl_region.errors import NotFoundError
from kubectl_region.kubectl import Kubectl
from kubectl_region.pauses import choose
from tests.unit.plugin import write_kubectl

if TYPE_CHECKING:
    from pathlib import Path


def cronjob(name: str = "fr-75-0123456789ab", *, namespace: str = "ns", **annotations: str) -> CronJob:
    texts = {f"region-tick.dev/{key.replace('_', '-')}": text for key, text in annotations.items()}
    meta: dict[str, Any] = {"name": name, "namespace": namespace, "annotations": texts}
    return CronJob.from_object({"metadata": meta, "spec": {"suspend": True}})


@pytest.mark.parametrize(
    ("annotations", "paused", "text"),
    [
        ({"code": "FR-75"}, False, "paused by nobody knows whom"),
        ({"paused": "true"}, True, "paused by nobody knows whom"),
        ({"paused": "false", "paused_by": "ana"}, False, "paused by ana"),
        (
            {"paused": "true", "paused_by": "ana", "paused_since": "S", "paused_until": "U", "paused_reason": "why"},
            True,
            "paused by ana since S until U: why",
        ),
    ],
)
def test_a_pause(annotations: dict[str, str], paused: bool, text: str) -> None:
    found = cronjob(**annotations)
    assert (found.paused, found.pause) == (paused, text)


@pytest.mark.parametrize(
    ("until", "paused"),
    [
        ("2026-11-30T01:00:00Z", False),
        ("2026-11-30T01:00:01Z", True),
        ("2026-11-30T00:59:00", True),
        ("soon", True),
        ("", True),
    ],
    ids=["past", "to come", "without a zone", "no time", "none"],
)
def test_a_pause_counts_until_its_end(until: str, paused: bool) -> None:
    found = cronjob(paused="true", paused_until=until)
    now = datetime(2026, 11, 30, 1, 0, tzinfo=UTC)
    assert found.paused_at(now) is paused
    assert not cronjob(paused_until=until).paused_at(now)


def test_without_its_annotation_a_cronjob_has_its_name_for_a_code() -> None:
    assert (cronjob().code, cronjob(code="FR-75").code) == ("fr-75-0123456789ab", "FR-75")


def test_one_call_names_some_of_one_namespace() -> None:
    many = [cronjob(f"a-{number:012}", namespace="a") for number in range(NAMES_AT_ONCE + 1)]
    calls = list(by_namespace([*many, cronjob(namespace="b")]))
    assert [(namespace, len(names)) for namespace, names in calls] == [("a", NAMES_AT_ONCE), ("a", 1), ("b", 1)]


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("São\u00a0Paulo", ["one"]),
        ("São\\xa0Paulo", ["one"]),
        (r"a\xa0b", ["shown so"]),
        ("a\u00a0b", ["two"]),
    ],
    ids=["as the table has it", "as it is shown", "shown as another is", "another"],
)
def test_a_code_is_taken_as_the_table_has_it_and_as_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, chosen: list[str]
) -> None:
    codes = {"one": "São\u00a0Paulo", "two": "a\u00a0b", "shown so": r"a\xa0b"}
    items = [
        {"metadata": {"name": name, "namespace": "ns", "annotations": {"region-tick.dev/code": code}}, "spec": {}}
        for name, code in codes.items()
    ]
    (tmp_path / "answer").write_text(json.dumps({"items": items}))
    monkeypatch.setenv("PATH", write_kubectl(tmp_path, f"cat {tmp_path}/answer"))
    cluster = Cluster(Kubectl((), 30), "ns")
    assert [cronjob.name for cronjob in cluster.cronjobs_of([given])] == chosen
    assert set(chosen) <= {cronjob.name for cronjob in choose(cluster, (), f"{given[:-1]}?")}
    with pytest.raises(NotFoundError, match='no region "a\u200bb" has'):
        cluster.cronjobs_of([given, "a\u200bb"])
