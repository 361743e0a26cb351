"""What server-side apply's managedFields say about an object: whether it still is as we applied it. Pure.

Comparing values would loop, because the API server defaults fields and canonicalises quantities; comparing ownership
does not. A field that somebody else changed or removed is no longer ours (Kubernetes, structured-merge-diff; concept
page "Server-Side Apply").
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from region_operator.cronjob import DIGEST_ANNOTATION, FIELD_MANAGER

if TYPE_CHECKING:
    from collections.abc import Mapping

_IDENTITY = frozenset({"apiVersion", "kind"})
_UNOWNED_METADATA = frozenset({"name", "namespace"})


def in_sync(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether applying `manifest` to the `live` object would change nothing that is ours."""
    digest = manifest["metadata"]["annotations"][DIGEST_ANNOTATION]
    if live["metadata"].get("annotations", {}).get(DIGEST_ANNOTATION) != digest:
        return False
    ours = _applied_fields(live)
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _UNOWNED_METADATA}
    body = {key: value for key, value in manifest.items() if key not in _IDENTITY} | {"metadata": metadata}
    return ours is not None and _owns(ours, body)


def _applied_fields(live: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for entry in live["metadata"].get("managedFields", []):
        if entry["manager"] == FIELD_MANAGER and entry["operation"] == "Apply" and not entry.get("subresource"):
            fields: Mapping[str, Any] = entry["fieldsV1"]
            return fields
    return None


def _owns(fields: Mapping[str, Any], value: object) -> bool:
    """Tell whether a FieldsV1 set covers a value: `{}` is a leaf or an atomic list, `f:` names a field, `k:` a keyed
    list's item.
    """
    if isinstance(value, dict) and value:
        return all(f"f:{key}" in fields and _covers(fields[f"f:{key}"], item) for key, item in value.items())
    if isinstance(value, list) and value:
        keyed = [(json.loads(key[2:]), item) for key, item in fields.items() if key.startswith("k:")]
        return all(any(_matches(key, item) and _covers(owned, item) for key, owned in keyed) for item in value)
    return True


def _covers(fields: Mapping[str, Any], value: object) -> bool:
    return not fields or _owns(fields, value)


def _matches(key: Mapping[str, Any], item: object) -> bool:
    return isinstance(item, dict) and all(item.get(name, expected) == expected for name, expected in key.items())
