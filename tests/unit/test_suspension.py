"""plan/suspension.py: what suspends all regions, and what people are told of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from docs.generator.source import Texts
from region_operator.cronjobs import labels
from region_operator.cronjobs.labels import PAUSED_BY_ANNOTATION, PAUSED_REASON_ANNOTATION, PAUSED_SINCE_ANNOTATION
from region_operator.plan.suspension import Suspension, suspension_of
from region_operator.scheduler import Scheduler, Spec
from tests.harness.examples import scheduler

NOW = datetime(2026, 11, 30, 1, 5, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CREATED = {"creationTimestamp": "2026-11-01T00:00:00Z"}
TOLD = {
    PAUSED_BY_ANNOTATION: "ana",
    PAUSED_REASON_ANNOTATION: "new disks",
    PAUSED_SINCE_ANNOTATION: "2026-11-30T01:00:00Z",
}


def entry(manager: str, time: str, *fields: str, annotations: bool = False) -> dict[str, Any]:
    """Return a manager's entry with fields of the spec, and with the annotations TOLD."""
    owned: dict[str, Any] = {"f:spec": {f"f:{name}": {} for name in fields}}
    if annotations:
        owned["f:metadata"] = {"f:annotations": {f"f:{name}": {} for name in TOLD}}
    return {"manager": manager, "time": time, "operation": "Update", "fieldsV1": owned}


def found(
    *entries: dict[str, Any], told: bool = False, status: dict[str, Any] | None = None, **spec: Any
) -> Suspension | None:
    """Return what suspends all regions at NOW, by a spec and the entries of managedFields."""
    metadata = {"managedFields": list(entries), "annotations": TOLD if told else {}, **CREATED}
    return suspension_of(scheduler(status=status, **spec).model_copy(update={"metadata": metadata}), now=NOW)


