"""The operator's decisions under any sequence of edits of the table, the RegionScheduler and the CronJobs.

A model of what the operator promises, whatever happens:

- No code ticks twice.
- No more regions stop within the window, or within a day, than `spec.deletionGuard` lets, unless a person approved it.
- While ticks would be lost, no more regions tick far more often than may stop, unless a person approved it.
- What is held is changed by an approval that names it, and by no other.
- The status names what is held, and nothing else.
- Nothing foreign is touched.
- When the table stands still, the cluster becomes equal to it.

The operator is `plan.decide`, with the status as its only memory; a restart forgets all else.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from region_operator.cronjobs.labels import PAUSED_ANNOTATION, cronjob_name, region_key
from region_operator.plan import deletion_guard, growth_guard, plan, planner
from region_operator.plan.changes import Delete, Guarded, Write
from region_operator.plan.decide import Decided, Decider
from region_operator.plan.guard_memory import NONE, GuardState, Hold, update_hold
from region_operator.plan.speedup_guard import guard_speedups
from region_operator.plan.status import status_with_guard
from region_operator.plan.taken_over import TakeOver
from region_operator.regions.region import RegionRow
from region_operator.regions.schedule import parse_schedule
from region_operator.scheduler import APPROVAL_ANNOTATION, Scheduler
from tests.harness.examples import finish
from tests.unit.guard_world import SOURCE, Namespace, Record, Row, Stop, keys_of, seeded_anew

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.plan.changes import Change
    from region_operator.plan.deletion_guard import Decision

STEPS_AT_ONCE = 50
STEPS = int(os.environ.get("GUARD_MODEL_STEPS", "5000"))
pytestmark = pytest.mark.timeout(600 + STEPS // 20)
WINDOW, DAY = timedelta(minutes=10), timedelta(days=1)
FAST, SLOW, BAD = "* * * * *", "0 0 1 * *", "61 * * * *"
SCHEDULES = (FAST, "*/2 * * * *", "*/15 * * * *", "0 */6 * * *", SLOW)
ROUNDS = 15
"""After so many reconciles of a table that stands still all must be done."""
RUNS = 8
"""In so many runs of 5,000 steps a planted bug must be found."""

numbers = st.integers(0, 11)
some = st.frozensets(numbers, min_size=1)
edit = partial(rule, at_once=st.booleans())
"""A rule that changes something, and perhaps wakes the operator."""


class GuardModel(RuleBasedStateMachine):
    """A table, a namespace, a RegionScheduler, and an operator."""

    @initialize(rows=st.integers(1, 12), count=st.integers(0, 3), percent=st.sampled_from([0, 20, 50]))
    def begin(self, rows: int, count: int, percent: int) -> None:
        self.rows = [Row(f"id{number}", f"C{number}", FAST) for number in range(rows)]
        self.before = list(self.rows)
        self.names = 0
        self.namespace = Namespace()
        self.namespace.make_foreign("backup")
        self.spec: dict[str, Any] = {"maxRegions": 50}
        self.the_guard_is_edited(count, percent, at_once=False)
        self.status: dict[str, Any] = {}
        self.annotation = ""
        self.overcommitted = False
        self.record = Record()
        self.restart(at_once=True)

    # what people do to the table

    @edit(which=some)
    def rows_go(self, which: frozenset[int], at_once: bool) -> None:
        self.before = list(self.rows)
        self.rows = [row for number, row in enumerate(self.rows) if number not in which]
        self.wake(at_once)

    @rule(count=st.integers(2, 12))
    def rows_go_one_by_one(self, count: int) -> None:
        for _ in range(count):
            self.rows = self.rows[1:]
            self.time_passes(11)

    @edit()
    def all_rows_go(self, at_once: bool) -> None:
        self.rows_go(frozenset(range(99)), at_once)

    @edit()
    def the_table_is_restored(self, at_once: bool) -> None:
        self.rows = list(self.before)
        self.wake(at_once)

    @edit(count=st.integers(1, 6))
    def rows_come(self, count: int, at_once: bool) -> None:
        self.rows += [Row(self.name("id"), self.name("C"), FAST) for _ in range(count)]
        self.wake(at_once)

    @edit()
    def the_table_is_seeded_anew(self, at_once: bool) -> None:
        self.before = list(self.rows)
        self.rows = seeded_anew(self.rows, self.name("id"))
        self.wake(at_once)

    @edit(which=numbers)
    def an_id_is_changed(self, which: int, at_once: bool) -> None:
        self.change({which}, at_once, id=self.name("id"))

    @edit(which=numbers, code=st.integers(0, 9))
    def a_code_is_changed(self, which: int, code: int, at_once: bool) -> None:
        self.change({which}, at_once, code=f"C{code}")

    @edit(one=numbers, other=numbers)
    def codes_are_swapped(self, one: int, other: int, at_once: bool) -> None:
        if max(one, other) < len(self.rows):
            codes = self.rows[one].code, self.rows[other].code
            self.rows[one] = replace(self.rows[one], code=codes[1])
            self.rows[other] = replace(self.rows[other], code=codes[0])
        self.wake(at_once)

    @edit(which=some, cron=st.sampled_from(SCHEDULES))
    def schedules_are_changed(self, which: frozenset[int], cron: str, at_once: bool) -> None:
        self.change(which, at_once, cron=cron)

    @edit(which=some, column=st.sampled_from([{"cron": BAD}, {"code": None}, {"name": "\n"}]))
    def rows_are_spoilt(self, which: frozenset[int], column: dict[str, Any], at_once: bool) -> None:
        self.before = list(self.rows)
        self.change(which, at_once, **column)

    @edit()
    def all_schedules_are_spoilt(self, at_once: bool) -> None:
        self.rows_are_spoilt(frozenset(range(99)), {"cron": BAD}, at_once)

    @edit(which=numbers)
    def a_row_is_there_twice(self, which: int, at_once: bool) -> None:
        self.rows += self.rows[which : which + 1]
        self.wake(at_once)

    @edit(which=numbers)
    def another_row_has_the_code(self, which: int, at_once: bool) -> None:
        self.rows += [replace(row, id=self.name("id")) for row in self.rows[which : which + 1]]
        self.wake(at_once)

    # what people do to the RegionScheduler

    @edit()
    def all_are_suspended_or_resumed(self, at_once: bool) -> None:
        self.spec["suspend"] = not self.spec.get("suspend", False)
        self.wake(at_once)

    @edit(policy=st.sampled_from(["Suspend", "KeepLast"]))
    def bad_rows_are_treated_in_another_way(self, policy: str, at_once: bool) -> None:
        self.spec["invalidSchedule"] = policy
        self.wake(at_once)

    @edit(count=st.integers(0, 3), percent=st.sampled_from([0, 20, 50]))
    def the_guard_is_edited(self, count: int, percent: int, at_once: bool) -> None:
        self.spec["deletionGuard"] = {"maxCount": count, "maxPercent": percent, "window": "10m"}
        self.wake(at_once)

    @edit(limit=st.integers(1, 12))
    def there_is_less_room(self, limit: int, at_once: bool) -> None:
        self.spec["maxRegions"] = limit
        self.wake(at_once)

    @edit(kind=st.sampled_from(Guarded))
    def somebody_approves(self, kind: Guarded, at_once: bool) -> None:
        if hold := GuardState.from_status(self.status).holds.get(kind):
            self.annotation = hold.approval
        self.wake(at_once)

    @edit(overcommitted=st.booleans())
    def ticks_fit_or_do_not(self, overcommitted: bool, at_once: bool) -> None:
        self.overcommitted = overcommitted
        self.wake(at_once)

    # what people do to CronJobs

    @edit(which=numbers)
    def a_cronjob_is_deleted(self, which: int, at_once: bool) -> None:
        for live in [*self.namespace.ours()][which : which + 1]:
            self.namespace.remove(live.name)
        self.wake(at_once)

    @edit(which=numbers, suspend=st.booleans())
    def a_cronjob_is_edited(self, which: int, suspend: bool, at_once: bool) -> None:
        for live in [*self.namespace.ours()][which : which + 1]:
            self.namespace.edit(live.name, suspend=suspend)
        self.wake(at_once)

    @edit(which=numbers, paused=st.sampled_from(["true", "false"]))
    def a_cronjob_is_paused(self, which: int, paused: str, at_once: bool) -> None:
        for live in [*self.namespace.ours()][which : which + 1]:
            self.namespace.edit(live.name, annotation=(PAUSED_ANNOTATION, paused))
        self.wake(at_once)

    @edit(which=numbers)
    def another_takes_the_name_of_a_cronjob(self, which: int, at_once: bool) -> None:
        for row in self.rows[which : which + 1]:
            self.namespace.make_foreign(cronjob_name(RegionRow(SOURCE, row.id, row.code or "", "", None, "")))
        self.wake(at_once)

    # what happens to the operator

    @rule(minutes=st.sampled_from([1, 4, 11, 300, 1450]))
    def time_passes(self, minutes: int) -> None:
        self.namespace.now += timedelta(minutes=minutes)
        self.reconcile()

    @edit()
    def restart(self, at_once: bool) -> None:
        self.operator = Decider(tick_image="tick")
        self.wake(at_once)

    @rule(failing=st.frozensets(st.integers(0, 15)))
    def some_changes_fail(self, failing: frozenset[int]) -> None:
        self.reconcile(failing=failing)

    @rule()
    def it_dies_when_the_status_is_written(self) -> None:
        self.reconcile(failing=range(99))
        self.restart(at_once=False)

    @rule(read=st.integers(0, 4))
    def not_all_rows_are_read(self, read: int) -> None:
        self.reconcile(read=read)

    @rule()
    def it_reconciles_twice(self) -> None:
        self.reconcile()
        self.reconcile()

    def teardown(self) -> None:
        if hasattr(self, "operator"):
            self.it_settles()

    # the operator

    def wake(self, at_once: bool) -> None:
        if at_once:
            self.reconcile()

    def reconcile(self, *, failing: Collection[int] = (), read: int | None = None) -> bool:
        """Reconcile as the operator does. The changes with the numbers `failing` fail. Return whether one was made."""
        self.namespace.now += timedelta(seconds=1)
        decided = self.decide(read)
        decision = decided.decision
        changes: list[Change] = [*decision.plan.writes, *decision.plan.deletes]
        stood = {live.key for live in self.namespace.ours()}
        stops = [
            Stop(self.namespace.now, *stop)
            for number, change in enumerate(changes)
            if number not in failing and (stop := self.make(change, decided)) and stop not in self.record.may
        ]
        self.record.stops += stops
        if stops:
            self.no_more_stop_than_may(stood)
        if not failing:
            codes = [live.told_code for live in self.namespace.ours()]
            assert len(codes) == len(set(codes)), f"a code ticks twice: {codes}"
        return bool(changes)

    def decide(self, read: int | None) -> Decided:
        """Decide, check the decision, and write the status."""
        scheduler = self.scheduler()
        complete = read is None or read >= len(self.rows)
        rows = self.rows if complete else self.rows[:read]
        deciding = self.operator.decide(
            [row.as_read() for row in rows],
            self.namespace.cronjobs(),
            scheduler,
            source=SOURCE,
            take_over=TakeOver(),
            complete=complete,
            now=self.namespace.now,
        )
        decided = finish(deciding)
        decision = guard_speedups(
            decided.decision,
            overcommitted=self.overcommitted,
            approval=self.annotation,
            now=self.namespace.now,
        )
        decided = replace(decided, decision=decision)
        self.what_is_held_is_kept(decided, read=None if complete else keys_of(rows))
        self.status = status_with_guard(scheduler, decided.decision, now=self.namespace.now)
        self.the_status_names_what_is_held(decision, complete=complete)
        bad = {region_key(row.id) for row in decided.plan.quarantined}
        self.record.stops = [
            stop for stop in self.record.stops if stop.kind is not Guarded.QUARANTINE or stop.key in bad
        ]
        return decided

    def scheduler(self) -> Scheduler:
        meta = {"name": "default", "namespace": "n", "uid": "u", "generation": 1, "resourceVersion": "1"}
        annotations = {APPROVAL_ANNOTATION: self.annotation} if self.annotation else {}
        return Scheduler.from_object(
            {"metadata": meta | {"annotations": annotations}, "spec": self.spec, "status": self.status}
        )

    def make(self, change: Change, decided: Decided) -> tuple[Guarded, str] | None:
        """Make a change. Return the region that stops, and why, if one does."""
        stop = self.stop_by(change, decided)
        if isinstance(change, Delete):
            assert change.live.name not in self.namespace.foreign, "what is foreign is deleted"
            self.namespace.remove(change.live.name)
            if change.successor:
                self.make(change.successor, decided)
            return stop
        assert change.name not in self.namespace.foreign, "what is foreign is overwritten"
        if change.live is None:
            self.nobody_else_has_the_code(change, decided)
        self.namespace.put(change.name, decided.render(change.desired, change.name))
        return stop

    def stop_by(self, change: Change, decided: Decided) -> tuple[Guarded, str] | None:
        """Return which region stops ticking by a change, judged by the CronJob before and after."""
        if isinstance(change, Delete):
            return (Guarded.DELETION, change.live.key)
        if change.live is None or change.live.suspended or change.live.quarantined:
            return None
        after = decided.render(change.desired, change.name)["spec"]
        if after["suspend"]:
            stands_still = not self.spec.get("suspend") and not change.live.paused
            return (Guarded.QUARANTINE, change.key) if stands_still else None
        slower = interval(after["schedule"]) > 10 * interval(change.live.schedule)
        return (Guarded.SLOWDOWN, change.key) if slower else None

    # what is promised

    def nobody_else_has_the_code(self, creation: Write, decided: Decided) -> None:
        code = creation.desired.region.code
        renamed = {write.name for write in decided.decision.plan.writes if write.desired.region.code != code}
        others = [live.name for live in self.namespace.ours() if live.told_code == code and live.name not in renamed]
        assert not others, f"{creation.name} is created for code {code} beside {others}"

    def no_more_stop_than_may(self, stood: Collection[str]) -> None:
        guard = self.spec["deletionGuard"]
        for within, factor in ((WINDOW, 1), (DAY, 3)):
            stopped = {stop.key for stop in self.record.stops if self.namespace.now - stop.at <= within}
            allowance = max(guard["maxCount"], len({*stood, *stopped}) * guard["maxPercent"] // 100)
            assert len(stopped) <= factor * allowance, f"{len(stopped)} regions stopped within {within}"

    def what_is_held_is_kept(self, decided: Decided, *, read: set[str] | None) -> None:
        """Check it. `read` are the regions whose rows were read, if not all were."""
        plan, decision, record = decided.plan, decided.decision, self.record
        asked = guarded([*plan.writes, *plan.deletes])
        unread = {
            (kind, key)
            for kind, key in record.held | record.may
            if kind is Guarded.DELETION and read is not None and key not in read
        }
        for kind, hold in GuardState.from_status(self.status).holds.items():
            if hold.approval == self.annotation:
                record.may |= {(kind, key) for key in hold.held} & asked
        record.may &= asked | unread
        record.held = (record.held & (asked | unread)) - record.may
        if decided.room.excess:
            record.held = {of for of in record.held if of[0] is not Guarded.CREATION}
        if not self.overcommitted:
            record.held = {of for of in record.held if of[0] is not Guarded.SPEEDUP}
        made = guarded([*decision.plan.writes, *decision.plan.deletes])
        assert not made & record.held, f"held and done all the same: {made & record.held}"
        assert made <= asked
        assert not made & guarded(decision.held)
        faster = {of for of in made - record.may if of[0] is Guarded.SPEEDUP}
        assert not (self.overcommitted and len(faster) > decision.allowance), f"too many speed up: {faster}"
        record.held |= guarded(decision.held)

    def the_status_names_what_is_held(self, decision: Decision, *, complete: bool) -> None:
        holds = GuardState.from_status(self.status).holds
        for kind in Guarded:
            named = {(kind, key) for key in holds[kind].held} if kind in holds else set()
            if complete or kind is not Guarded.DELETION:
                assert named == guarded(decision.held_of(kind)), f"the status has other {kind}s"

    def it_settles(self) -> None:
        """Let the table stand still, and approve what is held: cluster and table become equal."""
        self.spec["maxRegions"] = 50_000
        for name in [name for name in self.namespace.foreign if name != "backup"]:
            self.namespace.remove(name)
        for _ in range(ROUNDS):
            changed = self.reconcile()
            holds = GuardState.from_status(self.status).holds
            if not changed and not holds:
                break
            self.annotation = next((hold.approval for hold in holds.values()), self.annotation)
        else:
            raise AssertionError("the operator does not come to an end")
        assert "backup" in self.namespace.objects
        self.cluster_and_table_are_equal()

    def cluster_and_table_are_equal(self) -> None:
        found = {live.key: live for live in self.namespace.ours()}
        assert found.keys() <= keys_of(self.rows), "a CronJob without a row"
        good = {region_key(row.id): row for row in self.rows if self.is_good(row)}
        owners = {key: live.key for key, row in good.items() for live in found.values() if live.told_code == row.code}
        waiting = {key: owner for key, owner in owners.items() if owner != key}
        for key, row in good.items():
            if key in waiting:
                assert self.end_of(key, waiting) not in good, f"{row} waits for a good row"
            else:
                assert key in found, f"{row} has no CronJob"
                self.is_followed(found[key], row)
        bad = {region_key(row.id) for row in self.rows if self.is_bad(row)}
        for key in found.keys() & bad:
            assert found[key].suspended or self.spec.get("invalidSchedule") == "KeepLast", f"{found[key].name} runs on"

    def end_of(self, key: str, waiting: Mapping[str, str]) -> str:
        """Return the region for which all regions of a queue wait. A ring of them must not wait for itself."""
        seen = {key}
        while (key := waiting[key]) in waiting:
            assert key not in seen, "regions wait for each other"
            seen.add(key)
        return key

    def is_followed(self, live: LiveCronJob, row: Row) -> None:
        suspended = bool(self.spec.get("suspend")) or live.paused
        assert (live.told_code, live.schedule, live.suspended) == (row.code, row.cron, suspended)

    def is_good(self, row: Row) -> bool:
        return not self.is_bad(row) and [other.code for other in self.rows].count(row.code) == 1

    def is_bad(self, row: Row) -> bool:
        """Tell whether a row cannot be scheduled, whatever the other codes."""
        twice = [other.id for other in self.rows].count(row.id) > 1
        return twice or row.cron == BAD or row.name == "\n" or row.code is None

    def change(self, which: Collection[int], at_once: bool, **values: Any) -> None:
        self.rows = [replace(row, **values) if number in which else row for number, row in enumerate(self.rows)]
        self.wake(at_once)

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}n{self.names}"


def guarded(changes: Collection[Change]) -> set[tuple[Guarded, str]]:
    return {(change.guarded, change.key) for change in changes if change.guarded}


def interval(cron: str) -> timedelta:
    return parse_schedule(cron).mean_interval()


def run(machine: type[GuardModel], steps: int, *phases: Phase) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=steps // STEPS_AT_ONCE,
            stateful_step_count=STEPS_AT_ONCE,
            deadline=None,
            database=None,
            phases=phases,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def run_often() -> None:
    """Take the same steps each time, whatever the text of the model: its seeds are fixed."""
    for number in range(RUNS):
        seeded: type[GuardModel] = seed(number)(type("Seeded", (GuardModel,), {}))
        run(seeded, 5000, Phase.generate)


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model has a dozen regions at most, so four new ones are too many."""
    monkeypatch.setattr(growth_guard, "LEAST_GROWTH", 3)


