"""Turns a view into JSON: the same names in camelCase, times in ISO 8601 with Z, and every key always. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from region_operator.console.views import API_VERSION

if TYPE_CHECKING:
    from region_operator.console.region_views import View


def as_json(view: View) -> dict[str, Any]:
    """Return an answer with its apiVersion and its kind."""
    return {"apiVersion": API_VERSION, "kind": type(view).__name__, **to_plain(view)}


def to_plain(value: Any) -> Any:
    """Return a value of a view as JSON has it. The keys of a mapping stay as they are: they are data.

    Texts and numbers come first, because a page of the ledger has a hundred thousand of them.
    """
    if value is None or isinstance(value, (str, int, float)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {camel_case(field.name): to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return value


def camel_case(name: str) -> str:
    """Write a field's name as the JSON has it: `from_` as "from", `region_id` as "regionId"."""
    first, *others = name.strip("_").split("_")
    return first + "".join(map(str.capitalize, others))
