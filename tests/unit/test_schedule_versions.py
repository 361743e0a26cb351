"""ledger/schedule_versions.py: the schedule versions of CronJobs, and the changes to region_schedule.

The changes are tested case by case, and over any history.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.cronjobs.labels import SuspendedBy, cronjob_name
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.render import render_cronjob
from region_operator.ledger.expected_ticks import expected_ticks
from region_operator.ledger.schedule_versions import (
    ScheduleSpec,
    ScheduleVersion,
    VersionChanges,
    VersionReader,
    diff_versions,
)
from region_operator.regions.schedule import parse_schedule
from tests.harness.examples import PARIS, scheduler

if TYPE_CHECKING:
    from region_operator.regions.region import RegionRow

AT = datetime(2026, 11, 24, 10, 0, 5, tzinfo=UTC)
LATER = AT + timedelta(minutes=7)
NOW = AT + timedelta(minutes=30)
KEY = (PARIS.source, PARIS.id)
SPEC = ScheduleSpec(cron="*/5 * * * *", code="FR-75", cronjob=cronjob_name(PARIS), start_deadline_seconds=100)
STOPPED = replace(SPEC, suspended=True)
ROW = ScheduleVersion(source=PARIS.source, region_id=PARIS.id, spec=SPEC, valid_from=AT)


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def cronjob(
    region: RegionRow = PARIS, *, created: datetime = AT, applied: datetime | None = None, suspend: bool = False
) -> dict[str, Any]:
    """Return a CronJob as the API server has it after an apply."""
    schedule = parse_schedule(region.cron_schedule)
    body = render_cronjob(
        region,
        schedule,
        scheduler(),
        name=cronjob_name(region),
        tick_image="tick:1",
        suspended_by=SuspendedBy.SPEC if suspend else None,
    )
    entry = {"manager": "region-operator", "operation": "Apply", "time": stamp(applied or created), "fieldsV1": {}}
    ticked = {"manager": "kube-controller-manager", "operation": "Update", "time": stamp(NOW), "subresource": "status"}
    identity = {"uid": "u", "resourceVersion": "1"}
    body["metadata"] |= identity | {"creationTimestamp": stamp(created), "managedFields": [entry, ticked]}
    return body


def read_versions(cronjobs: list[dict[str, Any]]) -> dict[tuple[str, str], ScheduleVersion]:
    return VersionReader().read([LiveCronJob.from_object(cronjob) for cronjob in cronjobs])


def test_a_cronjob_says_since_when_its_region_ticks_and_how() -> None:
    assert read_versions([cronjob()]) == {KEY: ROW}
    assert read_versions([cronjob(applied=LATER)]) == {KEY: replace(ROW, valid_from=LATER)}
    stopped = replace(ROW, spec=STOPPED, valid_from=LATER, suspended_by="spec.suspend")
    assert read_versions([cronjob(applied=LATER, suspend=True)]) == {KEY: stopped}


def test_what_a_person_changed_counts_from_then() -> None:
    body = cronjob()
    body["spec"]["schedule"] = "@hourly"
    body["metadata"]["managedFields"] += [{"manager": "kubectl-edit", "operation": "Update", "time": stamp(LATER)}]
    assert read_versions([body])[KEY] == replace(ROW, spec=replace(SPEC, cron="@hourly"), valid_from=LATER)


def test_one_whose_managed_fields_were_lost_counts_from_its_creation() -> None:
    body = cronjob(applied=LATER)
    del body["metadata"]["managedFields"]
    assert read_versions([body])[KEY].valid_from == AT


def test_one_that_is_going_starts_nothing_any_more() -> None:
    body = cronjob()
    body["metadata"]["deletionTimestamp"] = stamp(LATER)
    assert read_versions([body]) == {}


def test_of_two_the_older_counts() -> None:
    copy = cronjob(replace(PARIS, code="copy"), created=LATER)
    for bodies in ([cronjob(), copy], [copy, cronjob()]):
        assert read_versions(bodies)[KEY].spec.cronjob == cronjob_name(PARIS)


def test_one_without_its_marks_is_left_out() -> None:
    body = cronjob()
    del body["metadata"]["annotations"]
    assert read_versions([body]) == {}


def test_what_did_not_change_is_the_very_same_version() -> None:
    """Who saves the versions compares by identity."""
    reader, other = VersionReader(), replace(PARIS, id="2", code="FR-69")
    lives = [LiveCronJob.from_object(cronjob(region)) for region in (PARIS, other)]
    first = reader.read(lives)
    assert reader.read(list(lives)) is first
    ticked = [replace(lives[0], resource_version="2"), lives[1]]
    assert all(version is first[key] for key, version in reader.read(ticked).items())
    moved = [replace(lives[0], schedule="@hourly"), lives[1]]
    assert [version is first[key] for key, version in reader.read(moved).items()] == [False, True]
    assert reader.read(moved[:1]).keys() == {KEY}


OTHER = replace(SPEC, cron="@hourly")


@pytest.mark.parametrize(
    ("current", "found", "expected"),
    [
        pytest.param([], [ROW], VersionChanges(begun=(ROW,)), id="created"),
        pytest.param([ROW], [replace(ROW, valid_from=LATER)], VersionChanges(), id="another image"),
        pytest.param(
            [ROW],
            [replace(ROW, spec=OTHER, valid_from=LATER)],
            VersionChanges((replace(ROW, valid_to=LATER),), (replace(ROW, spec=OTHER, valid_from=LATER),)),
            id="rescheduled",
        ),
        pytest.param(
            [ROW],
            [replace(ROW, spec=STOPPED, valid_from=LATER)],
            VersionChanges((replace(ROW, valid_to=LATER),), (replace(ROW, spec=STOPPED, valid_from=LATER),)),
            id="suspended",
        ),
        pytest.param(
            [], [replace(ROW, spec=STOPPED)], VersionChanges(begun=(replace(ROW, spec=STOPPED),)), id="made so"
        ),
        pytest.param(
            [ROW],
            [replace(ROW, source="public.other", valid_from=LATER)],
            VersionChanges((replace(ROW, valid_to=LATER),), (replace(ROW, source="public.other", valid_from=LATER),)),
            id="of another table",
        ),
        pytest.param([ROW], [], VersionChanges(ended=(replace(ROW, valid_to=NOW),)), id="gone"),
        pytest.param([], [], VersionChanges(), id="nothing"),
    ],
)
def test_the_changes(current: list[ScheduleVersion], found: list[ScheduleVersion], expected: VersionChanges) -> None:
    assert diff_versions(current, {row.key: row for row in found}, now=NOW) == expected


def test_another_cause_of_a_suspension_begins_a_version_when_the_cronjob_was_edited() -> None:
    """A pause while spec.suspend holds: else the pause would be spec.suspend's for ever."""
    stopped = replace(ROW, spec=STOPPED, suspended_by="spec.suspend")
    paused = replace(stopped, suspended_by="paused by anna", valid_from=LATER)
    assert diff_versions([stopped], {KEY: paused}, now=NOW) == VersionChanges(
        (replace(stopped, valid_to=LATER),), (paused,)
    )
    for same in (
        replace(paused, valid_from=AT),
        replace(paused, suspended_by=None),
        replace(stopped, valid_from=LATER),
    ):
        assert not diff_versions([stopped], {KEY: same}, now=NOW)


