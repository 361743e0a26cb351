"""regions/handover.py: what is done about a slot, by who owns it and who wants it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from region_operator.regions.handover import (
    Installation,
    SlotHandover,
    SlotOwner,
    Standing,
    decide,
    explain_offer,
    explain_refusal,
    explain_takeover,
    nobody,
)
from region_operator.regions.slots import ALL_SLOTS, Slots, slots_of_shard
from region_operator.scheduler import Scheduler, Shard
from tests.harness.examples import scheduler

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=3)
NONE: Slots = frozenset()
SLOT: Slots = frozenset({0})
OURS = SlotOwner(installation="uid", since=SINCE, epoch=3)
THEIRS = SlotOwner(installation="theirs", since=SINCE, epoch=3)
MARKS = ("owned", "free", "offer", "keep", "announce", "withdraw", "taking", "refused", "let_go")


def standing(
    owners: dict[int, SlotOwner], *, silent: bool = False, took_over: frozenset[str] = frozenset()
) -> Standing:
    seen_at = NOW - timedelta(hours=2 if silent else 0)
    installations = {
        "theirs": Installation(namespace="blue", seen_at=seen_at, silent=silent),
        "uid": Installation(namespace="region-tick", seen_at=NOW, silent=False, took_over=took_over),
    }
    return Standing(source="public.region_index", now=NOW, owners=owners, installations=installations)


def ours(*, take_over: str = "", shard: Shard | None = None) -> Scheduler:
    source = {"shard": shard.model_dump()} if shard else {}
    return scheduler(source=source).model_copy(update={"take_over": frozenset(take_over.split(",")) - {""}})


def marks(handover: SlotHandover) -> set[str]:
    """Return all that is said about slot 0, the only one that is not somebody's or nobody's business."""
    return {mark for mark in MARKS if 0 in getattr(handover, mark)}


@pytest.mark.parametrize(
    ("owner", "wanted", "shard", "take_over", "expected"),
    [
        (None, True, False, "", {"free"}),
        (None, False, True, "", set()),
        (OURS, True, False, "", {"owned"}),
        (OURS, True, False, "theirs", {"owned"}),
        (OURS, False, True, "", {"owned", "offer"}),
        (replace(OURS, offered=True), False, True, "", {"owned"}),
        (replace(OURS, offered=True), True, True, "", {"owned", "keep"}),
        (replace(OURS, successor="theirs"), True, True, "", {"owned"}),
        (THEIRS, True, False, "", {"refused", "let_go"}),
        (THEIRS, True, True, "", {"refused", "let_go"}),
        (THEIRS, True, False, "another", {"refused", "let_go"}),
        (THEIRS, True, False, "theirs", {"taking", "announce"}),
        (THEIRS, True, False, "another,theirs", {"taking", "announce"}),
        (THEIRS, False, True, "theirs", {"let_go"}),
        (replace(THEIRS, successor="uid"), True, False, "theirs", {"taking"}),
        (replace(THEIRS, successor="another"), True, False, "theirs", {"taking", "announce"}),
        (replace(THEIRS, successor="uid"), True, False, "", {"refused", "let_go", "withdraw"}),
        (replace(THEIRS, successor="uid"), False, True, "theirs", {"let_go", "withdraw"}),
        (replace(THEIRS, offered=True), True, True, "", {"taking", "announce"}),
        (replace(THEIRS, offered=True), True, False, "", {"refused", "let_go"}),
        (replace(THEIRS, offered=True), False, True, "", {"let_go"}),
    ],
)
def test_what_is_done_about_a_slot(
    owner: SlotOwner | None, wanted: bool, shard: bool, take_over: str, expected: set[str]
) -> None:
    part = Shard(index=0, count=2) if shard else None
    owners = {0: owner} if owner else {}
    handover = decide(standing(owners), ours(take_over=take_over, shard=part), wanted=SLOT if wanted else NONE)
    assert marks(handover) == expected
    assert (0 in handover.slots) == bool(expected & {"owned", "free", "taking"})
    assert handover.to_write == bool(expected & {"free", "announce", "withdraw"})


@pytest.mark.parametrize(("silent", "expected"), [(False, {"refused", "let_go"}), (True, {"refused"})])
def test_only_an_owner_who_is_alive_lets_another_one_go(silent: bool, expected: set[str]) -> None:
    assert marks(decide(standing({0: THEIRS}, silent=silent), ours(), wanted=SLOT)) == expected


def test_an_owner_who_never_told_of_itself_is_not_alive() -> None:
    unknown = replace(nobody("public.region_index", NOW), owners={0: THEIRS})
    assert marks(decide(unknown, ours(), wanted=SLOT)) == {"refused"}


def test_a_take_over_is_carried_out_once() -> None:
    """Otherwise two annotations that stand would move a table to and fro for ever."""
    done = standing({0: THEIRS}, took_over=frozenset({"theirs"}))
    again = decide(done, ours(take_over="theirs"), wanted=SLOT)
    assert marks(again) == {"refused", "let_go"}
    assert not again.forget
    assert "remove the annotation before you set it again" in explain_refusal(again, ours(take_over="theirs"))
    removed = decide(done, ours(), wanted=SLOT)
    assert removed.forget
    assert removed.to_write
    assert "taking" in marks(decide(standing({0: THEIRS}), ours(take_over="theirs"), wanted=SLOT))


def test_a_table_without_owners_is_taken_whole_or_by_shard() -> None:
    fresh = nobody("public.region_index", NOW)
    assert decide(fresh, ours(), wanted=ALL_SLOTS).slots == ALL_SLOTS
    shard = Shard(index=1, count=4)
    handover = decide(fresh, ours(shard=shard), wanted=slots_of_shard(shard))
    assert handover.free == handover.slots == slots_of_shard(shard)
    assert explain_refusal(handover, ours(shard=shard)) == explain_takeover(handover) == ""


def test_a_cronjob_goes_when_the_last_tick_of_its_time_cannot_start_any_more() -> None:
    handover = decide(standing({0: replace(THEIRS, since=NOW - timedelta(seconds=20))}), ours(), wanted=SLOT)
    assert handover.let_go_in(0, start_deadline=timedelta(seconds=30)) == timedelta(seconds=10)
    assert handover.let_go_in(0, start_deadline=timedelta(seconds=15)) < timedelta()


def test_the_refusal_says_who_owns_it_since_when_and_how_to_take_over() -> None:
    handover = decide(standing(dict.fromkeys(ALL_SLOTS, THEIRS)), ours(), wanted=ALL_SLOTS)
    assert explain_refusal(handover, ours()) == (
        "of public.region_index all is owned elsewhere, so nothing is done there:"
        " theirs is the owner since 2026-11-21T10:00:00Z from namespace blue and is alive;"
        " to take over: kubectl annotate regionscheduler default -n region-tick --overwrite"
        " region-tick.dev/take-over=theirs"
    )
    silent = decide(standing(dict.fromkeys(ALL_SLOTS, THEIRS), silent=True), ours(), wanted=ALL_SLOTS)
    assert "from namespace blue and is silent since 2026-11-24T08:00:00Z;" in explain_refusal(silent, ours())


def test_the_refusal_of_a_part_counts_slots_and_names_a_few_owners() -> None:
    owners = {slot: replace(THEIRS, installation=f"other-{slot}") for slot in range(6)}
    text = explain_refusal(decide(standing(owners), ours(), wanted=ALL_SLOTS), ours())
    assert text.startswith("of public.region_index 6 of 256 slots are owned elsewhere, ")
    assert "other-3 is the owner" in text
    assert "other-4 is the owner" not in text
    assert "; and 2 more; to take over: " in text
    assert text.endswith("=other-0,other-1,other-2,other-3,other-4,other-5")


def test_a_name_in_the_annotation_that_owns_nothing_is_said() -> None:
    handover = decide(standing({0: THEIRS}), ours(take_over="their"), wanted=SLOT)
    assert 'names "their", which owns none of this' in explain_refusal(handover, ours(take_over="their"))


def test_what_is_about_to_change_hands_is_said() -> None:
    owners = dict.fromkeys(range(4), OURS) | dict.fromkeys(range(4, 6), THEIRS)
    handover = decide(standing(owners), ours(take_over="theirs"), wanted=frozenset(range(2, 6)))
    assert explain_takeover(handover) == "2 of 256 slots are taken over from theirs"
    assert explain_offer(handover) == "2 of 256 slots are offered to other shards"


def test_while_changes_are_held_nothing_is_offered_and_what_was_is_kept() -> None:
    """Shards that each take a part of the table would each let a part of the held changes through."""
    owners = {0: OURS, 1: replace(OURS, offered=True), 2: replace(OURS, offered=True), 3: OURS}
    handover = decide(standing(owners), ours(), wanted=frozenset({2, 3}))
    assert (handover.offer, handover.keep) == (frozenset({0}), frozenset({2}))
    holding = handover.while_holding()
    assert (holding.offer, holding.keep, holding.withheld) == (NONE, frozenset({1, 2}), frozenset({0, 1}))
    assert explain_offer(holding) == "2 of 256 slots are not offered to other shards while changes are held"
    all_wanted = decide(standing(owners), ours(), wanted=frozenset(range(4))).while_holding()
    assert (all_wanted.keep, explain_offer(all_wanted)) == (frozenset({1, 2}), "")
