"""Turns rows of the region table into values: a RegionRow, or Quarantined with a reason. Pure.

One bad row never affects another row. A value that is refused here would fail later, at a place that no longer knows
the row: at the API server, in the tick, or in a log line that nobody can read.

- `id`, `code` and `name` are one line of text each, not longer than TEXT_LIMITS.
- A code becomes an annotation and an environment variable of the tick. The CronJob's name gets only the letters and
  digits of the code. A code is never a label, so a code need not look like a label: "São Paulo" and "FR/75" are codes.
- People know a region by its code. So a code is as short as a label, with no blanks around and nothing invisible.
- No two active rows may share a code. If rows share a code, the row whose CronJob already ticks for the code is the
  region. If no such row exists, or more than one, all rows of the code are quarantined.
- A bounding box with min_lon > max_lon is valid: the box crosses the antimeridian (RFC 7946, section 5.2).
- An empty handler or timeout is none, as NULL is: some clients write an empty text for "nothing". So are empty params.
- `params` is a JSON object, and small: it goes into the CronJob, and from there into the tick's environment.

Whether `cron_schedule` is valid is left to `schedule`.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from region_operator.regions.row_values import CORNERS, Bbox, parse_params, parse_timeout, printable, text_of
from region_tick.text_encoding import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import timedelta

TEXT_LIMITS = {"id": 253, "code": 63, "name": 1000, "cron_schedule": 1000, "handler": 253}
"""How many characters a column may have. 63 is the limit of a label. The other limits exceed every need, far below the
API server's limits: a schedule that lists every value of every field has fewer than 400 characters.
"""

MAX_NAMED_REGIONS = 3
"""How many regions a message names at most. The message counts the rest."""
_LINE_ENDS_AND_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
_INVISIBLE = _LINE_ENDS_AND_CONTROLS | {"Cf"}
"""Unicode categories. Cf has the zero-width characters. `name` may have them: Persian, Hindi and emoji need some."""


@dataclass(frozen=True, slots=True)
class RegionRow:
    """An active row of the region table that may be scheduled.

    `source` is the table's qualified name, `cron_schedule` the unchanged text of the row. If `handler` or `timeout` is
    None, the RegionScheduler's handler or timeout applies. `params` is a JSON object as text, None if the row has none.
    """

    source: str
    id: str
    code: str
    name: str
    bbox: Bbox | None
    cron_schedule: str
    handler: str | None = None
    timeout: timedelta | None = None
    params: str | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An active row that cannot be scheduled as it is.

    `reason` says what is wrong and what to write instead. `code` is printable and may be shortened.
    """

    id: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class CodeUsers:
    """The regions whose rows share a code.

    `ids` has the first few regions. The region `ticking_id` already ticks for the code and keeps the code.
    """

    ids: tuple[str, ...]
    ticking_id: str | None

    @classmethod
    def of(cls, ids: Sequence[str], ticking_ids: AbstractSet[str]) -> Self:
        """Find who keeps a code. `ticking_ids` are the regions that already have a CronJob for the code."""
        ticking = [other for other in ids if other in ticking_ids]
        return cls(tuple(ids)[: MAX_NAMED_REGIONS + 1], ticking[0] if len(ticking) == 1 else None)


def parse_region(rows: Sequence[Mapping[str, Any]], users: CodeUsers | None, *, source: str) -> RegionRow | Quarantined:
    """Turn all rows of one id into one value. More than one row is a problem of the id.

    A row's keys are the field names of `scheduler.Columns`; the keys `handler`, `timeout` and `params` may be
    missing. `users` is
    None if no other region has the code.
    """
    row = rows[0]
    handler, timeout = (None if row.get(column) == "" else row.get(column) for column in ("handler", "timeout"))
    region_id, code, name, cron = (text_of(row[column]) for column in ("id", "code", "name", "cron_schedule"))
    problems = [
        *_problems_of_values(row),
        *_problems_of_id(region_id, len(rows)),
        *_problems_of_code(code, region_id, users),
        *_problems_of_text("name", name, _LINE_ENDS_AND_CONTROLS),
        *_problems_of_text("cron_schedule", cron, frozenset()),
    ]
    if row["cron_schedule"] is None:
        problems.append('cron_schedule is NULL: write a schedule, e.g. "*/5 * * * *"')
    if handler is not None:
        problems += _problems_of_handler(str(handler))
    try:
        bbox = Bbox.from_corners([row[corner] for corner in CORNERS])
    except ValueError as error:
        problems.append(str(error))
    try:
        limit = parse_timeout(timeout)
    except ValueError as error:
        problems.append(str(error))
    try:
        params = parse_params(row.get("params"))
    except ValueError as error:
        problems.append(str(error))
    if problems:
        return Quarantined(region_id, printable(code), "; ".join(problems))
    return RegionRow(
        source=source, id=region_id, code=code, name=name, bbox=bbox, cron_schedule=cron,
        handler=None if handler is None else str(handler), timeout=limit, params=params,
    )  # fmt: skip


def _problems_of_values(row: Mapping[str, Any]) -> Iterator[str]:
    for column in (*TEXT_LIMITS, "params"):
        if isinstance(value := row.get(column), Unreadable):
            yield f'{column} "{printable(value)}" {value.problem}'
    if isinstance(row["id"], float | Decimal) and not Decimal(row["id"]).is_finite():
        yield f"id {row['id']} is no number that tells a region from others: write a finite one"


def _problems_of_id(region_id: str, rows: int) -> Iterator[str]:
    if not region_id:
        yield "id is empty: a region is known by its id, so give each row one"
    elif rows > 1:
        yield f"id is in {rows} rows: give each region one row (does a view join one row to many?)"
    yield from _problems_of_text("id", region_id, _LINE_ENDS_AND_CONTROLS)


def _problems_of_code(code: str, region_id: str, users: CodeUsers | None) -> Iterator[str]:
    if not code.strip():
        yield "code is empty: give the region a code, it names its CronJob"
        return
    if code != code.strip():
        yield f'code has blanks around it: write "{printable(code.strip())}"'
    if users and users.ticking_id is None:
        others = [other for other in users.ids if other != region_id][:MAX_NAMED_REGIONS]
        yield f"code is also that of id {', '.join(map(printable, others))}: give each active region a code of its own"
    elif users and users.ticking_id and users.ticking_id != region_id:
        ticking_id = printable(users.ticking_id)
        yield f"code is that of id {ticking_id}, which ticks for it: give this region a code of its own"
    yield from _problems_of_text("code", code.strip(), _INVISIBLE)


def _problems_of_handler(handler: str) -> Iterator[str]:
    remedy = 'write a name, e.g. "poke", or "module:function", or NULL for that of the RegionScheduler'
    if not handler.strip():
        yield f"handler is empty: {remedy}"
    elif handler != handler.strip():
        yield f'handler "{printable(handler)}" has blanks around it: {remedy}'
    yield from _problems_of_text("handler", handler.strip(), _INVISIBLE)


def _problems_of_text(column: str, text: str, refused: frozenset[str]) -> Iterator[str]:
    """Check a text's length and characters. `refused` holds Unicode categories."""
    if len(text) > TEXT_LIMITS[column]:
        yield f"{column} has {len(text)} characters: write at most {TEXT_LIMITS[column]}"
    bad = None if text.isprintable() else next((char for char in text if unicodedata.category(char) in refused), None)
    if bad is not None:
        yield f'{column} "{printable(text)}" has a character that cannot be seen, U+{ord(bad):04X}: take it out'
