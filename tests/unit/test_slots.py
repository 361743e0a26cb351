"""regions/slots.py: a region's slot, and which slots a shard has."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from region_operator.cronjobs.labels import region_key
from region_operator.regions.slots import ALL_SLOTS, slot_of, slot_of_key, slots_of_shard
from region_operator.scheduler import Shard

COUNTS = [2**power for power in range(9)]


@given(st.text())
def test_the_name_of_a_cronjob_tells_the_slot(region_id: str) -> None:
    assert slot_of_key(region_key(region_id)) == slot_of(region_id) in ALL_SLOTS


def test_a_slot_is_the_same_for_ever() -> None:
    """By another hash all regions of all shards would change hands at once."""
    assert [slot_of(region_id) for region_id in ("1", "2", "42", "é", "")] == [107, 212, 115, 74, 227]


def test_the_shards_of_each_count_have_each_slot_once() -> None:
    for count in COUNTS:
        shards = [slots_of_shard(Shard(index=index, count=count)) for index in range(count)]
        assert sorted(slot for slots in shards for slot in slots) == sorted(ALL_SLOTS)
        assert {len(slots) for slots in shards} == {256 // count}
    assert slots_of_shard(None) == ALL_SLOTS


def test_a_shard_of_more_is_a_part_of_one_of_fewer() -> None:
    """So a shard that is split keeps a part of its regions, and takes over none."""
    for few, more in pairwise(COUNTS):
        for index in range(more):
            smaller, larger = Shard(index=index, count=more), Shard(index=index % few, count=few)
            assert slots_of_shard(smaller) < slots_of_shard(larger)