@pytest.mark.parametrize(
    ("spec", "until"),
    [
        ({}, False),
        ({"suspend": False}, False),
        ({"suspend": True}, None),
        ({"suspendUntil": "2026-11-30T01:05:01Z"}, NOW + timedelta(seconds=1)),
        ({"suspendUntil": "2026-11-30T03:05:01+01:00"}, NOW + HOUR + timedelta(seconds=1)),
        ({"suspendUntil": "9999-12-31T23:59:59-05:00"}, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ({"suspendUntil": "0001-01-01T00:00:00+14:00"}, False),
        ({"suspendUntil": "2026-11-30T01:05:00Z"}, False),
        ({"suspendUntil": "2020-01-01T00:00:00Z"}, False),
        ({"suspend": True, "suspendUntil": "2020-01-01T00:00:00Z"}, None),
        ({"suspend": True, "suspendUntil": "2030-01-01T00:00:00Z"}, None),
    ],
)
def test_what_suspends_and_until_when(spec: dict[str, Any], until: datetime | bool | None) -> None:
    """False stands for: nothing suspends. A moment that is left over never ends what somebody stops by spec.suspend."""
    suspension = found(**spec)
    assert (suspension.until if suspension else False) == until


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-30", "2026-11-30T06:00:00"])
def test_a_moment_that_the_schema_lets_through_and_nobody_can_follow_is_an_invalid_spec(text: str) -> None:
    with pytest.raises(ValidationError):
        Spec.model_validate({"suspendUntil": text})


@pytest.mark.parametrize(
    ("suspension", "words"),
    [
        (
            found(entry("kubectl-patch", "2026-11-30T01:00:00Z", "suspend"), suspend=True),
            "by kubectl-patch since 2026-11-30T01:00:00Z, until spec.suspend is set to false",
        ),
        (
            found(
                entry("kubectl-region", "2026-11-30T01:01:00Z", "suspend", "suspendUntil", annotations=True),
                told=True,
                suspendUntil="2026-11-30T06:00:00Z",
            ),
            "by ana since 2026-11-30T01:00:00Z, until 2026-11-30T06:00:00Z, as spec.suspendUntil says: new disks",
        ),
        (
            found(entry("x", "2026-11-30T01:00:00Z", "suspend"), suspend=True, suspendUntil="2026-11-30T06:00:00Z"),
            "by x since 2026-11-30T01:00:00Z, until spec.suspend is set to false, whatever spec.suspendUntil says",
        ),
        (found(suspend=True), "by somebody since 2026-11-30T01:05:00Z, until spec.suspend is set to false"),
    ],
)
def test_the_words(suspension: Suspension | None, words: str) -> None:
    assert str(suspension) == words


@pytest.mark.parametrize("name", ["PAUSED_BY_ANNOTATION", "PAUSED_REASON_ANNOTATION", "PAUSED_SINCE_ANNOTATION"])
def test_what_is_read_of_a_regionscheduler_is_documented_there(name: str) -> None:
    assert "RegionScheduler" in Texts(labels).of(None, name)


def test_texts_that_an_earlier_suspension_left_are_not_believed() -> None:
    """Ana's suspension was ended by kubectl; who suspends now is another one, and the annotations still stand."""
    plugin = entry("kubectl-region", "2026-11-01T00:00:00Z", annotations=True)
    patch = entry("kubectl-patch", "2026-11-30T01:04:00Z", "suspend")
    suspension = found(plugin, patch, told=True, suspend=True)
    assert suspension is not None
    assert (suspension.by, suspension.reason, suspension.since) == ("kubectl-patch", "", NOW - MINUTE)


def test_of_two_owners_the_last_one_counts() -> None:
    git = entry("argocd-controller", "2026-11-29T00:00:00Z", "suspend")
    patch = entry("kubectl-patch", "2026-11-30T01:00:00Z", "suspend")
    suspension = found(patch, git, suspend=True)
    assert suspension
    assert suspension.by == "kubectl-patch"


def test_since_when_is_kept_in_the_status_whatever_its_manager_edits_later() -> None:
    """So it is for the next leader, and for an end that is edited."""
    condition = {"type": "Suspended", "status": "True", "lastTransitionTime": "2026-11-29T10:00:00Z"}
    edited = entry("kubectl-edit", "2026-11-30T01:04:00Z", "suspendUntil", "concurrency")
    suspension = found(edited, status={"conditions": [condition]}, suspendUntil="2026-12-01T00:00:00Z")
    assert suspension
    assert suspension.since == datetime(2026, 11, 29, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "since",
    [
        *("2027-01-01T00:00:00Z", "yesterday", "2026-11-30T01:00:00", ""),
        *("2026-10-31T23:59:59Z", "0999-06-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_told_time_that_is_none_or_to_come_or_before_the_regionscheduler_does_not_count(since: str) -> None:
    own = entry("kubectl-region", "2026-11-30T01:04:00Z", "suspend", annotations=True)
    annotations = TOLD | {PAUSED_SINCE_ANNOTATION: since}
    told = scheduler(suspend=True).model_copy(
        update={"metadata": {"managedFields": [own], "annotations": annotations, **CREATED}}
    )
    suspension = suspension_of(told, now=NOW)
    assert suspension
    assert (suspension.by, suspension.since) == ("ana", NOW - MINUTE)


def test_what_anybody_may_write_cannot_flood_a_message() -> None:
    own = entry("kubectl-region", "2026-11-30T01:04:00Z", "suspend", annotations=True)
    flood = {PAUSED_BY_ANNOTATION: "x" * 9999, PAUSED_REASON_ANNOTATION: "y\n" * 9999}
    told: Scheduler = scheduler(suspend=True).model_copy(
        update={"metadata": {"managedFields": [own], "annotations": flood, **CREATED}}
    )
    assert len(str(suspension_of(told, now=NOW))) < 500
    assert "\n" not in str(suspension_of(told, now=NOW))
