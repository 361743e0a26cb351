"""Parses the rows of a reading, but only the rows that differ from the reading before. Pure.

What a row becomes depends on the row and on the regions that share the row's code. If neither changed, the value of the
reading before is still right. `region` says what a row becomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from region_operator.regions.region import CodeUsers, parse_region
from region_operator.regions.row_values import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from region_operator.regions.region import Quarantined, RegionRow

    TickingIds = Callable[[AbstractSet[str]], Mapping[str, AbstractSet[str]]]
    """Tells for codes which regions have a CronJob for the code already, each region by its id."""


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A region as it was parsed, and all that the region was parsed from."""

    rows: Sequence[Mapping[str, Any]]
    users: CodeUsers | None
    region: RegionRow | Quarantined


class RowParser:
    """Parses rows, and remembers the last reading region by region."""

    def __init__(self) -> None:
        self._source = ""
        self._kinds: tuple[type, ...] = ()
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._has_shared_codes = False
        self._regions: list[RegionRow | Quarantined] = []
        self._parsed: dict[str, _Parsed] = {}

    def parse(
        self, rows: Sequence[Mapping[str, Any]], *, source: str, ticking_ids: TickingIds
    ) -> Generator[None, None, list[RegionRow | Quarantined]]:
        """Return one value per id, in the order of the rows; the same list again if no row changed. Yield after each
        region that changed.

        `source` is the table's qualified name. `ticking_ids` is asked only for codes that several rows share.
        """
        kinds = tuple(map(type, rows[0].values())) if rows else ()
        if (source, kinds) != (self._source, self._kinds):  # 1 and 1.0 are equal, and their texts differ
            self._source, self._kinds, self._parsed, self._rows = source, kinds, {}, ()
        changed = self._find_changed(rows)
        if changed is not None:
            regions = list(self._regions) if changed else self._regions
            for place in changed:
                regions[place] = parse_region([rows[place]], None, source=source)
                yield
            self._rows, self._regions = rows, regions
            return regions
        grouped = _rows_by_id(rows)
        shared = _shared_codes(grouped)
        users = _users_of(shared, ticking_ids)
        parsed: dict[str, _Parsed] = {}
        for region_id, same_id in grouped.items():
            sharing = users.get(text_of(same_id[0]["code"])) if users else None
            known = self._parsed.get(region_id)
            if known is None or known.rows != same_id or known.users != sharing:
                known = _Parsed(same_id, sharing, parse_region(same_id, sharing, source=source))
                yield
            parsed[region_id] = known
        self._parsed, self._rows, self._has_shared_codes = parsed, rows, bool(shared)
        self._regions = [item.region for item in parsed.values()]
        return self._regions

    def _find_changed(self, rows: Sequence[Mapping[str, Any]]) -> list[int] | None:
        """Return the places of the rows that changed since the last reading.

        None: rows came or went, or an id or a code changed, or rows share an id or a code. Then the rows must be looked
        at together.
        """
        if self._has_shared_codes or not len(rows) == len(self._rows) == len(self._regions):
            return None
        changed = [place for place, row in enumerate(rows) if row != self._rows[place]]
        for place in changed:
            row, before = rows[place], self._rows[place]
            if (row["id"], row["code"]) != (before["id"], before["code"]):
                return None
        return changed


def _users_of(shared: Mapping[str, Sequence[str]], ticking_ids: TickingIds) -> dict[str, CodeUsers]:
    ticking = ticking_ids(shared.keys()) if shared else {}
    return {code: CodeUsers.of(ids, ticking.get(code, frozenset())) for code, ids in shared.items()}


def _rows_by_id(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Group rows by the text of their id, in the order of the rows."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(text_of(row["id"]), []).append(row)
    return grouped


def _shared_codes(grouped: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[str]]:
    """Return the codes that rows of more than one id have, each with the ids."""
    first_ids: dict[str, str] = {}
    shared: dict[str, list[str]] = {}
    for region_id, rows in grouped.items():
        for row in rows:
            code = text_of(row["code"])
            first = first_ids.setdefault(code, region_id)
            if first != region_id and shared.setdefault(code, [first])[-1] != region_id:
                shared[code].append(region_id)
    return shared
