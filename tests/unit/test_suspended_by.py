"""ledger/suspended_by.py: what people are told of who suspended a region."""

from __future__ import annotations

from typing import Any

import pytest

from region_operator.cronjobs.labels import (
    FIELD_MANAGER,
    PAUSED_ANNOTATION,
    PAUSED_BY_ANNOTATION,
    SUSPENDED_BY_ANNOTATION,
    SuspendedBy,
)
from region_operator.cronjobs.live import LiveCronJob
from region_operator.ledger.suspended_by import suspended_by

OURS = {
    "manager": FIELD_MANAGER,
    "operation": "Apply",
    "time": "2026-11-24T10:00:00Z",
    "fieldsV1": {"f:spec": {"f:suspend": {}}},
}
EDIT = {"manager": "kubectl-patch", "time": "2026-11-24T10:05:00Z", "fieldsV1": {"f:spec": {"f:suspend": {}}}}
SCHEDULE = {"manager": "kubectl-edit", "time": "2026-11-24T10:06:00Z", "fieldsV1": {"f:spec": {"f:schedule": {}}}}
PAUSE = {
    "manager": "kubectl-annotate",
    "time": "2026-11-24T10:05:00Z",
    "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{PAUSED_ANNOTATION}": {}}}},
}


@pytest.mark.parametrize(
    ("entries", "paused", "all_suspended", "text"),
    [
        ([OURS], None, True, "spec.suspend"),
        ([OURS], None, False, "quarantined"),
        ([OURS, SCHEDULE], None, False, "quarantined"),
        ([EDIT], None, False, "edited by kubectl-patch"),
        ([EDIT, OURS], None, False, "edited by kubectl-patch"),
        ([OURS, PAUSE], "true", False, "paused by kubectl-annotate"),
        ([OURS, PAUSE], "true", True, "paused by kubectl-annotate"),
        ([OURS, PAUSE], "false", False, "quarantined"),
        ([OURS], "true", False, "paused by somebody"),
        ([], None, False, "edited by somebody"),
    ],
)
def test_the_text(entries: list[Any], paused: str | None, all_suspended: bool, text: str) -> None:
    meta = {"name": "a-0123456789ab", "uid": "u", "resourceVersion": "1", "managedFields": entries}
    annotations = {PAUSED_ANNOTATION: paused} if paused else {}
    if all_suspended:
        annotations[SUSPENDED_BY_ANNOTATION] = SuspendedBy.SPEC
    body = {"metadata": meta | {"annotations": annotations}, "spec": {"schedule": "@daily", "suspend": True}}
    assert suspended_by(LiveCronJob.from_object(body)) == text


@pytest.mark.parametrize(
    ("told", "text"),
    [("ana", "paused by ana"), ("", "paused by kubectl-annotate"), ("a\nb", "paused by a\\nb"), ("x" * 999, None)],
)
def test_who_paused_is_who_says_so(told: str, text: str | None) -> None:
    meta = {"name": "a-0123456789ab", "uid": "u", "resourceVersion": "1", "managedFields": [OURS, PAUSE]}
    annotations = {PAUSED_ANNOTATION: "true", PAUSED_BY_ANNOTATION: told}
    body = {"metadata": meta | {"annotations": annotations}, "spec": {"schedule": "@daily", "suspend": True}}
    found = suspended_by(LiveCronJob.from_object(body))
    assert found == text if text else len(found) < 100
