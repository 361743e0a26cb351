"""Compiles the hashes in one field of a cron schedule, such as `H/15`, to fixed values. Pure.

`H` is the symbol that Jenkins has for a value that a hash chooses (BaseParser.doHash in Jenkins' hudson.scheduler).
Here the region's code is hashed: the same code gets the same value in another cluster, and after the table was seeded
anew. The name of the field is hashed too, so that minute and hour are independent. A change of the hash would move the
ticks of every region that uses `H`.

A form that leaves nothing to choose is refused, because nobody means it. Days of the month beyond 28 are refused too:
some months lack them, so whether a region ticks in February would depend on the region's code.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from region_operator.regions.cron_field import DAY, parse_step, parse_value, quoted, schedule_error

if TYPE_CHECKING:
    from region_operator.regions.cron_field import Field

_HASH = re.compile(r"H(\((?P<low>[^()-]*)-(?P<high>[^()-]*)\))?(?P<slash>/(?P<step>.*))?")
_SHORTEST_MONTH = 28


def compile_hashes(field: Field, text: str, code: str | None) -> str:
    """Return the text of a field with fixed values in the place of each hash. Other items stay as they are.

    `code` is the region's code. Raises ScheduleError for a hash that cannot be compiled, or if `code` is None.
    """
    return ",".join(_compile_hash(field, item, code) if item[:1] in ("H", "h") else item for item in text.split(","))


def _compile_hash(field: Field, item: str, code: str | None) -> str:
    match = _HASH.fullmatch(item)
    if match is None:
        raise schedule_error(field.name, item, _explain_form(field, item))
    low, high = field.low, _highest(field)
    if match["low"] is not None:
        low, high = _parse_range(field, match["low"], match["high"], item)
    size = high - low + 1
    step = 1
    if match["slash"]:
        step = parse_step(field, match["step"], item, size=size, instead=item.partition("/")[0])
        if step == 1:
            every = "*" if match["low"] is None else f"{low}-{high}"
            raise schedule_error(field.name, item, f"a step of 1 leaves nothing to choose; write {quoted(every)}")
    if code is None:
        raise schedule_error(field.name, item, "only the row of a region may have a hash; write a number")
    if step == 1:
        return str(low + _number(field, code) % size)
    first = low + _number(field, code) % step
    return str(first) if first + step > high else f"{first}-{high}/{step}"


def _number(field: Field, code: str) -> int:
    """Return the number that chooses a value of the field, the same number for ever."""
    return int.from_bytes(sha256(f"{field.name}\n{code}".encode()).digest())


def _highest(field: Field) -> int:
    return _SHORTEST_MONTH if field is DAY else field.high


def _parse_range(field: Field, low_text: str, high_text: str, item: str) -> tuple[int, int]:
    low, high = parse_value(field, low_text, item), parse_value(field, high_text, item)
    highest = _highest(field)
    if max(low, high) > highest:
        which = "days that every month has" if field is DAY else "values of the field"
        why = f"a hash chooses among {which}; write {field.low} to {highest} in the brackets"
        raise schedule_error(field.name, item, why)
    if low > high:
        before, after = f"H({low}-{highest})", f"H({field.low}-{high})"
        why = f"a range does not wrap around; write {quoted(before)} or {quoted(after)}"
        raise schedule_error(field.name, item, why)
    return low, high


def _explain_form(field: Field, item: str) -> str:
    """Return what is wrong with an item that begins like a hash and is none."""
    if _HASH.fullmatch(meant := f"H{item[1:]}"):
        return f"a hash is a capital H; write {quoted(meant)}"
    return f'not a hash; write "H" or "H({field.low}-{_highest(field)})", each with or without a step such as "/2"'
