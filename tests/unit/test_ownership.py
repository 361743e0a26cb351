"""cronjobs/ownership.py on managedFields as a real API server writes them. The cluster tests use a real API server."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from region_operator.cronjobs.labels import DIGEST_ANNOTATION
from region_operator.cronjobs.ownership import (
    ForeignFields,
    foreign_fields,
    in_sync,
    json_pointer,
    readable_path,
    removal_patch,
)

MANIFEST: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {
        "name": "a",
        "namespace": "n",
        "labels": {"app": "region-tick"},
        "annotations": {DIGEST_ANNOTATION: "d1"},
        "ownerReferences": [{"uid": "u1", "name": "default"}],
    },
    "spec": {
        "schedule": "* * * * *",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        "atomic": [1, 2],
        "empty": {},
    },
}


def fields() -> dict[str, Any]:
    return {
        "f:metadata": {
            "f:labels": {"f:app": {}},
            "f:annotations": {f"f:{DIGEST_ANNOTATION}": {}},
            "f:ownerReferences": {'k:{"uid":"u1"}': {}},
        },
        "f:spec": {
            "f:schedule": {},
            "f:env": {
                'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}},
                'k:{"name":"B"}': {".": {}, "f:name": {}, "f:valueFrom": {"f:fieldRef": {}}},
            },
            "f:atomic": {},
            "f:empty": {},
        },
    }


def live(
    owned: dict[str, Any], *, digest: str = "d1", manager: str = "region-operator", operation: str = "Apply"
) -> dict[str, Any]:
    entry = {"manager": manager, "operation": operation, "fieldsV1": owned}
    status = {"manager": "region-operator", "operation": "Apply", "subresource": "status", "fieldsV1": {}}
    return {
        "metadata": {
            "name": "a-0123456789ab",
            "resourceVersion": "7",
            "labels": {"app": "region-tick"},
            "annotations": {DIGEST_ANNOTATION: digest},
            "managedFields": [status, entry],
        },
        "spec": deepcopy(MANIFEST["spec"]),
    }


def test_what_we_applied_and_still_own_is_in_sync() -> None:
    assert in_sync(MANIFEST, live(fields()))


def test_another_digest_is_not() -> None:
    assert not in_sync(MANIFEST, live(fields(), digest="d0"))
    assert not in_sync(MANIFEST, {"metadata": {}})


@pytest.mark.parametrize(
    "path",
    [
        ("f:spec", "f:schedule"),
        ("f:spec", "f:atomic"),
        ("f:spec", "f:env", 'k:{"name":"A"}'),
        ("f:spec", "f:env", 'k:{"name":"A"}', "f:value"),
        ("f:spec", "f:env", 'k:{"name":"B"}', "f:valueFrom", "f:fieldRef"),
        ("f:metadata", "f:labels", "f:app"),
        ("f:metadata", "f:ownerReferences", 'k:{"uid":"u1"}'),
    ],
)
def test_a_field_that_somebody_took_or_removed_is_not(path: tuple[str, ...]) -> None:
    owned = fields()
    parent = owned
    for step in path[:-1]:
        parent = parent[step]
    parent.pop(path[-1])
    parent["f:other"] = {}  # an emptied set would read as a leaf
    assert not in_sync(MANIFEST, live(owned))


def test_only_our_apply_entry_counts() -> None:
    assert not in_sync(MANIFEST, live(fields(), manager="kubectl-edit"))
    assert not in_sync(MANIFEST, live(fields(), operation="Update"))


def shared(others: dict[str, Any], *, manager: str = "kubectl-edit", **entry: Any) -> dict[str, Any]:
    """Return the object with somebody else's entry, to whom what is in `others` was lost by us."""
    body = live(fields())
    body["metadata"]["managedFields"].append({"manager": manager, "operation": "Update", "fieldsV1": others} | entry)
    return body


FOO = 'k:{"name":"FOO"}'


def test_what_others_have_in_common_with_us_is_in_sync() -> None:
    body = shared({"f:spec": {"f:schedule": {}, "f:env": {".": {}, 'k:{"name":"A"}': {".": {}, "f:value": {}}}}})
    assert foreign_fields(MANIFEST, body) == []
    assert in_sync(MANIFEST, body)


