"""Reads managedFields: whether an object is ours, whether the object is in sync, which fields belong to others. Pure.

Values are not compared, because the API server defaults fields and canonicalises quantities: a comparison would find a
difference for ever. Ownership is compared instead. A field that somebody else changed or removed is no longer ours
(Kubernetes, structured-merge-diff; concept page "Server-Side Apply"). A field that somebody else added under spec
survives our apply and must be removed. A field that others own together with us has our value
and may stay. Foreign labels and annotations may stay too
(docs/decisions/0007-drift-is-a-question-of-ownership.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from region_operator.cronjobs.field_sets import PARSED_SETS, FieldSet, Positions, parse_field_set
from region_operator.cronjobs.labels import DIGEST_ANNOTATION, FIELD_MANAGER, OUR_LABELS, OUR_PREFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from region_operator.cronjobs.wire import ManagedFields

_IDENTITY = frozenset({"apiVersion", "kind"})
_UNOWNED_METADATA = frozenset({"name", "namespace"})

_NOTHING = FieldSet({".": {}})

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


def is_marked(live: Mapping[str, Any]) -> bool:
    """Tell whether we applied an object, or the object has our labels: managedFields can get lost."""
    return applied_fields(live) is not None or OUR_LABELS.items() <= live["metadata"].get("labels", {}).items()


def in_sync(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether applying `manifest` to the `live` object and removing foreign fields would change nothing."""
    return has_digest(manifest, live) and owns_all(applied_fields(live), manifest) and not has_additions(manifest, live)


def owns_all(applied: FieldSet | None, manifest: Mapping[str, Any]) -> bool:
    """Tell whether `applied`, the fields of our apply entry, are all fields that an apply of `manifest` would own."""
    return applied is not None and not applied.whole and applied.covers(_owned_part(manifest))


def has_additions(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether others added fields under spec, which `removal_patch` would remove."""
    return any(other.added for other in foreign_fields(manifest, live))


def has_digest(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether the digest of the `live` object is the digest of `manifest`."""
    digest: str = manifest["metadata"]["annotations"][DIGEST_ANNOTATION]
    return bool(live["metadata"].get("annotations", {}).get(DIGEST_ANNOTATION) == digest)


def concerns_us(entry: ManagedFields) -> bool:
    """Whether a managedFields entry is another manager's, and has a field of the spec, an owner, or a label or
    annotation that we set or obey. Only such an entry can take or add a field.
    """
    foreign = entry.manager != FIELD_MANAGER and not entry.subresource
    return foreign and _concern_us(parse_field_set(bytes(entry.fields)))


@lru_cache(maxsize=PARSED_SETS)
def _concern_us(fields: FieldSet) -> bool:
    texts = (fields.below("metadata", kind) for kind in ("labels", "annotations"))
    return (
        "spec" in fields.fields
        or fields.below("metadata", "ownerReferences") is not None
        or any(name.startswith(OUR_PREFIXES) for below in texts if below for name in below.fields)
    )


def foreign_fields(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> list[ForeignFields]:
    """Return the fields that others own and that must become ours again, per manager.

    A manager that only removed a field has no entry. The status is ignored. Our own changes by other requests than
    apply are not foreign: a webhook that mutates our request changes the object in our name.
    """
    ours, wanted, others = applied_fields(live) or _NOTHING, _owned_part(manifest), []
    for _, entry in _foreign_entries(live):
        fields = list(_foreign_pointers(FieldSet(entry["fieldsV1"]), ours, wanted, live, ()))
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


def applied_fields(live: Mapping[str, Any]) -> FieldSet | None:
    """Return the fields of our apply entry. None: we never applied the object, or managedFields got lost."""
    for entry in live["metadata"].get("managedFields", []):
        if entry["manager"] == FIELD_MANAGER and entry["operation"] == "Apply" and not entry.get("subresource"):
            return parse_field_set(msgspec.json.encode(entry["fieldsV1"]))
    return None


def last_entry(entries: Iterable[Mapping[str, Any]], *path: str) -> Mapping[str, Any] | None:
    """Return the entry of managedFields whose manager last wrote a field, by a path of FieldsV1; None if none did."""
    owners = [entry for entry in entries if has_field(entry, *path)]
    return max(owners, key=lambda entry: (entry.get("time", ""), entry["manager"]), default=None)


def has_field(entry: Mapping[str, Any], *path: str) -> bool:
    """Whether an entry of managedFields has a field, by a path of FieldsV1."""
    fields = entry.get("fieldsV1", {})
    for key in path:
        if key not in fields:
            return False
        fields = fields[key]
    return True


def _foreign_entries(live: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, entry in enumerate(live["metadata"].get("managedFields", [])):
        if entry["manager"] != FIELD_MANAGER and not entry.get("subresource"):
            yield index, entry


def _foreign_pointers(
    fields: FieldSet, ours: FieldSet, wanted: object, live: object, prefix: Pointer
) -> Iterator[tuple[Pointer, bool]]:
    """Yield each field of another manager's set that we do not own. A field that does not exist is left out.

    The second value is True for an added field: a field that `wanted` does not have. `prefix` is the path to `live`.
    """
    if isinstance(live, dict):
        for name, below in fields.fields.items():
            if name not in live:
                continue
            if not isinstance(wanted, dict) or name not in wanted:
                yield (*prefix, name), True
            elif below.has_parts:
                own = ours.fields.get(name, _NOTHING)
                yield from _foreign_pointers(below, own, wanted[name], live[name], (*prefix, name))
            elif name not in ours.fields:
                yield (*prefix, name), False
    elif isinstance(live, list):
        yield from _foreign_items(fields, ours, wanted if isinstance(wanted, list) else [], live, prefix)


def _foreign_items(
    fields: FieldSet, ours: FieldSet, wanted: list[Any], live: list[Any], prefix: Pointer
) -> Iterator[tuple[Pointer, bool]]:
    """Yield what `_foreign_pointers` yields, for the items of a list."""
    positions, wanted_positions = Positions(live), Positions(wanted)
    for key, below in fields.items.items():
        indexes, counterparts = positions.find(key), wanted_positions.find(key)
        if not counterparts:
            yield from (((*prefix, index), True) for index in indexes)
        elif indexes and below.has_parts:
            own, index = ours.items.get(key, _NOTHING), indexes[0]
            yield from _foreign_pointers(below, own, wanted[counterparts[0]], live[index], (*prefix, index))
        elif indexes and key not in ours.items:
            yield (*prefix, indexes[0]), False
    for scalar in fields.scalars:
        if scalar in live and scalar not in wanted:
            yield (*prefix, live.index(scalar)), True
        elif scalar in live and scalar not in ours.scalars:
            yield (*prefix, live.index(scalar)), False
