"""plan/handed_over.py: which CronJobs are planned, which go to another owner, and which are left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from region_operator.plan.changes import ChangeReason
from region_operator.plan.handed_over import Division, divide, explain_unrefused
from region_operator.regions.handover import Installation, SlotHandover, SlotOwner, Standing, decide
from region_operator.regions.slots import ALL_SLOTS
from tests.harness.examples import live_cronjob, scheduler

if TYPE_CHECKING:
    from region_operator.cronjobs.live import LiveCronJob

SOURCE = "public.region_index"
NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
OWN, THEIR, SILENT = 1, 2, 3
"""Slots: our own, one of an owner who is alive, one of an owner who is silent. Slot 4 is nobody's."""


def handover(*, since: timedelta = timedelta(hours=1)) -> SlotHandover:
    names = {OWN: "uid", THEIR: "alive", SILENT: "silent"}
    owners = {slot: SlotOwner(installation=name, since=NOW - since, epoch=2) for slot, name in names.items()}
    installations = {
        name: Installation(namespace="n", seen_at=NOW, silent=name == "silent") for name in ("uid", "alive", "silent")
    }
    standing = Standing(source=SOURCE, now=NOW, owners=owners, installations=installations)
    return decide(standing, scheduler(), wanted=frozenset({OWN, THEIR, SILENT}))


def cronjob(slot: int, *, told: str = "uid", source: str = SOURCE, terminating: bool = False) -> LiveCronJob:
    return replace(
        live_cronjob(f"r-{slot}", terminating=terminating),
        ours=True,
        key=f"{slot:02x}0123456789",
        told_source=source,
        told_installation=told,
        start_deadline_seconds=30,
    )


@pytest.mark.parametrize("told", ["uid", "", "former"])
def test_what_is_in_an_own_slot_is_planned_whoever_made_it(told: str) -> None:
    live = cronjob(OWN, told=told)
    assert divide([live], handover()) == Division([live])


def test_what_an_owner_who_is_alive_has_taken_over_goes() -> None:
    live = cronjob(THEIR)
    division = divide([live], handover())
    assert (division.current, division.wait) == ([], None)
    [delete] = division.handed_over
    assert (delete.live, delete.reason) == (live, ChangeReason.HANDED_OVER)


@pytest.mark.parametrize(
    "live",
    [
        cronjob(SILENT),
        cronjob(4),
        cronjob(THEIR, told="former"),
        cronjob(THEIR, terminating=True),
    ],
    ids=["the owner is silent", "no owner", "of a former name", "going already"],
)
def test_what_is_left_alone(live: LiveCronJob) -> None:
    assert divide([live], handover()) == Division([])


def test_what_an_older_release_left_is_left_alone_and_counted_while_it_ticks_for_another() -> None:
    """Its ticks name no installation, so no claim refuses them. Whoever upgraded first may be the wrong one."""
    old = [cronjob(THEIR, told=""), cronjob(SILENT, told=""), cronjob(THEIR, told="", source="")]
    others = [
        cronjob(4, told=""),
        cronjob(THEIR, told="", terminating=True),
        replace(cronjob(THEIR, told=""), suspended=True),
        replace(cronjob(THEIR, told=""), ours=False),
    ]
    division = divide([*old, *others], handover())
    assert division.unrefused == len(old)
    assert division.handed_over == ()
    assert division.current == [others[-1]]
    assert explain_unrefused(3).startswith("3 CronJobs of release 0.1 tick here for regions that are owned elsewhere")
    assert explain_unrefused(0) == ""


def test_a_cronjob_of_the_table_before_is_planned_so_the_guard_sees_it_go() -> None:
    live = cronjob(THEIR, source="public.before")
    assert divide([live], handover()) == Division([live])


def test_the_last_tick_of_the_former_owner_can_still_start() -> None:
    lives = [cronjob(THEIR), replace(cronjob(THEIR), start_deadline_seconds=20)]
    division = divide(lives, handover(since=timedelta(seconds=12)))
    assert (division.handed_over, division.wait) == ((), timedelta(seconds=8))
    division = divide(lives, handover(since=timedelta(seconds=20)))
    assert ([delete.live for delete in division.handed_over], division.wait) == ([lives[1]], timedelta(seconds=10))


def test_who_owns_all_plans_all() -> None:
    lives = [cronjob(slot) for slot in range(9)]
    whole = replace(handover(), owned=ALL_SLOTS)
    assert divide(lives, whole) == Division(lives)