def test_whatever_happens_the_promises_hold() -> None:
    run(GuardModel, STEPS, Phase.generate, Phase.shrink)


@pytest.mark.parametrize("approved_before", [True, False])
def test_who_comes_back_in_a_reading_of_some_rows_is_neither_held_nor_approved_any_more(approved_before: bool) -> None:
    model = GuardModel()
    model.begin(rows=6, count=1, percent=0)
    gone = frozenset({0, 1})
    model.rows_go(gone, at_once=True)
    approval = GuardState.from_status(model.status).holds[Guarded.DELETION].approval
    if approved_before:
        model.annotation = approval
        model.reconcile(failing=range(99))
    model.the_table_is_restored(at_once=False)
    model.reconcile(read=4)
    model.rows_go(gone, at_once=False)
    model.annotation = approval
    model.reconcile()
    assert len(list(model.namespace.ours())) == 6


def recall_by_row(planner: Any, key: str, row: object, _: object, __: object) -> object:
    known = planner._planned.get(key)
    return known if known and known.row == row else None


def approve_whatever_is_held(state: GuardState, kind: Guarded, approval: str) -> frozenset[str]:
    hold = state.holds.get(kind)
    return hold.regions if hold and approval else NONE


def keep_all(hold: Hold | None, held: frozenset[str], kind: Guarded, now: datetime) -> Hold | None:
    return hold if hold and held and held <= hold.regions else update_hold(None, held, kind, now)


@pytest.mark.parametrize(
    ("owner", "name", "bug", "promise"),
    [
        pytest.param(planner, "find_code_owners", lambda *_: {}, "beside|twice", id="a new id is a new region"),
        pytest.param(plan, "_guard", lambda write, *_, **__: write, "stopped", id="bad rows do not count"),
        pytest.param(GuardState, "is_approved", approve_whatever_is_held, "held|stopped", id="any approval will do"),
        pytest.param(plan, "_blocked", lambda *_: None, "foreign is", id="a name is taken by force"),
        pytest.param(deletion_guard, "update_hold", keep_all, "status has", id="a hold does not shrink"),
        pytest.param(deletion_guard, "DAILY_FACTOR", 100, "within 1 day", id="a day has no ceiling"),
        pytest.param(
            planner.Planner,
            "_recall",
            recall_by_row,
            "code|is_followed|suspended|runs on|followed|end|assert",
            id="a CronJob that changed is not looked at",
        ),
    ],
)
def test_a_planted_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, bug: Callable[..., Any], promise: str
) -> None:
    monkeypatch.setattr(owner, name, bug)
    with pytest.raises(AssertionError, match=promise):
        run_often()