def test_an_edit_in_the_second_of_the_one_before_is_an_edit_all_the_same() -> None:
    edited = replace(ROW, spec=OTHER)
    done = diff_versions([ROW], {KEY: edited}, now=NOW)
    [ended], [begun] = done.ended, done.begun
    assert ended.valid_to is not None
    assert ROW.valid_from < ended.valid_to == begun.valid_from < AT + timedelta(seconds=1)


MINUTELY = replace(SPEC, cron="* * * * *")
TICKING = replace(ROW, spec=MINUTELY)
SUCCESSOR = replace(TICKING, region_id="new", spec=replace(MINUTELY, cronjob="new-0123456789ab"))
SECONDS = st.floats(60, 300)


def on_server(seconds: float) -> datetime:
    """Return a moment as the API server writes it: in whole seconds."""
    return (AT + timedelta(seconds=seconds)).replace(microsecond=0)


def ticks_of(found: list[ScheduleVersion], deleted_at: dict[str, datetime], *, saved: float) -> list[tuple[str, int]]:
    """Save `found` after TICKING, and return who is expected to tick how many minutes after 10:00, up to 10:10."""
    changes = diff_versions(
        [TICKING], {row.key: row for row in found}, now=AT + timedelta(seconds=saved), deleted_at=deleted_at
    )
    ticks = expected_ticks([*changes.ended, *changes.begun], after=AT, until=AT + timedelta(minutes=10))
    return sorted(((tick.region_id, tick.tick_at.minute) for tick in ticks), key=lambda tick: tick[1])


