"""plan/plan.py: every row of its decision table, and what is true of every plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.cronjobs.labels import DIGEST_ANNOTATION, PAUSED_ANNOTATION, SuspendedBy, cronjob_name, region_key
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.render import render_cronjob
from region_operator.plan.changes import ChangeReason, Delete, Desired, Guarded, Plan, Write
from region_operator.plan.plan import ticking_ids_by_code
from region_operator.plan.planner import Planner
from region_operator.regions.region import Quarantined, RegionRow
from region_operator.regions.schedule import parse_schedule
from region_tick.contract import Variable
from tests.harness.examples import PARIS, applied, finish, scheduler, variable


def render(desired: Desired, name: str) -> dict[str, Any]:
    """Stand in for the real manifest by all that may differ between two of them."""
    digest = f"{name}|{desired.schedule.source}|{desired.schedule.written}|{desired.region.name}|{desired.suspended_by}"
    return {
        "metadata": {"name": name, "annotations": {DIGEST_ANNOTATION: digest}},
        "spec": {"suspend": bool(desired.suspended_by)},
    }


def live(
    region: RegionRow,
    *,
    name: str = "kept",
    suspended: bool = False,
    terminating: bool = False,
    paused: bool = False,
    edited: bool = False,
    unknown: bool = False,
    created: str = "2026-11-24T01:00:00Z",
) -> LiveCronJob:
    """Return the CronJob as it was applied for `region`, and perhaps edited since, so that it is `unknown` for what."""
    why = (SuspendedBy.PAUSED if paused else SuspendedBy.QUARANTINE) if suspended else None
    desired = Desired(region, parse_schedule(region.cron_schedule, code=region.code), suspended_by=why)
    manifest = render(desired, name)
    real = render_cronjob(
        region,
        desired.schedule,
        scheduler(),
        name=name,
        tick_image="tick:1",
        suspended_by=why,
    )
    meta = real["metadata"] | {"creationTimestamp": created}
    meta["annotations"] = real["metadata"]["annotations"] | manifest["metadata"]["annotations"]
    if paused:
        meta["annotations"][PAUSED_ANNOTATION] = "true"
    taken = ((("f:spec", "f:suspend"),) if edited else ()) + ((variable(Variable.SOURCE),) if unknown else ())
    body = applied(real | {"metadata": meta}, but=taken)
    if terminating:
        body["metadata"]["deletionTimestamp"] = "2026-11-24T10:00:00Z"
    return replace(LiveCronJob.from_object(body), key=region_key(region.id), ours=True)


def plan(
    rows: list[RegionRow | Quarantined],
    current: list[LiveCronJob],
    *,
    keep_last: bool = False,
    foreign_names: frozenset[str] = frozenset(),
) -> Plan:
    planning = Planner().plan(
        rows, current, render=render, keep_last=keep_last, foreign_names=foreign_names, common=None
    )
    return finish(planning)


BAD = replace(PARIS, cron_schedule="0 0 * * 7")
NO_CODE = Quarantined(PARIS.id, "", "code is empty")
HOURLY = replace(PARIS, cron_schedule="0 * * * *")
HASHED = replace(PARIS, cron_schedule="H * * * *")
SAME_MINUTE = replace(PARIS, cron_schedule=parse_schedule(HASHED.cron_schedule, code=PARIS.code).source)


@pytest.mark.parametrize(
    ("row", "current", "reasons"),
    [
        pytest.param(PARIS, None, [ChangeReason.ADDED], id="active, none"),
        pytest.param(PARIS, live(PARIS), [], id="active, in sync"),
        pytest.param(HOURLY, live(PARIS), [ChangeReason.RESCHEDULED], id="active, other schedule"),
        pytest.param(HASHED, live(HASHED), [], id="active, hashed, in sync"),
        pytest.param(HASHED, live(PARIS), [ChangeReason.RESCHEDULED], id="active, hashed, other schedule"),
        pytest.param(HASHED, live(SAME_MINUTE), [ChangeReason.UPDATED], id="active, hashed to the same minute"),
        pytest.param(replace(HASHED, code="FR-69"), live(HASHED), [ChangeReason.RESCHEDULED], id="active, other code"),
        pytest.param(replace(PARIS, name="Lutetia"), live(PARIS), [ChangeReason.UPDATED], id="active, other name"),
        pytest.param(PARIS, live(PARIS, edited=True), [ChangeReason.RESTORED], id="active, edited"),
        pytest.param(
            HOURLY, live(PARIS, edited=True), [ChangeReason.RESCHEDULED], id="active, edited and other schedule"
        ),
        pytest.param(PARIS, live(PARIS, suspended=True), [ChangeReason.RESUMED], id="active, suspended"),
        pytest.param(PARIS, live(PARIS, paused=True), [ChangeReason.PAUSED], id="active, paused"),
        pytest.param(PARIS, live(PARIS, paused=True, suspended=True), [], id="active, paused and suspended"),
        pytest.param(PARIS, live(PARIS, terminating=True), [], id="active, going"),
        pytest.param(BAD, None, [], id="quarantined, none"),
        pytest.param(BAD, live(PARIS), [ChangeReason.SUSPENDED], id="quarantined, live"),
        pytest.param(BAD, live(PARIS, suspended=True), [], id="quarantined, suspended"),
        pytest.param(BAD, live(HASHED, suspended=True), [], id="quarantined, hashed, suspended"),
        pytest.param(NO_CODE, None, [], id="quarantined as a whole, none"),
        pytest.param(NO_CODE, live(PARIS), [ChangeReason.SUSPENDED], id="quarantined as a whole, live"),
        pytest.param(NO_CODE, live(PARIS, suspended=True), [], id="quarantined as a whole, suspended"),
        pytest.param(NO_CODE, live(PARIS, terminating=True), [], id="quarantined as a whole, going"),
        pytest.param(None, live(PARIS), [ChangeReason.REMOVED], id="missing"),
        pytest.param(None, live(PARIS, paused=True), [ChangeReason.REMOVED], id="missing, paused"),
        pytest.param(None, live(PARIS, terminating=True), [], id="missing, going"),
    ],
)
def test_decision_table(
    row: RegionRow | Quarantined | None, current: LiveCronJob | None, reasons: list[ChangeReason]
) -> None:
    outcome = plan([row] if row else [], [current] if current else [])
    changes: list[Write | Delete] = [*outcome.writes, *outcome.deletes]
    assert [change.reason for change in changes] == reasons


def test_an_update_keeps_the_name_that_the_cronjob_has() -> None:
    [write] = plan([replace(HOURLY, code="FR-IDF")], [live(PARIS, name="fr-75-old")]).writes
    assert write.name == "fr-75-old"


@pytest.mark.parametrize("row", [BAD, replace(BAD, name="Lutetia", bbox=None), NO_CODE])
def test_a_quarantined_region_keeps_its_last_good_state(row: RegionRow | Quarantined) -> None:
    [write] = plan([row], [live(PARIS)]).writes
    assert (write.desired.region, write.desired.suspended_by) == (PARIS, SuspendedBy.QUARANTINE)
    assert write.desired.schedule == parse_schedule(PARIS.cron_schedule)


def test_a_name_that_a_foreign_cronjob_has_blocks_its_region_and_no_other() -> None:
    other = replace(PARIS, id="2", code="FR-69")
    outcome = plan([PARIS, other], [], foreign_names=frozenset({cronjob_name(PARIS), "backup"}))
    assert [write.desired.region for write in outcome.writes] == [other]
    [row] = outcome.quarantined
    assert (row.id, cronjob_name(PARIS) in row.reason, "delete" in row.reason) == (PARIS.id, True, True)
    assert plan([PARIS], [live(PARIS)], foreign_names=frozenset({cronjob_name(PARIS)})).quarantined == ()


def test_of_duplicates_the_oldest_stays() -> None:
    old = live(PARIS, name="z", created="2026-11-24T01:00:00Z")
    young = live(PARIS, name="a", created="2026-11-24T02:00:00Z")
    going = live(PARIS, name="g", created="2026-11-24T00:00:00Z", terminating=True)
    outcome = plan([PARIS], [young, going, old])
    assert (outcome.writes, outcome.deletes) == ((), (Delete(young, ChangeReason.DUPLICATE),))


@pytest.mark.parametrize("keep_last", [False, True])
def test_a_quarantined_region_that_is_known_no_more_is_suspended_and_reported(keep_last: bool) -> None:
    outcome = plan([BAD], [live(PARIS, unknown=True)], keep_last=keep_last)
    [write] = outcome.writes
    assert (write.desired.suspended_by, write.desired.region.source) == (SuspendedBy.QUARANTINE, "")
    [row] = outcome.quarantined
    assert row.reason.endswith(
        "; its CronJob was changed by somebody, and what it last was is not known: it stays suspended"
    )


def test_while_its_deletion_is_held_a_cronjob_is_kept_true() -> None:
    [in_sync] = plan([], [live(PARIS)]).deletes
    assert in_sync.replacement is None
    [delete] = plan([], [live(PARIS, edited=True)]).deletes
    assert delete.replacement
    assert (delete.replacement.reason, delete.replacement.desired.region) == (ChangeReason.RESTORED, PARIS)
    [delete] = plan([], [live(PARIS, paused=True)]).deletes
    assert delete.replacement
    assert delete.replacement.reason is ChangeReason.PAUSED


def test_while_its_deletion_is_held_a_cronjob_that_is_known_no_more_is_left_alone_unless_it_is_to_stop() -> None:
    [delete] = plan([], [live(PARIS, unknown=True)]).deletes
    assert delete.replacement is None
    [delete] = plan([], [live(PARIS, unknown=True, paused=True)]).deletes
    assert delete.replacement
    assert delete.replacement.desired.suspended_by


@pytest.mark.parametrize(
    ("row", "current", "guarded"),
    [
        pytest.param(PARIS, None, Guarded.CREATION, id="a new region"),
        pytest.param(BAD, live(PARIS), Guarded.QUARANTINE, id="a region that ticks is suspended"),
        pytest.param(BAD, live(PARIS, suspended=True, edited=True), None, id="a region that stands still stays so"),
        pytest.param(BAD, live(PARIS, paused=True, suspended=True), Guarded.QUARANTINE, id="a paused region is bad"),
        pytest.param(replace(PARIS, cron_schedule="*/50 * * * *"), live(PARIS), None, id="few ticks fewer"),
        pytest.param(HOURLY, live(PARIS), Guarded.SLOWDOWN, id="a twelfth of the ticks"),
        pytest.param(PARIS, live(HOURLY), Guarded.SPEEDUP, id="twelve times the ticks"),
        pytest.param(PARIS, live(replace(PARIS, cron_schedule="*/45 * * * *")), None, id="some ticks more"),
        pytest.param(HOURLY, live(PARIS, suspended=True), None, id="a region that stands still is mended"),
        pytest.param(replace(PARIS, name="Lutetia"), live(PARIS), None, id="another name"),
    ],
)
def test_what_a_guard_counts(
    row: RegionRow | Quarantined, current: LiveCronJob | None, guarded: Guarded | None
) -> None:
    [write] = plan([row], [current] if current else []).writes
    assert write.guarded is guarded


def test_what_an_older_release_suspended_is_not_counted() -> None:
    suspended = live(PARIS, suspended=True)
    older = replace(suspended, suspended_by="", digest="older")
    [write] = plan([BAD], [older]).writes
    assert write.guarded is None


def test_while_a_slowdown_is_held_all_else_of_the_row_is_followed() -> None:
    [write] = plan([replace(HOURLY, name="Lutetia")], [live(PARIS)]).writes
    assert write.replacement
    assert write.replacement.desired.region == replace(PARIS, name="Lutetia")
    assert write.replacement.desired.schedule.source == PARIS.cron_schedule
    assert write.replacement.guarded is None
    [write] = plan([HOURLY], [live(PARIS)]).writes
    assert write.replacement is None, "nothing to write"


def test_while_a_quarantine_is_held_the_region_runs_on_as_it_last_was() -> None:
    [write] = plan([BAD], [live(PARIS)]).writes
    assert write.replacement is None
    [write] = plan([BAD], [live(PARIS, edited=True)]).writes
    assert write.replacement
    assert (write.replacement.desired.region, write.replacement.desired.suspended_by) == (PARIS, None)


def test_who_ticks_for_a_code() -> None:
    other, going = replace(PARIS, id="2", code="FR-69"), replace(PARIS, id="3")
    current = [live(PARIS), live(other), live(going, terminating=True), live(replace(PARIS, id="4"), unknown=True)]
    assert ticking_ids_by_code(current, {"FR-75", "FR-1"}) == {"FR-75": {PARIS.id}, "FR-1": set()}
    assert ticking_ids_by_code(current, {"FR-69"}) == {"FR-69": {"2"}}


def test_paused_regions_are_counted() -> None:
    other = replace(PARIS, id="2", code="FR-69")
    assert plan([PARIS, other], [live(PARIS, paused=True, suspended=True), live(other, name="o")]).paused == 1


def test_a_pause_that_is_over_is_written_whatever_else_is_in_sync() -> None:
    over = replace(live(PARIS, paused=True, suspended=True), paused=False, pause_over=True)
    outcome = plan([PARIS], [over])
    assert ([write.reason for write in outcome.writes], outcome.paused) == ([ChangeReason.RESUMED], 0)
    in_sync = replace(live(PARIS), pause_over=True)
    assert [write.reason for write in plan([PARIS], [in_sync]).writes] == [ChangeReason.UPDATED]
    quarantined = replace(live(PARIS, suspended=True), pause_over=True)
    assert [write.reason for write in plan([BAD], [quarantined]).writes] == [ChangeReason.UPDATED]
    [delete] = plan([], [in_sync]).deletes
    assert delete.replacement, "while the deletion is held"


@pytest.mark.parametrize("row", [BAD, NO_CODE])
def test_keep_last_lets_it_run_on(row: RegionRow | Quarantined) -> None:
    assert len(plan([row], [live(PARIS)], keep_last=True)) == 0
    [write] = plan([row], [live(PARIS, suspended=True)], keep_last=True).writes
    assert write.desired.suspended_by is None


def test_a_repaired_row_leaves_quarantine() -> None:
    [write] = plan([PARIS], [live(PARIS, suspended=True)]).writes
    assert write.desired.suspended_by is None


def test_quarantine_names_row_value_and_remedy() -> None:
    [row] = plan([BAD], []).quarantined
    assert (row.id, row.code) == (PARIS.id, PARIS.code)
    assert row.reason.startswith('cron_schedule "0 0 * * 7" is invalid: day of week "7": ')
    assert row.reason.endswith('write "0"')


regions = st.lists(st.integers(0, 30), unique=True).map(
    lambda ids: [replace(PARIS, id=str(n), code=f"R{n}") for n in ids]
)


@given(regions, regions)
def test_a_plan_touches_each_region_once_and_no_other(rows: list[RegionRow], before: list[RegionRow]) -> None:
    outcome = plan(list(rows), [live(region, name=f"n{region.id}") for region in before])
    wanted, there = {row.id for row in rows}, {region.id for region in before}
    assert {write.desired.region.id for write in outcome.writes} == wanted - there
    assert {delete.live.key for delete in outcome.deletes} == {region_key(gone) for gone in there - wanted}
    assert outcome.unchanged == len(wanted & there)


def test_a_delete_is_of_what_was_seen() -> None:
    seen = live(PARIS)
    assert plan([], [seen]).deletes == (Delete(seen),)


def test_a_region_whose_cronjob_is_going_waits_for_its_end_and_one_that_is_no_more_does_not() -> None:
    going = live(PARIS, terminating=True)
    assert plan([PARIS], [going]).pending == 1
    assert plan([PARIS], [going, live(PARIS)]).pending == 0
    assert plan([], [going]).pending == 0
