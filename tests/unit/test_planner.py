"""plan/planner.py: only what changed is planned, and the plan is that of a first look."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from region_operator.cronjobs.labels import SuspendedBy, cronjob_name, region_key
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.render import render_cronjob
from region_operator.plan import planner as planner_module
from region_operator.plan.changes import ChangeReason
from region_operator.plan.planner import Planner
from region_operator.regions.region import Quarantined, RegionRow
from region_operator.regions.schedule import parse_schedule
from tests.harness.examples import PARIS, applied, scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from region_operator.plan.changes import Desired, Plan

REGIONS = [replace(PARIS, id=str(number), code=f"R{number}") for number in range(4)]


def render(desired: Desired, name: str) -> dict[str, Any]:
    return render_cronjob(
        desired.region, desired.schedule, scheduler(), name=name, tick_image="tick:1", suspended_by=desired.suspended_by
    )


def live(region: RegionRow, *, version: int = 1, suspended: bool = False) -> LiveCronJob:
    manifest = render_cronjob(
        region,
        parse_schedule(region.cron_schedule),
        scheduler(),
        name=cronjob_name(region),
        tick_image="tick:1",
        suspended_by=SuspendedBy.QUARANTINE if suspended else None,
    )
    return replace(LiveCronJob.from_object(applied(manifest)), resource_version=str(version))


def plan(
    planner: Planner,
    rows: Sequence[RegionRow | Quarantined],
    current: Sequence[LiveCronJob],
    *,
    common: str = "",
    foreign_names: frozenset[str] = frozenset(),
) -> tuple[Plan, int]:
    """Return the plan, and how many regions were planned for it."""
    work = planner.plan(rows, current, render=render, keep_last=False, foreign_names=foreign_names, common=common)
    planned = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value, planned
        planned += 1


def test_what_stayed_the_same_is_not_planned_again() -> None:
    planner = Planner()
    current = [live(region) for region in REGIONS]
    assert plan(planner, REGIONS, current)[1] == 4
    outcome, planned = plan(planner, [replace(region) for region in REGIONS], current)
    assert (outcome.unchanged, len(outcome), planned) == (4, 0, 0)
    ticked = [live(region, version=2) for region in REGIONS]
    assert plan(planner, REGIONS, ticked)[1] == 0
    moved = [replace(REGIONS[0], cron_schedule="@hourly"), *REGIONS[1:]]
    outcome, planned = plan(planner, moved, ticked)
    assert ([write.desired.region for write in outcome.writes], planned) == ([moved[0]], 1)


def test_what_all_share_concerns_all() -> None:
    planner = Planner()
    current = [live(region) for region in REGIONS]
    plan(planner, REGIONS, current)
    assert plan(planner, REGIONS, current, common="another release")[1] == 4


def test_a_change_that_waits_is_of_the_cronjob_as_it_is_now() -> None:
    """The resourceVersion of what is to be deleted must be the last one: an older one is refused."""
    planner = Planner()
    plan(planner, [], [live(REGIONS[0], version=1)])
    outcome, planned = plan(planner, [], [live(REGIONS[0], version=2)])
    assert ([delete.live.resource_version for delete in outcome.deletes], planned) == (["2"], 0)
    bad = Quarantined(REGIONS[1].id, REGIONS[1].code, "bad")
    plan(planner, [bad], [live(REGIONS[1], version=1)])
    outcome, planned = plan(planner, [bad], [live(REGIONS[1], version=2)])
    assert ([write.live and write.live.resource_version for write in outcome.writes], planned) == (["2"], 0)


def test_a_region_without_a_cronjob_depends_on_who_has_its_name() -> None:
    planner = Planner()
    taken = frozenset({cronjob_name(REGIONS[0])})
    assert len(plan(planner, REGIONS[:1], [], foreign_names=taken)[0].quarantined) == 1
    assert len(plan(planner, REGIONS[:1], [])[0].writes) == 1
    assert len(plan(planner, REGIONS[:1], [], foreign_names=taken)[0].quarantined) == 1


def test_a_new_id_takes_the_place_of_the_old_one() -> None:
    old, new = REGIONS[0], replace(REGIONS[0], id="new")
    outcome, _ = plan(Planner(), [new, *REGIONS[1:]], [live(region) for region in REGIONS])
    [delete] = outcome.deletes
    assert (delete.live.region_id, delete.reason, outcome.writes) == (old.id, ChangeReason.REPLACED, ())
    assert delete.successor
    assert (delete.successor.desired.region, delete.successor.name) == (new, cronjob_name(new))
    assert outcome.quarantined == ()


def test_a_new_id_waits_for_the_code_of_a_region_whose_row_is_bad() -> None:
    bad = Quarantined(REGIONS[0].id, "", "code is empty")
    new = replace(REGIONS[0], id="new")
    outcome, _ = plan(Planner(), [bad, new], [live(REGIONS[0])])
    assert outcome.deletes == ()
    assert [row.id for row in outcome.quarantined] == [bad.id, new.id]
    assert outcome.quarantined[1].reason == (
        "code is still that of id 0, which ticks for it: it gets the code when that region has another or is gone"
    )


def test_a_region_that_is_renamed_to_a_code_that_ticks_keeps_its_own_and_follows_its_row_in_all_else() -> None:
    planner = Planner()
    renamed = replace(REGIONS[1], code=REGIONS[0].code, name="Lutetia")
    outcome, _ = plan(planner, [renamed], [live(region) for region in REGIONS[:2]])
    [write] = outcome.writes
    assert (write.desired.region.code, write.desired.region.name) == (REGIONS[1].code, "Lutetia")
    assert [(delete.live.region_id, delete.successor) for delete in outcome.deletes] == [(REGIONS[0].id, None)]
    [wait] = outcome.waits
    assert (wait.row.id, wait.cronjobs) == (renamed.id, frozenset({cronjob_name(REGIONS[0])}))
    outcome, _ = plan(planner, [renamed], [live(replace(renamed, code=REGIONS[1].code))])
    assert [write.desired.region for write in outcome.writes] == [renamed]
    assert outcome.quarantined == ()


def test_of_two_ids_with_one_key_the_one_that_ticks_is_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is a hash of 48 bits: among 50,000 regions two share a key once in a quarter of a million tables."""
    monkeypatch.setattr(planner_module, "region_key", lambda _: region_key(REGIONS[1].id))
    outcome, _ = plan(Planner(), REGIONS[:2], [live(REGIONS[1])])
    assert len(outcome) == 0
    [row] = outcome.quarantined
    assert row == Quarantined("0", "R0", "the hash of its id is that of id 1: give this region another id")
    outcome, _ = plan(Planner(), REGIONS[:2], [])
    assert [write.desired.region for write in outcome.writes] == [REGIONS[0]]
    assert [row.id for row in outcome.quarantined] == ["1"]


