"""regions/handover.py and plan/handed_over.py under any sequence of edits, take-overs, crashes and delays.

The state machine shows that no tick is lost while regions change hands, and that each region ends in one cluster. No
tick is done twice, because a claim is done once; `tests/database/test_claim.py` shows that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from region_operator.regions.slots import slots_of_shard
from region_operator.scheduler import Shard
from tests.unit.simulated_installations import (
    BEGAN,
    LAST_CLAIM,
    MINUTE,
    SLOTS,
    SimulatedDatabase,
    SimulatedInstallation,
    pass_time,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from region_operator.regions.handover import SlotOwner

NAMES = ("blue", "green", "red", "black")
names = st.sampled_from(NAMES)
shards = st.sampled_from([None, *(Shard(index=index, count=count) for count in (1, 2, 4) for index in range(count))])
FOUR = {name: Shard(index=index, count=4) for index, name in enumerate(NAMES)}
plans = st.sampled_from(
    [
        {"blue": None},
        {"green": None},
        {"blue": Shard(index=0, count=1)},
        {"green": Shard(index=0, count=2), "red": Shard(index=1, count=2)},
        FOUR,
    ]
)
"""Which installations are to have which part in the end. Together they want each region once."""


class Handovers(RuleBasedStateMachine):
    """Up to four installations on one table. `blue` has owned the whole table for long when the others come."""

    @initialize()
    def begin(self) -> None:
        self.database = SimulatedDatabase()
        self.all = {name: SimulatedInstallation(name, self.database) for name in NAMES}
        self.all["blue"].reconcile()
        self.checked = self.database.now

    @rule(name=names)
    def its_operator_does_one_step(self, name: str) -> None:
        self.all[name].step()

    @rule(name=names)
    def its_operator_ends_its_reconcile(self, name: str) -> None:
        self.all[name].reconcile()

    @rule(name=names)
    def its_operator_crashes(self, name: str) -> None:
        self.all[name].crash()

    @rule(name=names, shard=shards)
    def a_person_edits_the_shard(self, name: str, shard: Shard | None) -> None:
        self.all[name].shard = shard

    @rule(name=names, owners=st.frozensets(names))
    def a_person_sets_the_annotation(self, name: str, owners: frozenset[str]) -> None:
        self.all[name].take_over = owners - {name}

    @rule(name=names)
    def a_person_takes_over_whatever_others_own(self, name: str) -> None:
        self.all[name].take_over = frozenset(NAMES) - {name}
        self.all[name].reconcile()

    @rule(name=names, begins=st.booleans())
    def a_hold_begins_or_ends(self, name: str, begins: bool) -> None:
        self.all[name].holding = begins
        self.all[name].crash()
        self.all[name].reconcile()
        assert not (begins and any(owner.offered for owner in self.owned_by(name)))

    @rule(name=names)
    def its_controller_makes_jobs(self, name: str) -> None:
        self.all[name].make_jobs(until=self.database.now)

    @rule(name=names)
    def its_pods_claim(self, name: str) -> None:
        self.all[name].claim(until=self.database.now)

    @rule(seconds=st.integers(1, 65))
    def time_passes(self, seconds: int) -> None:
        pass_time(self.database, self.all.values(), seconds=seconds)

    @rule(minutes=st.integers(3, 4))
    def all_operators_are_away_for_long(self, minutes: int) -> None:
        for installation in self.all.values():
            installation.crash()
        self.time_passes(minutes * 60)

    @rule(plan=plans, crash_after=st.integers(0, 12))
    def people_move_the_table_and_wait(self, plan: dict[str, Shard | None], crash_after: int) -> None:
        for name, shard in plan.items():
            self.all[name].shard = shard
        for installation in self.all.values():
            installation.holding = False
        for _ in range(4):
            for name in plan:
                self.take_what_outsiders_own(self.all[name], plan.keys())
            for installation in self.all.values():
                for _ in range(crash_after):
                    installation.step()
                installation.crash()
                installation.reconcile()
            self.time_passes(40)
        owners = {slot: owner.installation for slot, owner in self.database.owners.items()}
        assert owners == {slot: name for name, shard in plan.items() for slot in slots_of_shard(shard) & SLOTS}
        for name, installation in self.all.items():
            assert set(installation.cronjobs) == {slot for slot in SLOTS if owners[slot] == name}

    def take_what_outsiders_own(self, installation: SimulatedInstallation, insiders: Collection[str]) -> None:
        """Do as the condition says: remove the annotation, and then name the owners. Shards need no annotation."""
        installation.take_over = frozenset()
        installation.crash()
        installation.reconcile()
        assert installation.handover is not None
        owners = {installation.handover.standing.owners[slot].installation for slot in installation.handover.refused}
        installation.take_over = frozenset(owners.difference(insiders))
        installation.reconcile()

    def owned_by(self, name: str) -> list[SlotOwner]:
        return [owner for owner in self.database.owners.values() if owner.installation == name]

    @invariant()
    def no_tick_is_lost(self) -> None:
        while (tick_at := minute_after(self.checked)) + LAST_CLAIM < self.database.now:
            assert {slot for slot in SLOTS if (slot, tick_at) in self.database.done} == SLOTS
            self.checked = tick_at

    @invariant()
    def every_region_has_an_owner_with_its_cronjob(self) -> None:
        for slot, owner in self.database.owners.items():
            assert slot in self.all[owner.installation].cronjobs


def minute_after(moment: datetime) -> datetime:
    return moment.replace(second=0) + MINUTE


TestHandovers = Handovers.TestCase
TestHandovers.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("crash_after", range(20))
def test_one_installation_to_four_and_back_with_a_crash_after_any_step(crash_after: int) -> None:
    world = Handovers()
    world.begin()
    for plan in (FOUR, {"blue": None}):
        world.people_move_the_table_and_wait(plan, crash_after)
        world.no_tick_is_lost()
    assert world.checked - BEGAN > 3 * MINUTE
