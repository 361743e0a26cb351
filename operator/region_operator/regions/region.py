"""Rows of the region table as values: each a Region, or Quarantined with a reason; one bad row costs no other. Pure.

What is refused here would fail later, where nobody knows the row: at the API server, in the tick, or before the eyes of
whoever reads a log. `id`, `code` and `name` are one line of text, not longer than TEXT_LIMITS. A code becomes an
annotation and a variable of the tick, and the CronJob's name only after it was cut down to what a name may hold; it is
never a label. So it need not look like one: "São Paulo" and "FR/75" are codes. But it is what people go by, so it is as
short as a label, has no blanks around it and nothing in it that cannot be seen, and no other active row has it: of
rows that share one, that whose CronJob ticks for it already is the region, and where none or several do, none is.

A bounding box whose min_lon is greater than its max_lon is one: it crosses the antimeridian (RFC 7946, section 5.2).
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Self

from region_operator.scheduler import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set

TEXT_LIMITS = {"id": 253, "code": 63, "name": 1000, "cron_schedule": 1000, "handler": 253}
"""How many characters a column may have. 63 are a label's. The others keep a row far from the API server's limits and
are more than anybody needs: a schedule that lists every value of every field has fewer than 400.
"""

TIMEOUT_LIMITS = (timedelta(seconds=1), timedelta(days=1))
"""What a region's own timeout may be."""

_CORNERS = ("bbox_min_lon", "bbox_min_lat", "bbox_max_lon", "bbox_max_lat")
NAMED_REGIONS = 3
"""How many a message names, of many."""
_LINE_ENDS_AND_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
_NOT_SEEN = _LINE_ENDS_AND_CONTROLS | {"Cf"}
"""Categories of Unicode. Cf are the zero-width characters: names in Persian, Hindi or emoji need some of them."""


@dataclass(frozen=True, slots=True)
class Bbox:
    """A bounding box in degrees; its text, `min_lon,min_lat,max_lon,max_lat`, is what a tick gets."""

    min_lon: Decimal
    min_lat: Decimal
    max_lon: Decimal
    max_lat: Decimal

    def __str__(self) -> str:
        return f"{self.min_lon},{self.min_lat},{self.max_lon},{self.max_lat}"

    @classmethod
    def of(cls, corners: Sequence[object]) -> Self | None:
        """Read four corners, in the order of the fields; None where all four are None.

        Raises ValueError, which says what to write instead.
        """
        if all(corner is None for corner in corners):
            return None
        if None in corners:
            raise ValueError("bbox has some of its four corners but not all: fill in the others or set all to NULL")
        box = cls(*(_degrees(name, corner) for name, corner in zip(_CORNERS, corners, strict=True)))
        if box.min_lat > box.max_lat:
            raise ValueError(
                f"bbox_min_lat {box.min_lat} is greater than bbox_max_lat {box.max_lat}: write the southern edge first"
            )
        return box


@dataclass(frozen=True, slots=True)
class RegionRow:
    """An active row of the region table; `source` is the table's qualified name, `cron_schedule` the text as it stands
    in the row. `handler` and `timeout` are None where the row has none of its own: the RegionScheduler's hold.
    """

    source: str
    id: str
    code: str
    name: str
    bbox: Bbox | None
    cron_schedule: str
    handler: str | None = None
    timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An active row that cannot be scheduled as it is. `reason` says what is wrong and what to write instead; `code` is
    fit to be shown.
    """

    id: str
    code: str
    reason: str


def parse_rows(
    rows: Sequence[Mapping[str, Any]], *, source: str, holders: Mapping[str, Set[str]]
) -> list[RegionRow | Quarantined]:
    """Turn rows, keyed by the names of `crd.Columns`, into one value for each id, in the order of the rows. The keys
    handler and timeout may be missing. `holders` are the ids of the regions that tick already, by their codes.
    """
    by_id: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    ids_by_code: dict[str, dict[str, None]] = defaultdict(dict)  # sets that keep their order
    for row in rows:
        region_id = _text(row["id"])
        by_id[region_id].append(row)
        ids_by_code[_text(row["code"])][region_id] = None
    rivals = {code: _rivals(ids, holders.get(code, frozenset())) for code, ids in ids_by_code.items()}
    return [_parse(same, rivals[_text(same[0]["code"])], source=source) for same in by_id.values()]


def parse_timeout(value: object) -> timedelta | None:
    """Read a region's own timeout: a Go duration or an interval; None stays None.

    Raises ValueError, which says what to write instead.
    """
    remedy = 'write a Go duration from 1s to 24h, e.g. "90s" or "1h30m", or NULL for that of the RegionScheduler'
    try:
        timeout = parse_duration(value)
    except (ValueError, OverflowError):
        timeout = value
    if timeout is None:
        return None
    if not isinstance(timeout, timedelta):
        raise ValueError(f'timeout "{shown(str(value))}" is not a duration: {remedy}')
    if not TIMEOUT_LIMITS[0] <= timeout <= TIMEOUT_LIMITS[1]:
        raise ValueError(f'timeout "{shown(str(value))}" is too short or too long: {remedy}')
    return timeout


def shown(text: str, *, limit: int = 80) -> str:
    """Return a text as a message may hold it: in one line, and not too long."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


