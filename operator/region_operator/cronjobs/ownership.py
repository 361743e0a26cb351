"""What server-side apply's managedFields say about an object: whether it is ours, whether it still is as we applied it,
and what others have of it. Pure.

Comparing values would loop, because the API server defaults fields and canonicalises quantities; comparing ownership
does not. A field that somebody else changed or removed is no longer ours (Kubernetes, structured-merge-diff; concept
page "Server-Side Apply"). What somebody else added under spec is theirs, survives an apply, and is to go. What others
have in common with us has our value and may stay, as may foreign labels and annotations
(docs/decisions/0007-drift-is-a-question-of-ownership.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import DIGEST_ANNOTATION, FIELD_MANAGER, MARKS, key_in_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_IDENTITY = frozenset({"apiVersion", "kind"})
_UNOWNED_METADATA = frozenset({"name", "namespace"})

Pointer = tuple[str | int, ...]
"""The way to a value: names of fields and indices of lists, the reference tokens of a JSON pointer (RFC 6901)."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """What another field manager has of an object: `taken` are fields of ours that it set otherwise, `added` what it
    has under spec that we do not set.
    """

    manager: str
    taken: tuple[Pointer, ...]
    added: tuple[Pointer, ...]


def is_ours(live: Mapping[str, Any]) -> bool:
    """Tell whether a CronJob was made by this operator, whatever was done to it since.

    Its name, which nobody can change, has our form; and we have applied it, or it bears our labels, as one does whose
    managedFields were lost. So a copy under a name of its own is somebody else's, whatever labels came along.
    """
    meta = live["metadata"]
    return key_in_name(meta["name"]) is not None and is_marked(live)


def is_marked(live: Mapping[str, Any]) -> bool:
    """Tell whether we have applied an object, or it bears our labels."""
    return _applied_fields(live) is not None or MARKS.items() <= live["metadata"].get("labels", {}).items()


def in_sync(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether applying `manifest` to the `live` object, and removing what others added, would change nothing."""
    return (
        has_digest(manifest, live)
        and _owns(_applied_fields(live) or {}, _owned_part(manifest))
        and not any(other.added for other in foreign(manifest, live))
    )


def has_digest(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether the `live` object says that `manifest` is what was applied last."""
    digest: str = manifest["metadata"]["annotations"][DIGEST_ANNOTATION]
    return bool(live["metadata"].get("annotations", {}).get(DIGEST_ANNOTATION) == digest)


def applied_text(live: Mapping[str, Any], path: Sequence[str]) -> str | None:
    """Return the text of the `live` object at a path of a FieldsV1 set (`f:spec`, `k:{"name":"tick"}`, ...) as we
    applied it; None where we did not, or where somebody has changed it since.

    An empty text may be left out by the API server and is ours all the same.
    """
    fields: Mapping[str, Any] = _applied_fields(live) or {}
    value: Any = live
    for key in path:
        if key not in fields:
            return None
        fields, step = fields[key], _step(key, value)
        value = "" if step is None else value[step]
    return str(value)


def foreign(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> list[Foreign]:
    """Return what others have of an object that we may not leave to them; who only removed a field left no trace.

    A status is none of ours, and what we changed otherwise than by apply is not foreign: a webhook that mutates what we
    apply changes it in our name.
    """
    ours, wanted, others = _applied_fields(live) or {}, _owned_part(manifest), []
    for _, entry in _foreign_entries(live):
        found = list(_theirs(entry["fieldsV1"], ours, wanted, live, ()))
        taken = tuple(pointer for pointer, is_added in found if not is_added)
        added = tuple(pointer for pointer, is_added in found if is_added and pointer[0] == "spec")
        if taken or added:
            others.append(Foreign(entry["manager"], taken, added))
    return others


def removal(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the JSON patch that takes from the `live` object what others added under spec; empty where they did not.

    It fails where the object has changed meanwhile. Those who added something own nothing under spec any more: a field
    that the API server gives its default right away would stay theirs otherwise, and be removed again for ever.
    """
    others = foreign(manifest, live)
    added = {pointer for other in others for pointer in other.added}
    if not added:
        return []
    adders = {other.manager for other in others if other.added}
    disowned: list[Pointer] = [
        ("metadata", "managedFields", index, "fieldsV1", "f:spec")
        for index, entry in _foreign_entries(live)
        if entry["manager"] in adders and "f:spec" in entry["fieldsV1"]
    ]
    last_first = sorted(added, reverse=True)  # or the indices behind a removed item would be wrong
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        *({"op": "remove", "path": json_pointer(pointer)} for pointer in (*disowned, *last_first)),
    ]


def changed_at(live: Mapping[str, Any]) -> str:
    """Return when an object was last changed, its status apart, as the API server wrote it.

    A write that changes nothing leaves the times as they are (apimachinery, managedfields/internal/
    managedfieldsupdater.go).
    """
    meta = live["metadata"]
    entries = (entry for entry in meta.get("managedFields", []) if not entry.get("subresource"))
    changed: str = max((entry["time"] for entry in entries if "time" in entry), default=meta["creationTimestamp"])
    return changed


def json_pointer(pointer: Pointer) -> str:
    """Write a pointer as RFC 6901 has it."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in pointer)


def readable(pointer: Pointer, live: object) -> str:
    """Write a pointer for people, with the names of list items: `spec.containers[tick].env[FOO]`."""
    text = ""
    for step in pointer:
        live = live[step]  # type: ignore[index]
        name = live.get("name", step) if isinstance(live, dict) else step
        text += f"[{name}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _owned_part(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a manifest has an owner once it is applied."""
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


def _theirs(
    fields: Mapping[str, Any], ours: Mapping[str, Any], wanted: object, live: object, at: Pointer
) -> Iterator[tuple[Pointer, bool]]:
    """Yield, from somebody's FieldsV1 set, what is not ours as well, and whether it was added to what is wanted."""
    for key, below in fields.items():
        step = _step(key, live)
        if step is None:
            continue  # "." is the thing itself; what is not there need not be removed
        counterpart = _step(key, wanted)
        if counterpart is None:
            yield (*at, step), True
        elif below.keys() - {"."}:
            yield from _theirs(below, ours.get(key, {}), wanted[counterpart], live[step], (*at, step))  # type: ignore[index]
        elif key not in ours:
            yield (*at, step), False


def _step(key: str, value: object) -> str | int | None:
    """Return where in `value` a key of a FieldsV1 set leads; None where to nothing."""
    kind, _, name = key.partition(":")
    if isinstance(value, dict):
        return name if kind == "f" and name in value else None
    if isinstance(value, list) and kind in ("k", "v"):
        wanted = json.loads(name)
        for index, item in enumerate(value):
            if item == wanted if kind == "v" else _matches(wanted, item):
                return index
    return None