@given(SECONDS, SECONDS)
def test_a_deleted_region_is_expected_to_tick_as_long_as_its_cronjob_stood(a: float, b: float) -> None:
    deleted, saved = sorted([a, b])
    last = on_server(deleted).minute
    ticks = ticks_of([], {MINUTELY.cronjob: on_server(deleted)}, saved=saved)
    assert ticks == [(PARIS.id, minute) for minute in range(1, last + 1)]


@given(SECONDS, SECONDS, SECONDS, st.booleans())
def test_each_tick_of_a_replaced_region_is_expected_once(a: float, b: float, c: float, remembered: bool) -> None:
    """Of the old id as long as the new one has no CronJob: who ticks for neither has lost the tick."""
    deleted, created, saved = sorted([a, b, c])
    new = replace(SUCCESSOR, valid_from=on_server(created))
    ticks = ticks_of([new], {MINUTELY.cronjob: on_server(deleted)} if remembered else {}, saved=saved)
    handed = new.valid_from.minute
    assert ticks == [(PARIS.id if minute <= handed else "new", minute) for minute in range(1, 11)]


@given(SECONDS, SECONDS)
def test_each_tick_of_a_rescheduled_region_is_expected_once(a: float, b: float) -> None:
    edited, saved = sorted([a, b])
    new = replace(TICKING, spec=replace(MINUTELY, start_deadline_seconds=20), valid_from=on_server(edited))
    assert ticks_of([new], {}, saved=saved) == [(PARIS.id, minute) for minute in range(1, 11)]


@pytest.mark.parametrize(
    "other",
    [
        replace(SUCCESSOR, spec=replace(SUCCESSOR.spec, code="another")),
        replace(SUCCESSOR, source="public.other"),
    ],
    ids=["code", "table"],
)
def test_a_new_region_with_another_code_or_of_another_table_is_no_successor(other: ScheduleVersion) -> None:
    [ended] = diff_versions([TICKING], {other.key: replace(other, valid_from=LATER)}, now=NOW).ended
    assert ended.valid_to == NOW


def test_where_no_code_is_known_nobody_succeeds() -> None:
    without = replace(TICKING, spec=replace(MINUTELY, code=""))
    new = replace(SUCCESSOR, spec=replace(SUCCESSOR.spec, code=""), valid_from=LATER)
    [ended] = diff_versions([without], {new.key: new}, now=NOW).ended
    assert ended.valid_to == NOW


def spec_of(text: str) -> ScheduleSpec:
    return replace(SPEC, suspended=True) if text == "suspended" else replace(SPEC, cron=text)


MOMENTS = st.integers(0, 40).map(lambda seconds: AT + timedelta(seconds=seconds))
STATES = st.dictionaries(
    st.sampled_from([("s", "1"), ("s", "2"), ("t", "1")]),
    st.tuples(st.sampled_from(["suspended", "@hourly", "@daily"]), MOMENTS),
)


@given(st.lists(st.tuples(STATES, MOMENTS)))
def test_after_any_history_the_rows_say_what_is_and_none_overlaps(history: list[tuple[Any, datetime]]) -> None:
    rows: list[ScheduleVersion] = []
    for states, now in history:
        found = {
            key: ScheduleVersion(source=key[0], region_id=key[1], spec=spec_of(text), valid_from=since)
            for key, (text, since) in states.items()
        }
        done = diff_versions([row for row in rows if row.valid_to is None], found, now=now)
        ended = {row.key: row for row in done.ended}
        rows = [ended.get(row.key, row) if row.valid_to is None else row for row in rows] + list(done.begun)
        current = [row for row in rows if row.valid_to is None]
        assert {row.key: row.spec for row in current} == {key: row.spec for key, row in found.items()}
        assert len(current) == len(found)
        assert all(row.valid_to > row.valid_from for row in rows if row.valid_to is not None)
        assert not diff_versions(current, found, now=now)
