"""Reads managedFields: whether an object is ours, whether the object is in sync, which fields belong to others. Pure.

Values are not compared, because the API server defaults fields and canonicalises quantities: a comparison would find a
difference for ever. Ownership is compared instead. A field that somebody else changed or removed is no longer ours
(Kubernetes, structured-merge-diff; concept page "Server-Side Apply"). A field that somebody else added under spec
survives our apply and must be removed. A field that others own together with us has our value
and may stay. Foreign labels and annotations may stay too
(docs/decisions/0007-drift-is-a-question-of-ownership.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import DIGEST_ANNOTATION, FIELD_MANAGER, OUR_LABELS, key_in_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_IDENTITY = frozenset({"apiVersion", "kind"})
_UNOWNED_METADATA = frozenset({"name", "namespace"})

Pointer = tuple[str | int, ...]
"""A path to a value: field names and list indices, the reference tokens of a JSON pointer (RFC 6901)."""


@dataclass(frozen=True, slots=True)
class ForeignFields:
    """The fields of an object that another field manager owns.

    `taken` are fields that we set and the other manager changed. `added` are fields under spec that we do not set.
    """

    manager: str
    taken: tuple[Pointer, ...]
    added: tuple[Pointer, ...]


def is_ours(live: Mapping[str, Any]) -> bool:
    """Tell whether the operator made a CronJob, whatever others changed since.

    The name must have our form; nobody can change a name. A copy under another name is therefore foreign, even with our
    labels. The CronJob must be marked too; see `is_marked`.
    """
    meta = live["metadata"]
    return key_in_name(meta["name"]) is not None and is_marked(live)


def is_marked(live: Mapping[str, Any]) -> bool:
    """Tell whether we applied an object, or the object has our labels: managedFields can get lost."""
    return _applied_fields(live) is not None or OUR_LABELS.items() <= live["metadata"].get("labels", {}).items()


def in_sync(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether applying `manifest` to the `live` object and removing foreign fields would change nothing."""
    return (
        has_digest(manifest, live)
        and _owns(_applied_fields(live) or {}, _owned_part(manifest))
        and not any(other.added for other in foreign_fields(manifest, live))
    )


def has_digest(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether the digest of the `live` object is the digest of `manifest`."""
    digest: str = manifest["metadata"]["annotations"][DIGEST_ANNOTATION]
    return bool(live["metadata"].get("annotations", {}).get(DIGEST_ANNOTATION) == digest)


def applied_text(live: Mapping[str, Any], path: Sequence[str]) -> str | None:
    """Return the text that we applied at a path of the `live` object.

    `path` has keys of a FieldsV1 set (`f:spec`, `k:{"name":"tick"}`, ...). Return None if we applied no text there, or
    if somebody changed the text since. The API server may drop an empty text; the text "" is then returned.
    """
    fields: Mapping[str, Any] = _applied_fields(live) or {}
    value: Any = live
    for key in path:
        if key not in fields:
            return None
        fields, step = fields[key], _step(key, value)
        value = "" if step is None else value[step]
    return str(value)


def foreign_fields(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> list[ForeignFields]:
    """Return the fields that others own and that must become ours again, per manager.

    A manager that only removed a field has no entry. The status is ignored. Our own changes by other requests than
    apply are not foreign: a webhook that mutates our request changes the object in our name.
    """
    ours, wanted, others = _applied_fields(live) or {}, _owned_part(manifest), []
    for _, entry in _foreign_entries(live):
        fields = list(_foreign_pointers(entry["fieldsV1"], ours, wanted, live, ()))
        taken = tuple(pointer for pointer, is_added in fields if not is_added)
        added = tuple(pointer for pointer, is_added in fields if is_added and pointer[0] == "spec")
        if taken or added:
            others.append(ForeignFields(entry["manager"], taken, added))
    return others


def removal_patch(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the JSON patch that removes every field that others added under spec. An empty list: nothing to remove.

    The patch fails if the object has changed meanwhile. The patch also ends all ownership under spec for the managers
    that added a field. Otherwise the API server would default a removed field at once, the field would still belong to
    the manager, and the removal would repeat for ever.
    """
    others = foreign_fields(manifest, live)
    added = {pointer for other in others for pointer in other.added}
    if not added:
        return []
    adders = {other.manager for other in others if other.added}
    disowned: list[Pointer] = [
        ("metadata", "managedFields", index, "fieldsV1", "f:spec")
        for index, entry in _foreign_entries(live)
        if entry["manager"] in adders and "f:spec" in entry["fieldsV1"]
    ]
    last_first = sorted(added, reverse=True)  # removing a list item shifts the indices of all later items
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        *({"op": "remove", "path": json_pointer(pointer)} for pointer in (*disowned, *last_first)),
    ]


