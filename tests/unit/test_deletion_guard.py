"""plan/deletion_guard.py: what the guard allows, holds and remembers; no order of events gets past the guard."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.cronjobs.labels import region_key
from region_operator.plan.changes import ChangeReason, Delete, Desired, Guarded, Plan, Write
from region_operator.plan.deletion_guard import Decision, guard_stops
from region_operator.plan.guard_memory import GuardState, Hold, RecentStop, RegionKeys
from region_operator.regions.region import Quarantined
from region_operator.regions.schedule import parse_schedule
from region_operator.scheduler import DeletionGuard
from tests.harness.examples import PARIS, live_cronjob

if TYPE_CHECKING:
    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.plan.changes import Change

NOW = datetime(2026, 11, 24, 10, 40, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GUARD = DeletionGuard(max_count=3, max_percent=0, window=10 * MINUTE)


def live(key: str, *, name: str = "", terminating: bool = False) -> LiveCronJob:
    return replace(live_cronjob(name or f"r-{key}", uid=key, terminating=terminating), key=key)


def decide(
    deleted: str,
    *,
    standing: str = "-",
    guard: DeletionGuard = GUARD,
    state: GuardState | None = None,
    approval: str = "",
    now: datetime = NOW,
) -> Decision:
    """Decide on the deletion of regions with keys of one letter each; `standing` are others."""
    current = [live(key) for key in deleted + standing]
    plan = Plan(deletes=tuple(Delete(item) for item in current[: len(deleted)]))
    return guard_stops(plan, current, guard=guard, state=state or GuardState(), approval=approval, now=now)


def goes(decision: Decision) -> str:
    return "".join(delete.live.key for delete in decision.plan.deletes)


def held(decision: Decision) -> str:
    return "".join(change.key for change in decision.held)


def gone(regions: str, *, ago: timedelta = MINUTE) -> GuardState:
    return GuardState(recent=(RecentStop(NOW - ago, frozenset(regions)),))


def holding(hold: Hold) -> GuardState:
    return GuardState(holds={hold.kind: hold})


def approval_of(state: GuardState) -> str:
    return state.holds[Guarded.DELETION].approval


def hold_of(state: GuardState) -> Hold | None:
    return state.holds.get(Guarded.DELETION)


def approve(regions: str) -> GuardState:
    return GuardState(approved={Guarded.DELETION: frozenset(regions)})


def on_hold(regions: str, *, ago: timedelta = MINUTE) -> GuardState:
    return holding(Hold(NOW - ago, frozenset(regions)))


@pytest.mark.parametrize(
    ("deleted", "state", "let_go", "kept"),
    [
        pytest.param("", GuardState(), "", "", id="none"),
        pytest.param("abc", GuardState(), "abc", "", id="few"),
        pytest.param("abcd", GuardState(), "", "abcd", id="too many are held whole"),
        pytest.param("ab", gone("x"), "ab", "", id="few with those before"),
        pytest.param("abc", gone("x"), "", "abc", id="too many with those before"),
        pytest.param("ab", gone("xy", ago=10 * MINUTE), "", "ab", id="a window counts to its last second"),
        pytest.param("ab", gone("xy", ago=10 * MINUTE + timedelta(seconds=1)), "ab", "", id="but no longer"),
        pytest.param("ab", gone("xy", ago=-MINUTE), "", "ab", id="another leader's clock was ahead"),
        pytest.param("abc", gone("abc"), "abc", "", id="again what failed"),
        pytest.param("ab", on_hold("abcdef"), "", "ab", id="those that are back still count"),
        pytest.param("x", on_hold("abcdef"), "x", "", id="all are back, and another goes"),
        pytest.param("ax", on_hold("abcdef"), "", "ax", id="another joins those that are held"),
        pytest.param("d", on_hold("d", ago=60 * MINUTE), "", "d", id="a hold does not end by waiting"),
    ],
)
def test_few_go_and_too_many_are_held(deleted: str, state: GuardState, let_go: str, kept: str) -> None:
    decision = decide(deleted, state=state)
    assert (goes(decision), held(decision)) == (let_go, kept)


@pytest.mark.parametrize(
    ("deleted", "standing", "state", "let_go", "kept"),
    [
        pytest.param("ab", "", GuardState(), "", "ab", id="all of two"),
        pytest.param("a", "", GuardState(), "a", "", id="the only one"),
        pytest.param("a", "b", GuardState(), "a", "", id="one of two"),
        pytest.param("b", "", gone("a"), "", "b", id="then the other"),
        pytest.param("b", "", gone("a", ago=11 * MINUTE), "b", "", id="the other when the window is over"),
        pytest.param("b", "a", gone("a"), "b", "", id="the other, the one being back"),
        pytest.param("a", "", gone("a"), "a", "", id="the only one again, as its deletion failed"),
        pytest.param("ab", "", gone("a"), "", "ab", id="two, of which one was let go and did not"),
        pytest.param("b", "", approve("a"), "b", "", id="the other, the one approved and gone"),
        pytest.param("ab", "", approve("a"), "a", "b", id="the other, the one approved"),
        pytest.param("ab", "", approve("ab"), "ab", "", id="all, approved"),
        pytest.param("ab", "xyz", on_hold("ab"), "", "ab", id="all that stood, and others were created since"),
    ],
)
def test_an_empty_table_is_not_believed_at_once(
    deleted: str, standing: str, state: GuardState, let_go: str, kept: str
) -> None:
    decision = decide(deleted, standing=standing, state=state)
    assert (goes(decision), held(decision)) == (let_go, kept)


def test_what_is_created_amid_a_hold_does_not_widen_the_allowance() -> None:
    tenth = DeletionGuard(max_count=0, max_percent=10)
    first = decide("abcde", standing="x", guard=tenth)
    assert held(first) == "abcde"
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 100)))
    assert held(decide("abcde", standing=many, guard=tenth, state=first.state)) == "abcde"


def test_a_guard_of_a_hundred_percent_is_off() -> None:
    off = DeletionGuard(max_count=0, max_percent=100)
    assert goes(decide("ab", standing="", guard=off)) == "ab"
    one_was_deleted_by_hand = decide("abcd", standing="", guard=off, state=on_hold("abcde"))
    assert (goes(one_was_deleted_by_hand), hold_of(one_was_deleted_by_hand.state)) == ("abcd", None)


def test_while_its_deletion_is_held_a_cronjob_is_kept_true() -> None:
    current = [live("a"), live("b")]
    write: Any = object()
    plan = Plan(deletes=(Delete(current[0], replacement=write), Delete(current[1])))
    assert guard_stops(plan, current, guard=GUARD, state=GuardState(), approval="", now=NOW).plan.writes == (write,)
    off = DeletionGuard(max_percent=100)
    assert guard_stops(plan, current, guard=off, state=GuardState(), approval="", now=NOW).plan.writes == ()


@pytest.mark.parametrize(
    ("guard", "standing", "allowance"),
    [
        (DeletionGuard(), 0, 10),
        (DeletionGuard(), 109, 10),
        (DeletionGuard(), 110, 11),
        (DeletionGuard(max_count=0, max_percent=0), 1000, 0),
        (DeletionGuard(max_count=0, max_percent=100), 1000, 1000),
        (DeletionGuard(max_count=0, max_percent=10), 9, 0),
    ],
)
def test_the_allowance_is_the_greater_of_count_and_percent(guard: DeletionGuard, standing: int, allowance: int) -> None:
    current = [live(str(number)) for number in range(standing)]
    assert guard_stops(Plan(), current, guard=guard, state=GuardState(), approval="", now=NOW).allowance == allowance


def test_percent_is_of_those_that_stood_within_the_window() -> None:
    half = DeletionGuard(max_count=0, max_percent=50, window=10 * MINUTE)
    assert decide("", standing="abcdef", guard=half, state=gone("wxyz")).allowance == 5
    assert decide("", standing="abcdef", guard=half, state=gone("abcd")).allowance == 3  # they came back
    assert decide("", standing="abcdef", guard=half, state=gone("wxyz", ago=11 * MINUTE)).allowance == 3
    going = [live(key, terminating=True) for key in "ab"]
    assert guard_stops(Plan(), going, guard=half, state=GuardState(), approval="", now=NOW).allowance == 0


def test_cronjobs_without_the_label_count_one_by_one() -> None:
    current = [live("", name=f"r-{number}") for number in range(4)]
    plan = Plan(deletes=tuple(map(Delete, current)))
    decision = guard_stops(plan, current, guard=GUARD, state=GuardState(), approval="", now=NOW)
    assert len(decision.held) == 4


def test_two_cronjobs_of_one_region_count_once() -> None:
    current = [live(key, name=f"{key}-{number}") for key in "abcd" for number in range(2)]
    plan = Plan(deletes=tuple(map(Delete, current[:6])))
    assert len(guard_stops(plan, current, guard=GUARD, state=GuardState(), approval="", now=NOW).plan.deletes) == 6


def test_what_goes_is_remembered_from_its_last_try_on() -> None:
    state = decide("ab", state=gone("bx")).state
    assert state.recent == (RecentStop(NOW - MINUTE, frozenset("x")), RecentStop(NOW, frozenset("ab")))


def test_nothing_to_do_changes_nothing_that_is_remembered() -> None:
    old = gone("x", ago=timedelta(days=1, seconds=1))
    assert decide("", state=old).state == old
    assert decide("a", state=old).state == GuardState(recent=(RecentStop(NOW, frozenset("a")),))


def test_a_hold_that_lasts_changes_nothing_that_is_remembered() -> None:
    state = decide("abcde", state=gone("x", ago=timedelta(days=1))).state
    assert decide("abcde", state=state, now=NOW + timedelta(hours=1)).state == state


def test_a_hold_is_approved_by_its_name_and_goes_at_once() -> None:
    state = decide("abcde").state
    decision = decide("abcde", state=state, approval=approval_of(state), now=NOW + MINUTE)
    assert (goes(decision), held(decision)) == ("abcde", "")
    assert decision.state == approve("abcde")


def test_a_subset_of_what_was_approved_stays_approved() -> None:
    approved = approve("abcde")
    decision = decide("cde", state=approved)
    assert goes(decision) == "cde"
    assert decision.state == approve("cde")
    assert decide("", state=decision.state).state == GuardState()


def test_a_row_that_is_back_does_not_outdate_the_approval_but_is_not_covered_by_it() -> None:
    first = decide("abcde").state
    fewer = decide("abcd", state=first, now=NOW + MINUTE)
    assert fewer.state == first
    decision = decide("abcd", state=fewer.state, approval=approval_of(first))
    assert goes(decision) == "abcd"
    assert decision.state == approve("abcd")


def test_an_approval_does_not_cover_who_joined_since() -> None:
    first = decide("abcde").state
    more = decide("abcdef", state=first, now=NOW + MINUTE)
    assert hold_of(more.state) == Hold(NOW + MINUTE, frozenset("abcdef"))
    assert held(decide("abcdef", state=more.state, approval=approval_of(first))) == "abcdef"
    at_once = decide("abcdevwxyz", state=first, approval=approval_of(first))
    assert (goes(at_once), held(at_once)) == ("abcde", "vwxyz")


def test_an_approval_that_is_left_there_approves_no_later_hold_of_the_same_regions() -> None:
    first = decide("abcde").state
    over = decide("", state=first, approval=approval_of(first)).state
    assert over == GuardState()
    again = decide("abcde", state=over, approval=approval_of(first), now=NOW + MINUTE)
    assert held(again) == "abcde"
    assert held(decide("abcde", state=again.state, approval=approval_of(first))) == "abcde"


def test_approved_deletions_use_up_no_allowance() -> None:
    assert goes(decide("abcdefgh"[:3], state=decide("vwxyz", state=approve("vwxyz")).state))


regions = st.frozensets(st.sampled_from("abcdefghijklmnop"))
steps = st.lists(
    st.tuples(
        st.timedeltas(min_value=timedelta(0), max_value=6 * MINUTE), regions, st.sampled_from(["", "fail", "crash"])
    ),
    max_size=30,
)


@given(steps, st.integers(0, 5), regions)
def test_no_order_of_events_gets_more_past_the_guard_than_it_allows(
    events: list[tuple[timedelta, RegionKeys, str]], count: int, start: RegionKeys
) -> None:
    """The table changes at will, deletions fail, the process dies before them: within no window do more regions go."""
    guard = DeletionGuard(max_count=count, max_percent=0, window=10 * MINUTE)
    status: dict[str, object] = {}
    cluster, moment = set(start), NOW
    went: list[tuple[datetime, str]] = []
    for passed, rows, fate in events:
        moment += passed
        current = [live(key) for key in sorted(cluster)]
        plan = Plan(deletes=tuple(Delete(item) for item in current if item.key not in rows))
        decision = guard_stops(
            plan, current, guard=guard, state=GuardState.from_status(status), approval="", now=moment
        )
        assert set(goes(decision)) | set(held(decision)) == cluster - rows
        assert not set(goes(decision)) & set(held(decision))
        status = decision.state.to_status()
        if fate != "crash":
            deletes = decision.plan.deletes[1:] if fate == "fail" else decision.plan.deletes
            went += [(moment, delete.live.key) for delete in deletes]
            cluster -= {delete.live.key for delete in deletes}
            cluster |= rows
    for begin, _ in went:
        assert len({key for at, key in went if begin <= at <= begin + guard.window}) <= count


@given(regions, regions, regions)
def test_an_approval_lets_go_what_was_named_and_nothing_else(
    named: RegionKeys, now_missing: RegionKeys, back: RegionKeys
) -> None:
    guard = DeletionGuard(max_count=0, max_percent=0)
    missing = now_missing - back
    state = holding(Hold(NOW, named))
    decision = decide("".join(missing), guard=guard, state=state, approval=approval_of(state))
    assert set(goes(decision)) == named & missing
    assert set(held(decision)) == missing - named
    later = decide("".join(now_missing), guard=guard, state=decision.state, approval=approval_of(state))
    assert set(goes(later)) == named & missing


def test_a_duplicate_goes_and_is_no_region_that_goes() -> None:
    current = [live(key) for key in "abcdefgh"]
    plan = Plan(deletes=tuple(Delete(item, ChangeReason.DUPLICATE) for item in current))
    decision = guard_stops(plan, current, guard=GUARD, state=GuardState(), approval="", now=NOW)
    assert (goes(decision), held(decision), decision.state) == ("abcdefgh", "", GuardState())


def stop(key: str, kind: Guarded) -> Write:
    """Return the write that stops a region, with what is written in its place while it is held."""
    desired = Desired(PARIS, parse_schedule("@daily"))
    instead = Write(ChangeReason.RESTORED, desired, f"r-{key}", live(key))
    return replace(instead, guarded=kind, replacement=instead)


def decide_all(
    deleted: str = "",
    spoiled: str = "",
    slowed: str = "",
    *,
    standing: str = "vwxyz",
    state: GuardState | None = None,
    approval: str = "",
    now: datetime = NOW,
) -> Decision:
    """Decide on a plan that deletes, suspends and slows down regions. The rows of `spoiled` stay bad."""
    plan = Plan(
        writes=tuple(
            stop(key, kind)
            for kind, keys in ((Guarded.QUARANTINE, spoiled), (Guarded.SLOWDOWN, slowed))
            for key in keys
        ),
        deletes=tuple(Delete(live(key)) for key in deleted),
        quarantined=tuple(Quarantined(key, key, "bad") for key in spoiled),
    )
    current = [live(key) for key in deleted + spoiled + slowed + standing]
    return guard_stops(plan, current, guard=GUARD, state=state or GuardState(), approval=approval, now=now)


def stops(decision: Decision) -> str:
    changes: list[Change] = [*decision.plan.deletes, *(write for write in decision.plan.writes if write.guarded)]
    return "".join(sorted(change.key for change in changes))


@pytest.mark.parametrize(
    ("deleted", "spoiled", "slowed", "let_stop"),
    [
        ("a", "b", "c", "abc"),
        ("a", "b", "cd", ""),
        ("", "abc", "", "abc"),
        ("", "abcd", "", ""),
        ("", "", "abcd", ""),
        ("abcd", "", "", ""),
    ],
)
def test_what_stops_counts_whatever_the_way_and_none_stops_beyond_the_allowance(
    deleted: str, spoiled: str, slowed: str, let_stop: str
) -> None:
    decision = decide_all(deleted, spoiled, slowed)
    assert stops(decision) == let_stop
    kept = "" if let_stop else spoiled + slowed
    assert "".join(write.key for write in decision.plan.writes if not write.guarded) == kept, "they run on"
    asked = {Guarded.DELETION: deleted, Guarded.QUARANTINE: spoiled, Guarded.SLOWDOWN: slowed}
    assert decision.state.holds.keys() == {kind for kind, keys in asked.items() if keys and not let_stop}


def test_rows_that_stay_bad_freeze_no_deletion() -> None:
    state = decide_all(spoiled="abcdefghij").state
    for number, key in enumerate("klm"):
        decision = decide_all(key, "abcdefghij", state=state, now=NOW + number * MINUTE)
        assert (stops(decision), len(decision.held)) == (key, 10)
        state = decision.state
    assert stops(decide_all("n", "abcdefghij", state=state, now=NOW + 3 * MINUTE)) == "", "those count as ever"


def test_an_approval_is_of_one_kind() -> None:
    first = decide_all(spoiled="abcd").state
    approval = first.holds[Guarded.QUARANTINE].approval
    assert approval != Hold(NOW, frozenset("abcd")).approval
    assert stops(decide_all(spoiled="abcd", state=first, approval=approval)) == "abcd"
    assert stops(decide_all("abcd", state=first, approval=approval)) == ""


def test_a_row_that_is_mended_leaves_the_count_at_once() -> None:
    spoiled = decide_all(spoiled="abc").state
    assert stops(decide_all("d", state=spoiled, standing="abcxyz")) == "d"
    assert stops(decide_all("de", state=spoiled, standing="abcxyz")) == "de"
    still_bad = Plan(deletes=(Delete(live("d")),), quarantined=tuple(Quarantined(key, key, "bad") for key in "abc"))
    by_key = replace(spoiled, recent=(RecentStop(NOW, frozenset(map(region_key, "abc")), Guarded.QUARANTINE),))
    decision = guard_stops(still_bad, [live(key) for key in "dxyz"], guard=GUARD, state=by_key, approval="", now=NOW)
    assert stops(decision) == ""


def test_a_region_that_went_and_came_back_counts_also_when_its_bad_row_is_mended() -> None:
    went = decide_all("ab").state
    spoiled = decide_all(spoiled="a", state=went, standing="bvwxyz", now=NOW + MINUTE).state
    mended = decide_all("cd", state=spoiled, standing="avwxyz", now=NOW + 2 * MINUTE)
    assert stops(mended) == "", "a, b and two more are four"


def test_within_a_day_three_allowances_may_stop() -> None:
    """One region a quarter of an hour is never too many for the window."""
    state, regions_left, at = GuardState(), [chr(0x4E00 + number) for number in range(40)], NOW
    gone_within_a_day = 0
    while at < NOW + timedelta(hours=23):
        key = regions_left[0]
        decision = decide(key, standing="".join(regions_left[1:]), state=state, now=at)
        state = decision.state
        if goes(decision):
            gone_within_a_day += 1
            regions_left.pop(0)
        at += 15 * MINUTE
    assert gone_within_a_day == 3 * GUARD.max_count
    assert state.holds


def test_what_went_more_than_a_day_ago_is_forgotten_and_the_status_keeps_hours_not_minutes() -> None:
    state, at = GuardState(), NOW
    for number in range(400):
        at += 11 * MINUTE
        state = guard_stops(
            Plan(deletes=(Delete(live(str(number))),)),
            [live(str(number)), live("x"), live("y")],
            guard=DeletionGuard(max_count=300),
            state=state,
            approval="",
            now=at,
        ).state
    assert len(state.recent) <= 27
    assert min(item.at for item in state.recent) >= at - timedelta(days=1)
    assert sum(len(item.regions) for item in state.recent) >= 24 * 60 // 11


def unknown(*, ago: timedelta, regions: str = "") -> GuardState:
    return replace(gone(regions, ago=MINUTE) if regions else GuardState(), unknown_before=NOW - ago)


@pytest.mark.parametrize(
    ("deleted", "state", "let_go", "kept"),
    [
        pytest.param("a", unknown(ago=timedelta()), "", "a", id="at once: not one"),
        pytest.param("a", unknown(ago=10 * MINUTE), "", "a", id="to the window's last second"),
        pytest.param("abc", unknown(ago=11 * MINUTE), "abc", "", id="later: an allowance"),
        pytest.param("ab", unknown(ago=11 * MINUTE, regions="xy"), "", "ab", id="but one for the day"),
        pytest.param(
            "ab", replace(gone("xy", ago=30 * MINUTE), unknown_before=NOW - 50 * MINUTE), "", "ab", id="all day"
        ),
        pytest.param("abc", unknown(ago=timedelta(days=1, seconds=1)), "abc", "", id="a day later as ever"),
    ],
)
def test_where_the_past_is_unknown_the_allowance_is_used_up(
    deleted: str, state: GuardState, let_go: str, kept: str
) -> None:
    decision = decide(deleted, standing="-" * 30, state=state)
    assert (goes(decision), held(decision)) == (let_go, kept)


def test_an_unknown_past_is_remembered_for_a_day_and_holds_nothing_that_is_approved_or_unguarded() -> None:
    fresh = unknown(ago=timedelta())
    first = decide("a", state=fresh)
    assert first.state.unknown_before == NOW
    assert first.is_past_unknown
    assert goes(decide("a", state=first.state, approval=approval_of(first.state))) == "a"
    assert goes(decide("a", state=fresh, guard=GUARD.model_copy(update={"max_percent": 100}))) == "a"
    assert decide("", state=fresh, now=NOW + timedelta(days=1)).is_past_unknown
    assert not decide("", state=fresh, now=NOW + timedelta(days=1, seconds=1)).is_past_unknown


def test_a_window_that_is_longer_than_a_day_is_unknown_to_its_end() -> None:
    long = GUARD.model_copy(update={"window": timedelta(days=3)})
    assert held(decide("a", state=unknown(ago=timedelta(days=3)), guard=long)) == "a"
    assert goes(decide("a", state=unknown(ago=timedelta(days=3, seconds=1)), guard=long)) == "a"
