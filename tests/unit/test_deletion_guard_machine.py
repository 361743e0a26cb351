"""plan/deletion_guard.py under any sequence of edits, waits, crashes, failures, approvals and foreign deletions.

The state machine shows which deletions never happen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from region_operator.plan.changes import Delete, Guarded, Plan
from region_operator.plan.deletion_guard import Decision, guard_stops
from region_operator.plan.guard_memory import NONE, GuardState, RegionKeys
from region_operator.scheduler import DeletionGuard
from tests.harness.examples import live_cronjob

if TYPE_CHECKING:
    from region_operator.cronjobs.live import LiveCronJob

WINDOW = timedelta(minutes=10)
KEYS = "abcdefghijkl"
regions = st.frozensets(st.sampled_from(KEYS))


@dataclass(frozen=True, slots=True)
class Past:
    """A region that the operator deleted without anybody's approval."""

    at: datetime
    key: str


class GuardMachine(RuleBasedStateMachine):
    """A table, a cluster and a status, and an operator that reconciles with nothing else to go by.

    What it should never do is computed here from what it did, not from what it remembers.
    """

    @initialize(
        rows=st.just(frozenset(KEYS)) | regions,
        count=st.integers(0, 4),
        percent=st.sampled_from([0, 20, 50]),
    )
    def begin(self, rows: RegionKeys, count: int, percent: int) -> None:
        self.guard = DeletionGuard(max_count=count, max_percent=percent, window=WINDOW)
        self.now = datetime(2026, 11, 24, 9, tzinfo=UTC)
        self.rows, self.cluster = set(rows), set(rows)
        self.status: dict[str, Any] = {}
        self.annotation = ""
        self.past: list[Past] = []
        self.on_hold: set[str] = set()
        """Held and neither back nor approved since: may not go, however long that is."""
        self.may_go: set[str] = set()
        """Approved, and not back since."""

    @rule(keys=regions)
    def rows_go(self, keys: RegionKeys) -> None:
        self.rows -= keys

    @rule(keys=regions)
    def rows_come(self, keys: RegionKeys) -> None:
        self.rows |= keys

    @rule(keys=regions)
    def it_is_another_database(self, keys: RegionKeys) -> None:
        self.rows = set(keys)

    @rule(minutes=st.integers(1, 12))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(key=st.sampled_from(KEYS))
    def somebody_deletes_a_cronjob(self, key: str) -> None:
        self.cluster.discard(key)
        self.on_hold.discard(key)

    @rule()
    def somebody_approves_what_the_status_says(self) -> None:
        self.annotation = self.status.get("heldDeletions", {}).get("approval", self.annotation)

    @rule()
    def it_reconciles(self) -> None:
        self.do(self.decide(), failing=frozenset())

    @rule(key=st.sampled_from(KEYS))
    def one_row_goes_and_it_reconciles(self, key: str) -> None:
        self.rows.discard(key)
        self.it_reconciles()

    @rule(failing=regions)
    def it_reconciles_and_some_requests_fail(self, failing: RegionKeys) -> None:
        self.do(self.decide(), failing=failing)

    @rule()
    def it_is_killed_before_it_writes_the_status(self) -> None:
        self.plan_and_policy()

    @rule()
    def it_is_killed_after_it_wrote_the_status(self) -> None:
        self.decide()

    @precondition(lambda self: "heldDeletions" in self.status)
    @rule(keys=regions)
    def rows_go_as_an_approval_is_seen(self, keys: RegionKeys) -> None:
        self.somebody_approves_what_the_status_says()
        self.rows_go(keys)
        self.it_reconciles()

    def decide(self) -> Decision:
        decision = self.plan_and_policy()
        held_before = GuardState.from_status(self.status).holds.get(Guarded.DELETION)
        if held_before and held_before.approval == self.annotation:
            self.may_go |= held_before.held - self.rows
        self.may_go -= self.rows
        self.on_hold = (self.on_hold - self.rows - self.may_go) | {change.key for change in decision.held}
        self.status = decision.state.to_status()
        return decision

    def plan_and_policy(self) -> Decision:
        self.now += timedelta(seconds=1)
        current = [live(key) for key in sorted(self.cluster)]
        plan = Plan(deletes=tuple(Delete(item) for item in current if item.key not in self.rows))
        state = GuardState.from_status(self.status)
        decision = guard_stops(plan, current, guard=self.guard, state=state, approval=self.annotation, now=self.now)
        asked = {delete.live.key for delete in plan.deletes}
        let_go, held = ({change.key for change in some} for some in (decision.plan.deletes, decision.held))
        assert let_go | held == asked
        assert not let_go & held
        return decision

    def do(self, decision: Decision, *, failing: RegionKeys) -> None:
        before = set(self.cluster)
        gone = {delete.live.key for delete in decision.plan.deletes} - failing
        unapproved = gone - self.may_go
        self.cluster = (self.cluster - gone) | self.rows
        assert not unapproved & self.on_hold, "what is held goes by an approval alone"
        self.past += [Past(self.now, key) for key in unapproved]
        if not unapproved:
            return
        lately = {past.key for past in self.past if self.now - past.at <= WINDOW}
        stood = before | lately
        allowance = max(self.guard.max_count, len(stood) * self.guard.max_percent // 100)
        assert len(lately) <= allowance, "no more than the allowance within a window"
        assert before - gone or len(stood) == 1, "never all of two or more"

    @invariant()
    def an_approval_is_of_what_it_names(self) -> None:
        assert GuardState.from_status(self.status).approved.get(Guarded.DELETION, NONE) <= self.may_go


def live(key: str) -> LiveCronJob:
    return replace(live_cronjob(f"r-{key}", uid=key), key=key)


TestGuardMachine = GuardMachine.TestCase
TestGuardMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
