"""Divides the regions of a table into 256 slots, and the slots among shards. Pure.

A region's slot is the first byte of the hash of the region's id. So the slot never changes, Postgres can compute the
slot too, and the key in a CronJob's name tells the slot: the key begins with the same byte.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from region_operator.scheduler import Shard

Slots: TypeAlias = frozenset[int]

ALL_SLOTS: Slots = frozenset(range(256))


def slots_of_shard(shard: Shard | None) -> Slots:
    """Return the slots of a shard, all slots without a shard."""
    return frozenset(range(shard.index, len(ALL_SLOTS), shard.count)) if shard else ALL_SLOTS


def slot_of(region_id: str) -> int:
    """Return the slot of a region."""
    return hashlib.sha256(region_id.encode()).digest()[0]


def slot_of_key(key: str) -> int:
    """Return the slot of the region with this key (`cronjobs.labels.region_key`)."""
    return int(key[:2], 16)


def slot_in_sql(region_id: str) -> str:
    """Return the SQL for a region's slot. `region_id` is an SQL expression, e.g. a column."""
    return f"get_byte(sha256(convert_to(({region_id})::text, 'UTF8')), 0)"
