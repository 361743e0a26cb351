"""Makes what JSON holds safe to store, and reads a list whose values may be odd. Pure."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeVar

from region_tick.adapters import RAW_LIMIT, Item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_DEPTH_LIMIT = 20
ITEM_ERRORS = (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError)
"""What reading a value raises that is not as documented."""
Value = TypeVar("Value")


def make_raw(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that fit into RAW_LIMIT characters of JSON, the first ones first.

    Postgres' jsonb takes no NUL, no lone surrogate, and no number that is none.
    """
    kept, room = dict[str, Any](), RAW_LIMIT - 2
    for name, value in values.items():
        safe_name, safe_value = _safe(str(name), 0), _safe(value, 0)
        size = len(json.dumps({safe_name: safe_value}, ensure_ascii=False))
        if size <= room:
            kept[safe_name], room = safe_value, room - size
    return kept


def _safe(value: Any, depth: int) -> Any:
    if depth > _DEPTH_LIMIT:
        return None
    match value:
        case str():
            return value.replace("\0", "").encode(errors="backslashreplace").decode()
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {_safe(str(name), depth): _safe(one, depth + 1) for name, one in value.items()}
        case list():
            return [_safe(one, depth + 1) for one in value]
        case _:
            return value


def read_items(values: Iterable[Value], read: Callable[[Value], Item]) -> tuple[list[Item], int]:
    """Return the items, and how many values are no items: one odd value costs itself only.

    Raises the last error of `read` if no value at all is an item.
    """
    items, odd, last = list[Item](), 0, None
    for value in values:
        try:
            items.append(read(value))
        except ITEM_ERRORS as error:
            odd, last = odd + 1, error
    if last is not None and not items:
        raise last
    return items, odd
