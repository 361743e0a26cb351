"""cronjobs/live.py: what the operator keeps of a CronJob, and which changes make two values differ."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.cronjobs.labels import (
    PAUSE_ANNOTATIONS,
    PAUSED_ANNOTATION,
    PAUSED_UNTIL_ANNOTATION,
    cronjob_name,
    region_key,
)
from region_operator.cronjobs.live import LiveCronJob, end_of_pause
from tests.harness.examples import PARIS

if TYPE_CHECKING:
    from collections.abc import Callable

IDENTITY = {"uid": "u", "resourceVersion": "1"}
SPEC = {"schedule": "@daily"}
MADE = {
    "name": "a-0123456789ab",
    "managedFields": [{"manager": "region-operator", "operation": "Apply", "fieldsV1": {}}],
}
LABELS = {"app": "region-tick", "app.kubernetes.io/managed-by": "region-operator", "x": "y"}


@pytest.mark.parametrize(
    ("meta", "ours"),
    [
        pytest.param(MADE, True, id="applied by us"),
        pytest.param({"name": "a-0123456789ab", "labels": LABELS}, True, id="labels, but no managed fields"),
        pytest.param({"name": "a-0123456789ab"}, False, id="the name alone"),
        pytest.param({"name": "a-0123456789ab", "labels": {"app": "region-tick"}}, False, id="one label"),
        pytest.param({"name": "copy", "labels": LABELS}, False, id="a copy"),
        pytest.param(MADE | {"name": "backup"}, False, id="no name of ours"),
    ],
)
def test_what_is_ours(meta: dict[str, Any], ours: bool) -> None:
    assert LiveCronJob.from_object({"metadata": meta | IDENTITY, "spec": SPEC}).ours is ours


CRONJOB: dict[str, Any] = {
    "metadata": {
        "name": "fr-75-eabddc4488ef",
        "uid": "u1",
        "generation": 1,
        "resourceVersion": "7",
        "labels": {"app": "region-tick", "team": "a"},
        "annotations": {"region-tick.dev/digest": "d1", "note": "x"},
        "ownerReferences": [{"uid": "o1", "controller": True}],
    },
    "spec": SPEC,
    "status": {},
}


THEIRS = {"manager": "other", "operation": "Apply", "fieldsV1": {"f:spec": {"f:schedule": {}}}}


def differs(edit: Callable[[dict[str, Any]], object]) -> bool:
    """Return whether the value of CRONJOB differs after an edit."""
    body = deepcopy(CRONJOB)
    edit(body)
    return LiveCronJob.from_object(body) != LiveCronJob.from_object(CRONJOB)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda body: body["metadata"].update(generation=2), id="spec"),
        pytest.param(lambda body: body["metadata"].update(uid="u2"), id="another of the same name"),
        pytest.param(lambda body: body["metadata"].update(deletionTimestamp="now"), id="going"),
        pytest.param(lambda body: body["metadata"]["labels"].pop("app"), id="label removed"),
        pytest.param(lambda body: body["metadata"].pop("labels"), id="labels removed"),
        pytest.param(lambda body: body["metadata"]["labels"].update(app="x"), id="label changed"),
        pytest.param(
            lambda body: body["metadata"]["annotations"].update({"region-tick.dev/digest": "d2"}), id="digest"
        ),
        pytest.param(
            lambda body: body["metadata"]["annotations"].update({"region-tick.dev/paused": "true"}), id="pause"
        ),
        pytest.param(
            lambda body: body["metadata"]["annotations"].update({"region-tick.dev/paused-until": "x"}), id="its end"
        ),
        pytest.param(lambda body: body["metadata"].pop("ownerReferences"), id="owner"),
        pytest.param(lambda body: body["metadata"].update(managedFields=[THEIRS]), id="another owner of our fields"),
    ],
)
def test_what_a_reconcile_judges_makes_a_difference(edit: Callable[[dict[str, Any]], object]) -> None:
    assert differs(edit)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda body: body.update(status={"lastScheduleTime": "now"}), id="a tick"),
        pytest.param(lambda body: body["metadata"].update(resourceVersion="8"), id="version"),
        pytest.param(lambda body: body["metadata"].update(managedFields=[{}]), id="managed fields"),
        pytest.param(lambda body: body["metadata"]["labels"].update(team="b"), id="foreign label"),
        pytest.param(lambda body: body["metadata"]["annotations"].update(note="y"), id="foreign annotation"),
    ],
)
def test_anything_else_makes_none(edit: Callable[[dict[str, Any]], object]) -> None:
    assert not differs(edit)


def test_the_region_is_in_the_name_whatever_the_labels_say() -> None:
    body = {"metadata": IDENTITY | {"name": cronjob_name(PARIS)}, "spec": SPEC}
    assert LiveCronJob.from_object(body).key == region_key(PARIS.id)


def test_only_true_pauses() -> None:
    for value in ("true", "false", ""):
        meta = IDENTITY | {"name": cronjob_name(PARIS), "annotations": {PAUSED_ANNOTATION: value}}
        assert LiveCronJob.from_object({"metadata": meta, "spec": SPEC}).paused == (value == "true")


@pytest.mark.parametrize(
    ("annotations", "left_over"),
    [
        ({}, False),
        (dict.fromkeys(PAUSE_ANNOTATIONS, "true"), False),
        ({PAUSED_ANNOTATION: "true"}, False),
        ({PAUSED_ANNOTATION: "false"}, False),
        ({PAUSED_UNTIL_ANNOTATION: "x"}, True),
        ({PAUSED_ANNOTATION: "false", PAUSED_UNTIL_ANNOTATION: "x"}, True),
    ],
)
def test_what_is_left_of_a_pause_that_somebody_ended(annotations: dict[str, str], left_over: bool) -> None:
    meta = IDENTITY | {"name": cronjob_name(PARIS), "annotations": annotations}
    assert LiveCronJob.from_object({"metadata": meta, "spec": SPEC}).pause_over is left_over


def test_the_end_of_a_pause_is_a_patch_of_this_very_version() -> None:
    live = LiveCronJob.from_object(CRONJOB)
    version, *others = end_of_pause(live)
    assert version == {"op": "add", "path": "/metadata/resourceVersion", "value": "7"}
    removed = [operation["path"] for operation in others if operation["op"] == "remove"]
    assert removed == [f"/metadata/annotations/{name.replace('/', '~1')}" for name in PAUSE_ANNOTATIONS]
    assert {operation["path"] for operation in others} == set(removed)


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        pytest.param({"fieldsV1": {"f:spec": {"f:suspend": {}}}}, True, id="spec"),
        pytest.param({"fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}}}, True, id="a label of ours"),
        pytest.param({"fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}}, False, id="a label of theirs"),
        pytest.param({"fieldsV1": {"f:metadata": {"f:ownerReferences": {}}}}, True, id="an owner"),
        pytest.param({"fieldsV1": {"f:spec": {}}, "subresource": "status"}, False, id="the status"),
        pytest.param({"fieldsV1": {"f:spec": {}}, "manager": "region-operator"}, False, id="ourselves"),
    ],
)
def test_a_body_is_kept_only_if_others_have_a_hand_in_what_is_ours(entry: dict[str, Any], kept: bool) -> None:
    entries = [{"manager": "kubectl", "operation": "Update"} | entry]
    body = CRONJOB | {"metadata": CRONJOB["metadata"] | {"managedFields": entries}}
    assert (LiveCronJob.from_object(body).body is not None) is kept