@dataclass(frozen=True, slots=True)
class _Rivals:
    """Some of the ids of the rows that have the same code, and the one that has it by right, if one does."""

    ids: tuple[str, ...]
    holder: str | None


def _rivals(ids: Mapping[str, None], holders: Set[str]) -> _Rivals:
    by_right = ids.keys() & holders
    return _Rivals(tuple(ids)[: NAMED_REGIONS + 1], by_right.pop() if len(by_right) == 1 else None)


def _parse(same: Sequence[Mapping[str, Any]], rivals: _Rivals, *, source: str) -> RegionRow | Quarantined:
    """Turn the rows of one id, of which there should be one, into a value."""
    row = same[0]
    region_id, code, name, cron = (_text(row[column]) for column in ("id", "code", "name", "cron_schedule"))
    problems = [
        *_problems_of_id(region_id, len(same)),
        *_problems_of_code(code, region_id, rivals),
        *_problems_of_text("name", name, _LINE_ENDS_AND_CONTROLS),
        *_problems_of_text("cron_schedule", cron, frozenset()),
    ]
    if row["cron_schedule"] is None:
        problems.append('cron_schedule is NULL: write a schedule, e.g. "*/5 * * * *"')
    handler = row.get("handler")
    if handler is not None:
        problems += _problems_of_handler(str(handler))
    try:
        bbox = Bbox.of([row[corner] for corner in _CORNERS])
    except ValueError as error:
        problems.append(str(error))
    try:
        timeout = parse_timeout(row.get("timeout"))
    except ValueError as error:
        problems.append(str(error))
    if problems:
        return Quarantined(region_id, shown(code), "; ".join(problems))
    return RegionRow(
        source=source, id=region_id, code=code, name=name, bbox=bbox, cron_schedule=cron,
        handler=None if handler is None else str(handler), timeout=timeout,
    )  # fmt: skip


def _problems_of_id(region_id: str, rows: int) -> Iterator[str]:
    if not region_id:
        yield "id is empty: a region is known by its id, so give each row one"
    elif rows > 1:
        yield f"id is in {rows} rows: give each region one row (does a view join one row to many?)"
    yield from _problems_of_text("id", region_id, _LINE_ENDS_AND_CONTROLS)


def _problems_of_code(code: str, region_id: str, rivals: _Rivals) -> Iterator[str]:
    """Say what is wrong with a row's code."""
    if not code.strip():
        yield "code is empty: give the region a code, it names its CronJob"
        return
    if code != code.strip():
        yield f'code has blanks around it: write "{shown(code.strip())}"'
    others = [other for other in rivals.ids if other != region_id][:NAMED_REGIONS]
    if rivals.holder and rivals.holder != region_id:
        yield f"code is that of id {shown(rivals.holder)}, which ticks for it: give this region a code of its own"
    elif others and not rivals.holder:
        yield f"code is also that of id {', '.join(map(shown, others))}: give each active region a code of its own"
    yield from _problems_of_text("code", code.strip(), _NOT_SEEN)


def _problems_of_handler(handler: str) -> Iterator[str]:
    remedy = 'write a name, e.g. "poke", or "module:function", or NULL for that of the RegionScheduler'
    if not handler.strip():
        yield f"handler is empty: {remedy}"
    elif handler != handler.strip():
        yield f'handler "{shown(handler)}" has blanks around it: {remedy}'
    yield from _problems_of_text("handler", handler.strip(), _NOT_SEEN)


def _problems_of_text(column: str, text: str, refused: frozenset[str]) -> Iterator[str]:
    if len(text) > TEXT_LIMITS[column]:
        yield f"{column} has {len(text)} characters: write at most {TEXT_LIMITS[column]}"
    bad = None if text.isprintable() else next((char for char in text if unicodedata.category(char) in refused), None)
    if bad is not None:
        yield f'{column} "{shown(text)}" has a character that cannot be seen, U+{ord(bad):04X}: take it out'


def _degrees(column: str, corner: object) -> Decimal:
    limit = 180 if column.endswith("lon") else 90
    try:
        degrees = Decimal(str(corner))  # by its text: Decimal(0.1) would show what a float really is
    except InvalidOperation:
        degrees = Decimal("NaN")
    if not (degrees.is_finite() and -limit <= degrees <= limit):
        raise ValueError(f"{column} {shown(str(corner))} is not a place: write degrees, -{limit} to {limit}")
    return degrees


def _text(value: object) -> str:
    return "" if value is None else str(value)