def last_changed_at(live: Mapping[str, Any]) -> str:
    """Return when an object was last changed, as the API server's text. Changes of the status do not count.

    A write without a change keeps the times (apimachinery, managedfields/internal/managedfieldsupdater.go).
    """
    meta = live["metadata"]
    entries = (entry for entry in meta.get("managedFields", []) if not entry.get("subresource"))
    changed: str = max((entry["time"] for entry in entries if "time" in entry), default=meta["creationTimestamp"])
    return changed


def json_pointer(pointer: Pointer) -> str:
    """Write a pointer as a JSON pointer (RFC 6901)."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in pointer)


def readable_path(pointer: Pointer, live: object) -> str:
    """Write a pointer for people, with names instead of list indices: `spec.containers[tick].env[FOO]`."""
    text = ""
    for step in pointer:
        live = live[step]  # type: ignore[index]
        name = live.get("name", step) if isinstance(live, dict) else step
        text += f"[{name}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _owned_part(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a manifest that has an owner after an apply."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _UNOWNED_METADATA}
    return {key: value for key, value in manifest.items() if key not in _IDENTITY} | {"metadata": metadata}


def _applied_fields(live: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for entry in live["metadata"].get("managedFields", []):
        if entry["manager"] == FIELD_MANAGER and entry["operation"] == "Apply" and not entry.get("subresource"):
            fields: Mapping[str, Any] = entry["fieldsV1"]
            return fields
    return None


def _foreign_entries(live: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, entry in enumerate(live["metadata"].get("managedFields", [])):
        if entry["manager"] != FIELD_MANAGER and not entry.get("subresource"):
            yield index, entry


def _owns(fields: Mapping[str, Any], value: object) -> bool:
    """Tell whether a FieldsV1 set covers a value.

    In the set `{}` is a leaf or an atomic list, `f:` names a field, and `k:` names an item of a keyed list.
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


def _foreign_pointers(
    fields: Mapping[str, Any], ours: Mapping[str, Any], wanted: object, live: object, prefix: Pointer
) -> Iterator[tuple[Pointer, bool]]:
    """Yield each field of another manager's FieldsV1 set that we do not own.

    The second value is True for an added field: a field that `wanted` does not have. `prefix` is the path to `live`.
    """
    for key, below in fields.items():
        step = _step(key, live)
        if step is None:
            continue  # "." is the value itself; a field that does not exist needs no removal
        counterpart = _step(key, wanted)
        if counterpart is None:
            yield (*prefix, step), True
        elif below.keys() - {"."}:
            yield from _foreign_pointers(below, ours.get(key, {}), wanted[counterpart], live[step], (*prefix, step))  # type: ignore[index]
        elif key not in ours:
            yield (*prefix, step), False


def _step(key: str, value: object) -> str | int | None:
    """Return the field name or the list index in `value` for a key of a FieldsV1 set, or None if there is none."""
    kind, _, name = key.partition(":")
    if isinstance(value, dict):
        return name if kind == "f" and name in value else None
    if isinstance(value, list) and kind in ("k", "v"):
        wanted = json.loads(name)
        for index, item in enumerate(value):
            if item == wanted if kind == "v" else _matches(wanted, item):
                return index
    return None