def test_who_took_a_field_is_named() -> None:
    body = shared({"f:spec": {"f:schedule": {}}, "f:metadata": {"f:labels": {"f:app": {}, "f:team": {}}}})
    ours = body["metadata"]["managedFields"][1]["fieldsV1"]
    ours["f:spec"].pop("f:schedule")
    ours["f:metadata"]["f:labels"] = {".": {}}
    taken = (("spec", "schedule"), ("metadata", "labels", "app"))
    assert foreign_fields(MANIFEST, body) == [ForeignFields("kubectl-edit", taken, ())]
    assert not in_sync(MANIFEST, body)
    assert removal_patch(MANIFEST, body) == []


def test_what_others_added_under_spec_is_removed_from_the_last_to_the_first() -> None:
    added = {"f:env": {FOO: {".": {}, "f:name": {}}, 'k:{"name":"BAR"}': {".": {}}}, "f:a/b~c": {"f:d": {}}}
    body = shared({"f:spec": added, "f:metadata": {"f:labels": {"f:team": {}}, "f:annotations": {"f:note": {}}}})
    body["spec"]["env"] = [{"name": "FOO"}, *body["spec"]["env"], {"name": "BAR"}]
    body["spec"]["a/b~c"] = {"d": 1}
    assert not in_sync(MANIFEST, body)
    assert removal_patch(MANIFEST, body) == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "remove", "path": "/metadata/managedFields/2/fieldsV1/f:spec"},
        {"op": "remove", "path": "/spec/env/3"},
        {"op": "remove", "path": "/spec/env/0"},
        {"op": "remove", "path": "/spec/a~1b~0c"},
    ]


def test_what_others_added_twice_is_removed_twice() -> None:
    """Only an apply keeps the keys of a list apart: a JSON patch may append a variable again."""
    body = shared({"f:spec": {"f:env": {FOO: {".": {}, "f:name": {}}}}})
    body["spec"]["env"] = [{"name": "FOO"}, *body["spec"]["env"], {"name": "FOO"}]
    removed = [operation["path"] for operation in removal_patch(MANIFEST, body) if operation["op"] == "remove"]
    assert removed == ["/metadata/managedFields/2/fieldsV1/f:spec", "/spec/env/3", "/spec/env/0"]


def test_a_second_source_of_a_value_is_an_addition() -> None:
    body = shared({"f:spec": {"f:env": {'k:{"name":"A"}': {"f:valueFrom": {"f:x": {}}}}}})
    body["spec"]["env"][0] = {"name": "A", "valueFrom": {"x": 1}}
    assert [other.added for other in foreign_fields(MANIFEST, body)] == [(("spec", "env", 0, "valueFrom"),)]


def test_two_who_added_the_same_lose_it_once() -> None:
    body = shared({"f:spec": {"f:parallelism": {}}})
    body["metadata"]["managedFields"].append(
        {"manager": "b", "operation": "Apply", "fieldsV1": {"f:spec": {"f:parallelism": {}}}}
    )
    body["spec"]["parallelism"] = 3
    paths = [operation["path"] for operation in removal_patch(MANIFEST, body)]
    assert paths.count("/spec/parallelism") == 1
    assert paths[1:3] == [f"/metadata/managedFields/{n}/fieldsV1/f:spec" for n in (2, 3)]


@pytest.mark.parametrize("entry", [{"subresource": "status"}, {"manager": "region-operator"}])
def test_a_status_and_what_webhooks_do_in_our_name_are_not_foreign(entry: dict[str, str]) -> None:
    body = shared({"f:spec": {"f:parallelism": {}}}, **entry)
    body["spec"]["parallelism"] = 3
    assert foreign_fields(MANIFEST, body) == []
    assert in_sync(MANIFEST, body)


def test_what_is_not_there_need_not_be_removed() -> None:
    assert removal_patch(MANIFEST, shared({"f:spec": {"f:parallelism": {}, "f:env": {FOO: {}}}})) == []


def test_a_pointer_is_readable() -> None:
    live = {"spec": {"env": [{"name": "A"}, {"name": "FOO", "value": "x"}], "args": ["y"]}}
    assert readable_path(("spec", "env", 1), live) == "spec.env[FOO]"
    assert readable_path(("spec", "env", 1, "value"), live) == "spec.env[FOO].value"
    assert readable_path(("spec", "args", 0), live) == "spec.args[0]"


def test_a_json_pointer_is_escaped() -> None:
    assert json_pointer(("a/b", 3, "~")) == "/a~1b/3/~0"