ROW_STATES = st.sampled_from(["none", "row", "moved", "bad", "slow", "renamed"])
LIVE_STATES = st.sampled_from(["none", "live", "ticked", "suspended", "going"])
LOOKS = st.lists(st.tuples(*([st.tuples(ROW_STATES, LIVE_STATES)] * len(REGIONS))), max_size=6)


def in_state(region: RegionRow, row_state: str, live_state: str) -> tuple[Any, Any]:
    row = {
        "none": None,
        "row": region,
        "moved": replace(region, cron_schedule="@hourly"),
        "bad": replace(region, cron_schedule="never"),
        "slow": replace(region, cron_schedule="@yearly"),
        "renamed": replace(region, code=REGIONS[int(region.id) - 1].code),
    }[row_state]
    there = live(region, version=2 if live_state == "ticked" else 1, suspended=live_state == "suspended")
    return row, None if live_state == "none" else replace(there, terminating=live_state == "going")


@given(LOOKS)
def test_after_any_looks_the_plan_is_that_of_a_first_look(looks: list[Any]) -> None:
    planner = Planner()
    for states in looks:
        pairs = [in_state(region, *state) for region, state in zip(REGIONS, states, strict=True)]
        rows, current = [row for row, _ in pairs if row], [there for _, there in pairs if there]
        remembered, first = plan(planner, rows, current)[0], plan(Planner(), rows, current)[0]
        assert remembered == first
        assert versions(remembered) == versions(first)


def versions(plan: Plan) -> list[str]:
    """Return the resourceVersions of the CronJobs that a plan changes."""
    lives = [*(write.live for write in plan.writes), *(delete.live for delete in plan.deletes)]
    return [live.resource_version for live in lives if live]
