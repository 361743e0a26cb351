from __future__ import annotations

from itertools import pairwise

import pytest

from tests.faults.course import BAD_SCHEDULES, Course, Deed, Edit, Lane, Row
from tests.faults.random_faults import AROUND_SECONDS, CHANCES, REGIONS, SHORT_MINUTES, SHORT_SEED, SPREAD, draw

SEEDS = range(20)


@pytest.fixture(params=SEEDS)
def course(request: pytest.FixtureRequest) -> Course:
    return draw(request.param, 240)


def test_a_seed_gives_the_same_course_each_time() -> None:
    assert draw(7, 240) == draw(7, 240)
    assert str(draw(7, 240)) == str(draw(7, 240))
    assert draw(7, 240) != draw(8, 240)


def test_in_a_lane_one_action_follows_the_other(course: Course) -> None:
    for lane in Lane:
        actions = course.of(lane)
        assert all(one.at + one.seconds <= next_one.at for one, next_one in pairwise(actions))


def test_all_is_over_in_time(course: Course) -> None:
    assert all(action.at + action.seconds <= course.seconds for action in course.actions if action.lane in CHANCES)
    assert max(action.at for action in course.of(Lane.TABLE)) < course.seconds + 30


def test_faults_come_at_the_same_time(course: Course) -> None:
    faults = [action for action in course.actions if action.lane in CHANCES and action.seconds]
    assert any(
        one.lane is not other.lane and one.at < other.at < one.at + one.seconds for one in faults for other in faults
    )


def test_the_table_keeps_its_size_and_gets_back_what_it_lost(course: Course) -> None:
    table = Edit(put=course.rows).of({})
    before = table
    for action in course.of(Lane.TABLE):
        if action.deed in (Deed.TRUNCATE, Deed.LOSE):
            before = table
        for edit in action.edits:
            table = edit.of(table)
            codes = [row.code for row in table.values()]
            assert len(codes) == len(set(codes))
        if action.deed is Deed.RESTORE:
            assert table == before
        if action.deed not in (Deed.TRUNCATE, Deed.LOSE):
            assert abs(len(table) - REGIONS) <= SPREAD


def test_the_table_may_be_large() -> None:
    assert len(draw(7, 240, regions=2000).rows) == 2000


def test_seeds_together_have_every_deed() -> None:
    drawn = {(action.lane, action.deed) for seed in SEEDS for action in draw(seed, 240).actions}
    assert drawn >= {(lane, chance.deed) for lane, (_, chances) in CHANCES.items() for chance in chances}
    spoilt = [action for seed in SEEDS for action in draw(seed, 240).actions if action.deed is Deed.SPOIL]
    assert {row.cron for action in spoilt for edit in action.edits for row in edit.put} == set(BAD_SCHEDULES)


def test_the_short_course_has_nearly_every_deed() -> None:
    deeds = {action.deed for action in draw(SHORT_SEED, SHORT_MINUTES * 60 - AROUND_SECONDS).actions}
    every = {action.deed for seed in SEEDS for action in draw(seed, 240).actions}
    assert deeds >= {Deed.KILLED, Deed.STOPPED, Deed.FROZEN, Deed.CUT, Deed.SLOW, Deed.LOSE, Deed.TRUNCATE}
    assert len(every - deeds) <= 3


def test_an_edit_takes_away_before_it_puts() -> None:
    a, b = Row("a", "A", "@hourly"), Row("b", "B", "@hourly")
    table = Edit(put=(a, b)).of({})
    assert Edit(drop=("a", "c")).of(table) == {"b": b}
    assert Edit(truncate=True).of(table) == {}
    assert Edit(truncate=True, put=(a,)).of(table) == {"a": a}
    assert Edit(put=(Row("a", "C", "@daily"),)).of(table) == {"a": Row("a", "C", "@daily"), "b": b}
