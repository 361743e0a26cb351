"""Plans only what changed: remembers each region's part of the plan together with the values that led to it. Pure.

`plan.plan_region` is a function of a region's row, the region's CronJobs, the CronJobs that have the row's code, and a
few values that all regions share. If none of them changed, neither did the region's part. So a plan costs a comparison
for each region that stayed the same, and a rendered manifest for each region that did not. Nothing has to tell which
regions changed.

Planning yields after each region that changed, and after many that did not, so that the caller can do other work: ten
thousand manifests take seconds.

Two ids may have the same key, because a key is a short hash. Then the region that has the CronJob, or else the first
row, is planned, and the other row is quarantined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import is_
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import region_key
from region_operator.plan.code_owners import find_code_owners
from region_operator.plan.plan import RegionPlan, Row, group_by_region, plan_region, sum_up
from region_operator.regions.region import Quarantined
from region_operator.regions.row_values import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Hashable, Mapping, Sequence

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.plan.changes import Plan, Render, Write
    from region_operator.plan.code_owners import Owners


UNCHANGED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Planned:
    """A region's part of the plan, and the row and CronJobs for which it was made."""

    row: Row | None
    lives: tuple[LiveCronJob, ...]
    owners: Owners
    part: RegionPlan


@dataclass(frozen=True, slots=True)
class _LookedAt:
    """All that a plan was made of."""

    rows: tuple[Row, ...]
    current: tuple[LiveCronJob, ...]
    foreign_names: frozenset[str]
    common: Hashable

    def is_same(self, other: _LookedAt) -> bool:
        """Tell whether both hold the same objects, not only equal ones. That takes a tenth of a comparison's time."""
        return (
            self.common == other.common
            and self.foreign_names == other.foreign_names
            and _are_same(self.rows, other.rows)
            and _are_same(self.current, other.current)
        )


class Planner:
    """Makes plans, and remembers the last one region by region."""

    def __init__(self) -> None:
        self._last: tuple[_LookedAt, Plan] | None = None
        self._planned: dict[str, _Planned] = {}

    def plan(
        self,
        rows: Sequence[Row],
        current: Sequence[LiveCronJob],
        *,
        render: Render,
        keep_last: bool,
        foreign_names: Collection[str],
        common: Hashable,
    ) -> Generator[None, None, Plan]:
        """Compare rows and CronJobs. Yield after each region that changed.

        `current` holds all CronJobs that are ours, `foreign_names` the names of all other CronJobs. `common` stands for
        all else that `render` depends on: an equal value promises equal manifests.
        """
        looked_at = _LookedAt(tuple(rows), tuple(current), frozenset(foreign_names), common)
        if self._last is not None and looked_at.is_same(self._last[0]):
            return self._last[1]
        if self._last is None or self._last[0].common != common:
            self._planned.clear()
        lives_by_key = group_by_region(current)
        rows_by_key, collided = _by_key(rows, lives_by_key)
        rows_by_key |= {key: None for key in lives_by_key if key not in rows_by_key}
        code_owners = find_code_owners(rows_by_key, lives_by_key)
        planned: dict[str, _Planned] = {}
        for key, row in rows_by_key.items():
            lives, owners = lives_by_key.get(key, ()), code_owners.get(key, ())
            known = self._recall(key, row, lives, owners)
            if known is None:
                part = plan_region(
                    row,
                    lives,
                    render=render,
                    keep_last=keep_last,
                    foreign_names=foreign_names,
                    owners=owners,
                    replaces=not lives and len(owners) == 1 and rows_by_key[owners[0].key] is None,
                )
                known = _Planned(row, lives, owners, part)
                yield
            elif len(planned) % UNCHANGED_AT_ONCE == UNCHANGED_AT_ONCE - 1:
                yield
            planned[key] = known
        self._planned = planned
        plan = sum_up([*(item.part for item in planned.values()), *collided])
        self._last = looked_at, plan
        return plan

    def _recall(self, key: str, row: Row | None, lives: tuple[LiveCronJob, ...], owners: Owners) -> _Planned | None:
        """Return what was planned for the same row and CronJobs, None if something changed.

        A region without a CronJob is planned anew each time: a CronJob of another owner may have or leave its name.
        """
        known = self._planned.get(key)
        if known is None or not lives or known.lives != lives or (known.row is not row and known.row != row):
            return None
        if known.owners != owners:
            return None
        if all(before is now for before, now in zip(known.lives, lives, strict=True)):
            return known
        return _Planned(row, lives, owners, _with_versions(known.part, lives))


def _by_key(
    rows: Sequence[Row], lives: Mapping[str, Sequence[LiveCronJob]]
) -> tuple[dict[str, Row | None], list[RegionPlan]]:
    """Return the rows by region key, and the parts of the rows whose key is that of another row."""
    by_key: dict[str, Row | None] = {region_key(row.id): row for row in rows}
    if len(by_key) == len(rows):
        return by_key, []
    collided = []
    by_key.clear()
    for row in rows:
        key = region_key(row.id)
        other = by_key.setdefault(key, row)
        if other is row or other is None:
            continue
        if key in lives and lives[key][0].region_id == row.id:
            by_key[key], row, other = row, other, row
        reason = f"the hash of its id is that of id {printable(other.id)}: give this region another id"
        collided.append(RegionPlan(quarantined=Quarantined(row.id, printable(row.code), reason)))
    return by_key, collided


def _are_same(first: Sequence[object], second: Sequence[object]) -> bool:
    return len(first) == len(second) and all(map(is_, first, second))


def _with_versions(part: RegionPlan, lives: tuple[LiveCronJob, ...]) -> RegionPlan:
    """Return a part of the plan with the CronJobs as they are now: equal, but for the resourceVersion."""
    if part.write is None and not part.deletes:
        return part
    by_name = {live.name: live for live in lives}

    def renewed(write: Write) -> Write:
        return replace(write, live=by_name[write.name], replacement=write.replacement and renewed(write.replacement))

    return replace(
        part,
        write=part.write and renewed(part.write),
        deletes=tuple(
            replace(
                delete,
                live=by_name[delete.live.name],
                replacement=delete.replacement and renewed(delete.replacement),
            )
            for delete in part.deletes
        ),
    )
