"""Reads FieldsV1, the sets of fields in an object's managedFields, and tells whether a set covers a value. Pure.

The form is structured-merge-diff's (fieldpath/serialize.go): `f:` names a field, `k:` an item of a list by the item's
key fields, `v:` an item of a set of scalars, and `.` the value itself. An empty set stands for a value that is owned as
a whole: a scalar, or a list or map that nobody can own in parts.

Items of lists are found by an index. So an answer takes time that grows with the value, and not with its square.
Thousands of CronJobs share a few sets, so each set is parsed once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ItemKey = tuple[tuple[str, Any], ...]
"""An item of a list by the item's key fields, sorted by name."""

PARSED_SETS = 4096
"""How many different sets are kept. The CronJobs of one release and one RegionScheduler have a handful."""


class Positions:
    """Finds the items of one list by their key fields.

    Several items may have one key: only an apply keeps keys apart, any other write may repeat them. A key field that an
    item lacks matches any value: the API server fills in the field's default.
    """

    __slots__ = ("_indexes", "_items")

    def __init__(self, items: Sequence[object]) -> None:
        self._items = items
        self._indexes: dict[tuple[str, ...], tuple[dict[ItemKey, list[int]], list[int]]] = {}

    def find(self, key: ItemKey) -> list[int]:
        """Return the indexes of all items with these key fields, ascending."""
        names = _names(key)
        if names not in self._indexes:
            self._indexes[names] = self._index_by(names)
        complete, incomplete = self._indexes[names]
        return complete.get(key) or [index for index in incomplete if _matches(self._items[index], key)]

    def _index_by(self, names: tuple[str, ...]) -> tuple[dict[ItemKey, list[int]], list[int]]:
        """Return the indexes of the items with all key fields `names`, by key, and the indexes of the other items."""
        complete: dict[ItemKey, list[int]] = {}
        incomplete: list[int] = []
        for number, item in enumerate(self._items):
            if isinstance(item, dict) and all(name in item for name in names):
                complete.setdefault(tuple((name, item[name]) for name in names), []).append(number)
            else:
                incomplete.append(number)
        return complete, incomplete


class FieldSet:
    """The set of fields below a value.

    `whole` says that the value is owned as a whole. `fields` has the sets below the fields of a map, `items` the sets
    below the items of a list, and `scalars` the items of a set of scalars.
    """

    __slots__ = ("_key_names", "fields", "items", "scalars", "whole")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.whole = not raw
        self.fields = {key[2:]: FieldSet(below) for key, below in raw.items() if key.startswith("f:")}
        self.items = {_item_key(key[2:]): FieldSet(below) for key, below in raw.items() if key.startswith("k:")}
        self._key_names = {_names(key) for key in self.items}
        self.scalars = [msgspec.json.decode(key[2:]) for key in raw if key.startswith("v:")]

    @property
    def has_parts(self) -> bool:
        """Whether the set names something below the value."""
        return bool(self.fields or self.items or self.scalars)

    def covers(self, value: object) -> bool:
        """Tell whether the set has all that an apply of `value` owns."""
        if self.whole:
            return True
        if isinstance(value, dict):
            return all(key in self.fields and self.fields[key].covers(item) for key, item in value.items())
        if isinstance(value, list):
            return all((below := self._below_item(item)) is not None and below.covers(item) for item in value)
        return True

    def _below_item(self, item: object) -> FieldSet | None:
        """Return the set below an item of a list. A key field that the item lacks matches any value: the API server
        fills in the field's default.
        """
        if not isinstance(item, dict):
            return None
        for names in self._key_names:
            if all(name in item for name in names):
                found = self.items.get(tuple((name, item[name]) for name in names))
            else:
                found = next((below for key, below in self.items.items() if _matches(item, key)), None)
            if found is not None:
                return found
        return None

    def below(self, *path: str | ItemKey) -> FieldSet | None:
        """Return the set below a path of field names and item keys. Return None if nothing there is in the set."""
        found: FieldSet | None = self
        for step in path:
            if found is None:
                return None
            found = found.fields.get(step) if isinstance(step, str) else found.items.get(step)
        return found


@lru_cache(maxsize=PARSED_SETS)
def parse_field_set(fields: bytes) -> FieldSet:
    """Parse a FieldsV1 as the API server writes it. The same bytes give the same FieldSet."""
    return FieldSet(msgspec.json.decode(fields))


def _item_key(text: str) -> ItemKey:
    return tuple(sorted(msgspec.json.decode(text, type=dict[str, Any]).items()))


def _names(key: ItemKey) -> tuple[str, ...]:
    return tuple(name for name, _ in key)


def _matches(item: object, key: ItemKey) -> bool:
    return isinstance(item, dict) and all(item.get(name, value) == value for name, value in key)
