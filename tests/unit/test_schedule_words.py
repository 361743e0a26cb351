"""regions/schedule_words.py: the words of shapes that people write, and that no words ever claim another time.

The second is a property: a reader of this test takes the words apart again, and knows nothing of cron. What the reader
understood must be the schedule's own times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from region_operator.regions.cron_field import FIELDS, WEEKDAY, ScheduleError
from region_operator.regions.schedule import parse_schedule
from region_operator.regions.schedule_words import say_schedule

WEEK = [name.capitalize() for name in WEEKDAY.names]
YEAR = [name.capitalize() for name in FIELDS[3].names]
LEAP_YEAR = [date(2028, 1, 1) + timedelta(days=number) for number in range(366)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("7/15 * * * *", "every 15 minutes, first at minute 7 of the hour"),
        ("0 * * * *", "every hour at minute 0"),
        ("17 * * * *", "every hour at minute 17"),
        ("1,2,3,40 * * * *", "every hour at minutes 1 to 3 and 40"),
        ("17 3 * * *", "every day at 03:17"),
        ("17 3 * * 1-5", "at 03:17 from Monday to Friday"),
        ("17 3 * * 6,0", "at 03:17 on Saturdays and Sundays"),
        ("17 3 * * 5,6,0", "at 03:17 from Friday to Sunday"),
        ("0 6,18 * * *", "every day at 06:00 and 18:00"),
        ("0 */6 * * *", "every day at 00:00, 06:00, 12:00 and 18:00"),
        ("*/5 8-17 * * *", "every 5 minutes from 08:00 to 17:55"),
        ("*/5 8-17 * * 1", "every 5 minutes from 08:00 to 17:55 on Mondays"),
        ("* 8 * * *", "every minute from 08:00 to 08:59"),
        ("*/5 8,12 * * *", "every 5 minutes in the hours 8 and 12"),
        ("30 */2 * * *", "every hour at minute 30 in the hours 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20 and 22"),
        ("1,2,5 */4 * * 1", "at minutes 1, 2 and 5 of the hours 0, 4, 8, 12, 16 and 20 on Mondays"),
        ("0 0 1 * *", "at 00:00 on day 1 of the month"),
        ("0 0 1,15 * *", "at 00:00 on days 1 and 15 of the month"),
        ("0 0 13 * 5", "at 00:00 on day 13 of the month and also on Fridays"),
        ("0 0 1 1 *", "at 00:00 on day 1 of the month, in January"),
        ("0 0 * 6-8 *", "at 00:00 on every day from June to August"),
        ("*/20 * * 2,4 *", "every 20 minutes on every day in February and April"),
        ("@daily", "every day at 00:00"),
    ],
)
def test_words_of(text: str, words: str) -> None:
    assert say_schedule(parse_schedule(text)) == words


def test_a_hash_is_said_by_what_it_chose() -> None:
    schedule = parse_schedule("H * * * *", code="DE-BE")
    assert say_schedule(schedule) == f"every hour at minute {schedule.minutes[0]} (H chose the numbers)"


@dataclass(frozen=True)
class Claim:
    """What a reader of the words understands: the times of a day, and what they say of the days."""

    times: frozenset[tuple[int, int]]
    days: frozenset[int] | None
    weekdays: frozenset[str] | None
    months: frozenset[str]

    def ticks_on(self, day: date) -> bool:
        named = []
        if self.days is not None:
            named.append(day.day in self.days)
        if self.weekdays is not None:
            named.append(day.strftime("%A") in self.weekdays)
        return day.strftime("%B") in self.months and (any(named) if named else True)


NUMBERS = r"\d+(?: to \d+)?(?:(?:, | and )\d+(?: to \d+)?)*"
CLOCK = r"\d\d:\d\d"
WORDS = re.compile(
    rf"(?:every day )?"
    rf"(?:at (?P<clock>{CLOCK}(?:(?:, | and ){CLOCK})*)"
    rf"|at minutes (?P<minutes>{NUMBERS}) of the hours (?P<hours>{NUMBERS})"
    rf"|(?:every (?P<minute>minute)|every (?P<step>\d+) minutes(?:, first at minute (?P<start>\d+) of the hour)?"
    rf"|every hour at minutes? (?P<hourly>{NUMBERS}))"
    rf"(?: from (?P<first>{CLOCK}) to (?P<last>{CLOCK})| in the hours (?P<some>{NUMBERS}))?)"
    rf"(?: on days? (?P<days>{NUMBERS}) of the month)?(?: and also)?"
    rf"(?: on (?P<weekdays>\w+days(?:(?:, | and )\w+days)*)| from (?P<week>\w+day to \w+day))?"
    rf"(?:(?:,| on every day) (?:in (?P<months>\w+(?:(?:, | and )\w+)*)|from (?P<year>\w+ to \w+)))?"
)


def numbers(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in re.split(", | and ", text):
        first, _, last = part.partition(" to ")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def names(listed: str | None, span: str | None, all_names: list[str]) -> frozenset[str]:
    if listed:
        return frozenset(
            name.removesuffix("s") if name.endswith("days") else name for name in re.split(", | and ", listed)
        )
    assert span
    first, last = (all_names.index(name) for name in span.split(" to "))
    return frozenset(all_names[number % len(all_names)] for number in range(first, last + 1 + 7 * (last < first)))


def read(words: str) -> Claim:
    said = WORDS.fullmatch(words)
    assert said, words
    every = range(60 * 24)
    if said["clock"]:
        times = {(int(time[:2]), int(time[3:])) for time in re.split(", | and ", said["clock"])}
    elif said["minutes"]:
        times = {(hour, minute) for hour in numbers(said["hours"]) for minute in numbers(said["minutes"])}
    else:
        step, start = int(said["step"] or 1), int(said["start"] or 0)
        minutes = numbers(said["hourly"]) if said["hourly"] else set(range(start, 60, step))
        first, last = (said["first"] or "00:00"), (said["last"] or "23:59")
        hours = numbers(said["some"]) if said["some"] else set(range(24))
        times = {divmod(at, 60) for at in every if at % 60 in minutes and at // 60 in hours}
        times = {(hour, minute) for hour, minute in times if first <= f"{hour:02}:{minute:02}" <= last}
    has_week, has_year = said["weekdays"] or said["week"], said["months"] or said["year"]
    return Claim(
        frozenset(times),
        numbers(said["days"]) if said["days"] else None,
        names(said["weekdays"], said["week"], WEEK) if has_week else None,
        names(said["months"], said["year"], YEAR) if has_year else frozenset(YEAR),
    )


def field(low: int, high: int) -> st.SearchStrategy[str]:
    values = st.integers(low, high)
    ranges = st.tuples(values, values).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    steps = st.sampled_from([2, 3, 4, 5, 6])
    stepped = st.builds(lambda start, step: f"{start}/{step}", st.just("*") | values.map(str), steps)
    return st.just("*") | st.lists(values.map(str) | ranges | stepped, min_size=1, max_size=3).map(",".join)


@given(st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)).map(" ".join))
def test_the_words_claim_the_times_of_the_schedule_and_no_other(text: str) -> None:
    try:
        schedule = parse_schedule(text)
    except ScheduleError:
        assume(False)
    claim = read(say_schedule(schedule))
    assert claim.times == {(hour, minute) for hour in schedule.hours for minute in schedule.minutes}
    assert [day for day in LEAP_YEAR if claim.ticks_on(day)] == [day for day in LEAP_YEAR if schedule.ticks_on(day)]
    at = datetime(2028, 1, 1, tzinfo=UTC)
    for _ in range(3):
        at = schedule.next_after(at)
        assert claim.ticks_on(at.date())
        assert (at.hour, at.minute) in claim.times
