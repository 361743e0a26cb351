"""cron.py: the minutes of a schedule, as the operator's own parser and croniter have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from region_operator.regions.cron_field import FIELDS, ScheduleError
from region_operator.regions.schedule import parse_schedule
from region_tick.cron import read_cron

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
NAMES = {
    3: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    4: ["sun", "MON", "tue", "wed", "thu", "fri", "sat"],
}


@st.composite
def items(draw: st.DrawFn, place: int) -> str:
    field = FIELDS[place]
    values = st.integers(field.low, field.high).map(str)
    if place in NAMES:
        values |= st.sampled_from(NAMES[place])
    step = st.integers(1, field.size - 1).map("/{}".format) | st.just("")
    span = st.sampled_from(["*", "?"]) | values | st.tuples(values, values).map("-".join)
    return draw(span) + draw(step)


schedules = st.tuples(
    *(st.lists(items(place), min_size=1, max_size=3).map(",".join) | st.just("*") for place in range(5))
).map(" ".join) | st.sampled_from(["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually", "@midnight"])
moments = st.integers(0, 10 * 366 * 24 * 60).map(lambda minutes: NOON + minutes * MINUTE)


@given(schedules, moments)
@example("0 0 29 2 *", datetime(2031, 1, 1, tzinfo=UTC))
@example("*/5 * */2 * mon", NOON)
@example("0 12 1-31 * mon", NOON)
@example("0 12 */1 * tue", NOON)
def test_it_agrees_with_the_operators_own_reading(text: str, moment: datetime) -> None:
    try:
        schedule = parse_schedule(text)
    except ScheduleError:
        assume(False)
    cron = read_cron(schedule.source)
    due = schedule.next_after(moment)
    assert cron.is_due(due)
    assert cron.before(due + MINUTE) == due
    before = cron.before(due)
    assert before is not None
    assert before <= moment
    assert schedule.next_after(before) == due
    assert not any(cron.is_due(moment + minutes * MINUTE) for minutes in range(1, min(60, (due - moment) // MINUTE)))


@pytest.mark.parametrize("part", [timedelta(seconds=1), timedelta(microseconds=1)])
def test_a_tick_is_a_whole_minute(part: timedelta) -> None:
    cron = read_cron("* * * * *")
    assert cron.is_due(NOON)
    assert not cron.is_due(NOON + part)
    assert cron.before(NOON + part) == NOON


@pytest.mark.parametrize("text", ["@every 5m", "", "* * * *", "x * * * *", "* * * * * *", "1- * * * *", "H * * * *"])
def test_what_no_cronjob_of_the_operator_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_cron(text)


def test_a_schedule_that_never_fires_has_no_tick_before() -> None:
    assert read_cron("0 0 31 2 *").before(NOON) is None
