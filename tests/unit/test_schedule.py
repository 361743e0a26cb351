"""regions/schedule.py: the cron grammar against Kubernetes' verdicts and times, and against a simple matcher.

The matcher walks over every minute of a calendar. The columns k8s_* of `data/cron_cases.tsv` hold what robfig/cron
v3.0.1 says of an expression under the API server's rules. The column `ours` holds the right result here. An expression
is quoted if blanks begin or end it; the escapes are JSON's.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.schedule import Schedule, parse_schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = Path(__file__).parent / "data" / "cron_cases.tsv"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def ticks(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    while True:
        after = schedule.next_after(after)
        yield after


# Kubernetes' own verdicts


@dataclass(frozen=True, slots=True)
class Case:
    text: str
    accepted: bool
    times: tuple[datetime, ...]


def read_cases() -> Iterator[Case]:
    with CASES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            expression = row["expression"]
            text = json.loads(expression if expression.startswith('"') else f'"{expression}"')
            times = tuple(datetime.fromisoformat(time).replace(tzinfo=UTC) for time in row["k8s_first3_utc"].split())
            yield Case(text, row["ours"] == "yes", times)


@pytest.mark.parametrize("case", [pytest.param(case, id=ascii(case.text)) for case in read_cases()])
def test_verdict_and_first_times_of(case: Case) -> None:
    if not case.accepted:
        with pytest.raises(ScheduleError):
            parse_schedule(case.text)
        return
    schedule = parse_schedule(case.text)
    assert schedule.source == " ".join(case.text.split())
    assert tuple(islice(ticks(schedule, NEW_YEAR), len(case.times))) == case.times


@pytest.mark.parametrize(
    ("text", "moment", "active"),
    [
        ("0/15 * * * *", "2012-07-09T15:00", True),
        ("0/15 * * * *", "2012-07-09T15:40", False),
        ("5/15 * * * *", "2012-07-09T15:50", True),
        ("0/15 * * Jul *", "2012-07-15T15:00", True),
        ("0/15 * * Jun *", "2012-07-15T15:00", False),
        ("30 08 ? Jul Sun", "2012-07-15T08:30", True),
        ("30 08 15 Jul ?", "2012-07-15T08:30", True),
        ("30 08 ? Jul Sun", "2012-07-16T08:30", False),
        ("30 08 15 Jul ?", "2012-07-16T08:30", False),
        ("@hourly", "2012-07-09T15:04", False),
        ("@daily", "2012-07-09T15:00", False),
        ("@midnight", "2012-07-09T00:00", True),
        ("@weekly", "2012-07-08T00:00", True),
        ("@weekly", "2012-07-09T00:00", False),
        ("@monthly", "2012-07-08T00:00", False),
        ("@monthly", "2012-07-01T00:00", True),
        ("@yearly", "2012-07-01T00:00", False),
        ("* * 1,15 * Sun", "2012-07-15T00:00", True),
        ("* * 1,15 * Sun", "2012-06-15T00:00", True),
        ("* * 1,15 * Sun", "2012-07-08T00:00", True),
        ("* * */10 * Sun", "2012-07-15T00:00", True),
        ("* * */2 * Sun", "2012-07-15T00:00", True),
        ("* * * * Mon", "2012-07-15T00:00", False),
        ("* * 1,15 * *", "2012-07-09T00:00", False),
        ("* * 1,15 * *", "2012-07-15T00:00", True),
    ],
)
def test_whether_a_minute_ticks_as_in_robfig_cron(text: str, moment: str, *, active: bool) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert (parse_schedule(text).next_after(at - timedelta(seconds=1)) == at) is active


@pytest.mark.parametrize(
    ("text", "after", "following"),
    [
        ("0/15 * * * *", "2012-07-09T14:45:00", "2012-07-09T15:00"),
        ("0/15 * * * *", "2012-07-09T14:59:59.999999", "2012-07-09T15:00"),
        ("20-35/15 * * * *", "2012-07-09T15:45:00", "2012-07-09T16:20"),
        ("*/15 * * * *", "2012-07-09T23:46:00", "2012-07-10T00:00"),
        ("20-35/15 1/2 */2 * *", "2012-07-09T23:35:51", "2012-07-11T01:20"),
        ("20-35/15 * 9-20 Jul *", "2012-07-09T23:35:51", "2012-07-10T00:20"),
        ("0 0 9 Apr-Oct ?", "2012-07-09T23:35:00", "2012-08-09T00:00"),
        ("0 0 */5 Apr,Aug,Oct Mon", "2012-07-09T23:35:00", "2012-08-01T00:00"),
        ("0 0 */5 Oct Mon", "2012-07-09T23:35:00", "2012-10-01T00:00"),
        ("0 0 * Feb Mon", "2012-07-09T23:35:00", "2013-02-04T00:00"),
        ("0 0 * Feb Mon/2", "2012-07-09T23:35:00", "2013-02-01T00:00"),
        ("* * * * *", "2012-12-31T23:59:45", "2013-01-01T00:00"),
        ("0 0 29 Feb ?", "2012-07-09T23:35:00", "2016-02-29T00:00"),
        ("0 0 31 2 1", "2026-01-01T00:00:00", "2026-02-02T00:00"),
    ],
)
def test_next_tick_as_in_robfig_cron(text: str, after: str, following: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert parse_schedule(text).next_after(moment) == datetime.fromisoformat(following).replace(tzinfo=UTC)


# Messages


@pytest.mark.parametrize(
    ("text", "name", "value", "instead"),
    [
        ("0 3 * * 7", "day of week", "7", "0"),
        ("0 3 * * 1,5-7", "day of week", "5-7", "5-6,0"),
        ("0 3 * * 0-7", "day of week", "0-7", "0-6"),
        ("0 3 * * 7-2", "day of week", "7-2", "0-2"),
        ("0 3 * * 1-7/2", "day of week", "1-7/2", "1,3,5,0"),
        ("0 3 * * fri-mon", "day of week", "fri-mon", "5-6,0-1"),
        ("0 3 * * Monday", "day of week", "Monday", "mon"),
        ("0 3 * * mon-Friday", "day of week", "Friday", "fri"),
        ("0 3 * * Tues", "day of week", "Tues", "tue"),
        ("0 3 * september *", "month", "september", "sep"),
        ("0 22-2 * * *", "hour", "22-2", "22-23,0-2"),
        ("0 22-2/2 * * *", "hour", "22-2/2", "22,0,2"),
        ("0 0 * nov-feb *", "month", "nov-feb", "11-12,1-2"),
        ("55-5 * * * *", "minute", "55-5", "55-59,0-5"),
        ("*/60 * * * *", "minute", "*/60", "0"),
        ("0 1 */32,1-7 * 3", "day of month", "*/32", "1"),
        ("0 9/24 * * *", "hour", "9/24", "9"),
        ("1,,2 * * * *", "minute", "1,,2", "1,2"),
        (", * * * *", "minute", ",", "*"),
        ("0 0 *-3 * 1", "day of month", "*-3", "*"),
        ("+5 * * * *", "minute", "+5", "5"),
        ("*/+5 * * * *", "minute", "*/+5", "*/5"),
        ("0 * * * * *", "schedule", "0 * * * * *", "* * * * *"),
        ("@every 5m", "schedule", "@every 5m", "*/5 * * * *"),
        ("0 30 9 * * mon", "schedule", "0 30 9 * * mon", "30 9 * * mon"),
        ("1, 2 * * * *", "schedule", "1, 2 * * * *", "1,2 * * * *"),
        ("Hourly", "schedule", "Hourly", "@hourly"),
        (" @Hourly", "schedule", " @Hourly", "@hourly"),
    ],
)
def test_refusal_says_what_to_write_and_that_is_accepted(text: str, name: str, value: str, instead: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        parse_schedule(text)
    assert str(refusal.value).startswith(f'{name} "{value}": ')
    assert str(refusal.value).endswith(f'write "{instead}"')
    parse_schedule(text.replace(value, instead))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'schedule "": 0 fields; write five (minute, hour,'),
        ("0 0 1 *", 'schedule "0 0 1 *": 4 fields; write five (minute, hour, day of month, month, day of week)'),
        ("TZ=Europe/Berlin 0 0 * * *", "schedules are in UTC; drop the time zone and write the time in UTC"),
        ("Tz=UTC 0 0 * * *", 'schedules are in UTC and name no time zone; write "0 0 * * *"'),
        ("0 0 * * *TZ", "schedules are in UTC; drop the time zone and write the time in UTC"),
        ("@reboot", 'schedule "@reboot": not a descriptor; write five fields or one of @yearly @annually'),
        ("0 0 * * 5#2", 'day of week "5#2": Kubernetes has no n-th day of week; write'),
        ("0 0 L * *", 'day of month "L": Kubernetes has no last day; write'),
        ("0 0 L-3 * *", 'day of month "L-3": Kubernetes has no last day; write'),
        ("0 0 * * friL", 'day of week "friL": Kubernetes has no last day; write'),
        ("0 0 15W * *", 'day of month "15W": Kubernetes has no nearest weekday; write'),
        ("H(0-29) * * * *", 'minute "H(0-29)": only the row of a region may have a hash; write a number'),
        ("R(0-29) * * * *", 'minute "R(0-29)": Kubernetes has no random values; write a number, or H for a value'),
        ("0 ~12 * * *", 'hour "~12": Kubernetes has no random values; write a number, or H for a value that the'),
        ("@hourly h", 'schedule "@hourly h": a descriptor is in lower case, its H is not; write "@hourly H"'),
        ("@HOURLY H", 'schedule "@HOURLY H": a descriptor is in lower case, its H is not; write "@hourly H"'),
        ("@hourly 5", 'schedule "@hourly 5": not a descriptor; write five fields or one of @yearly @annually'),
        ("*/0 * * * *", 'minute "*/0": a step is a whole number; write one / and 1 to 59 after it'),
        ("* */5/2 * * *", 'hour "*/5/2": a step is a whole number; write one / and 1 to 23 after it'),
        ("99,,1 * * * *", 'minute "99": out of range; write 0 to 59'),
        ("0 0 32 * *", 'day of month "32": out of range; write 1 to 31'),
        ("0 0 1 0 *", 'month "0": out of range; write 1 to 12'),
        (f"{'9' * 5000} * * * *", "out of range; write 0 to 59"),
        ("-5 * * * *", 'minute "-5": not a value of this field; write 0 to 59, or "*"'),
        ("mon * * * *", 'minute "mon": not a value of this field; write 0 to 59, or "*"'),
        ("0 0 * * -5", 'day of week "-5": not a value of this field; write 0 to 6, sun to sat, or "*"'),
        ("\u0665 * * * *", 'minute "\\u0665": not a value of this field; write 0 to 59, or "*"'),
        ("0 0 * * someday", 'day of week "someday": not a value of this field; write 0 to 6, sun to sat, or "*"'),
        ("0 0 31 Feb *", 'day of month "31": never comes in month "Feb"; write 1 to 29, or other months'),
        ("0 0 31 4,6 */1", 'day of month "31": never comes in month "4,6"; write 1 to 30, or other months'),
    ],
)
def test_refusal_names_field_value_and_remedy(text: str, message: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        parse_schedule(text)
    assert message in str(refusal.value)


@settings(deadline=None)
@given(
    st.text()
    | st.text(alphabet="\U0001f600", min_size=150)
    | st.text(alphabet="*?/,- 0123456789@LWH()#monTZ=\u00a0\n", max_size=30)
)
def test_any_text_is_a_schedule_or_refused_in_one_line_that_says_what_to_write(text: str) -> None:
    try:
        message = parse_schedule(text).source
    except ScheduleError as refusal:
        message = str(refusal)
        assert "write " in message
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 500


# Hashes


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("H * * * *", "50 * * * *"),
        ("H/10 * * * *", "0-59/10 * * * *"),
        ("H H(0-7) * * mon-fri", "50 7 * * mon-fri"),
        ("0,H(1-29)  H\tH H H", "0,5 7 19 8 3"),
        ("@hourly H", "50 * * * *"),
        (" @daily  H", "50 7 * * *"),
        ("@midnight H", "50 1 * * *"),
        ("@weekly H", "50 7 * * 3"),
        ("@monthly H", "50 7 19 * *"),
        ("@yearly H", "50 7 19 8 *"),
        ("@annually H", "50 7 19 8 *"),
        ("@hourly", "@hourly"),
        ("5 0 * * *", "5 0 * * *"),
    ],
)
def test_a_hash_becomes_fixed_values_and_the_text_is_kept(text: str, source: str) -> None:
    schedule = parse_schedule(text, code="FR/75")
    assert (schedule.source, schedule.written) == (source, " ".join(text.split()))
    plain = parse_schedule(source)
    assert schedule == replace(plain, written=schedule.written)
    assert plain.written == plain.source


def test_the_start_deadline_is_that_of_the_fixed_values() -> None:
    assert parse_schedule("H/7 * * * *", code="FR/75").source == "6-59/7 * * * *"
    assert parse_schedule("H/7 * * * *", code="FR/75").start_deadline() == timedelta(minutes=7) / 3
    assert parse_schedule("H * * * *", code="FR/75").start_deadline() == timedelta(minutes=5)


hashed_fields = [
    st.sampled_from(["H", f"H/{high // 2}", f"H({low}-{high - 3})", f"H({low}-{high - 3})/2", f"{low},H", "*"])
    for low, high in ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
]


@settings(deadline=None)
@given(st.tuples(*hashed_fields), st.text(min_size=1, max_size=63))
def test_a_hashed_schedule_is_always_the_same_plain_schedule(fields: tuple[str, ...], code: str) -> None:
    text = " ".join(fields)
    schedule = parse_schedule(text, code=code)
    assert schedule == parse_schedule(text, code=code)
    assert "H" not in schedule.source
    assert parse_schedule(schedule.source).normalised == schedule.normalised


# Generated schedules, which know what they mean

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
NAMES = {
    (1, 12): ("Jan", "feb", "MAR", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    (0, 6): ("sun", "Mon", "TUE", "wed", "thu", "fri", "sat"),
}


@dataclass(frozen=True, slots=True)
class Written:
    """A field or an item of its list: the text, what it means, and whether it has robfig/cron's star bit."""

    text: str
    values: frozenset[int]
    star: bool


@st.composite
def written_items(draw: st.DrawFn, low: int, high: int) -> Written:
    names = NAMES.get((low, high))

    def spell(value: int) -> str:
        spellings = [str(value), f"0{value}"] + ([names[value - low]] if names else [])
        return draw(st.sampled_from(spellings))

    step = draw(st.none() | st.integers(1, high - low))
    suffix = "" if step is None else f"/{step}"
    first, last = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    match draw(st.sampled_from(["star", "value", "range"])):
        case "star":
            text, meant, star = draw(st.sampled_from("*?")), range(low, high + 1), step in (None, 1)
        case "value":
            text, meant, star = spell(first), range(first, first + 1 if step is None else high + 1), False
        case _:
            text, meant, star = f"{spell(first)}-{spell(last)}", range(first, last + 1), False
    return Written(text + suffix, frozenset(meant[:: step or 1]), star)


@st.composite
def written_fields(draw: st.DrawFn, low: int, high: int) -> Written:
    if draw(st.booleans()):
        return Written("*", frozenset(range(low, high + 1)), star=True)
    items = draw(st.lists(written_items(low, high), min_size=1, max_size=3))
    values = frozenset().union(*(item.values for item in items))
    return Written(",".join(item.text for item in items), values, any(item.star for item in items))


schedules = st.tuples(*(written_fields(low, high) for low, high in BOUNDS))
moments = st.datetimes(
    datetime(2023, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2031, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=11))]),
)


def text_of(fields: tuple[Written, ...]) -> str:
    return " ".join(written.text for written in fields)


def walk(fields: tuple[Written, ...], after: datetime) -> datetime | None:
    """Find the next tick by looking at every minute of five years, whole days at once where the day is wrong."""
    minute, hour, day, month, weekday = fields
    moment = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    end = moment + timedelta(days=5 * 366)
    both = day.star or weekday.star
    while moment < end:
        matches = (moment.day in day.values, moment.isoweekday() % 7 in weekday.values)
        if moment.month not in month.values or not (all(matches) if both else any(matches)):
            moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
        elif moment.hour in hour.values and moment.minute in minute.values:
            return moment
        else:
            moment += timedelta(minutes=1)
    return None


@settings(deadline=None, max_examples=300)
@given(schedules, moments)
def test_ticks_are_those_of_a_walk_through_the_minutes(fields: tuple[Written, ...], moment: datetime) -> None:
    expected = walk(fields, moment)
    if expected is None:
        with pytest.raises(ScheduleError, match="never comes"):
            parse_schedule(text_of(fields))
        return
    schedule = parse_schedule(text_of(fields))
    for tick in islice(ticks(schedule, moment), 3):
        assert tick == expected
        assert tick.tzinfo is UTC
        expected = walk(fields, tick)


@settings(deadline=None)
@given(schedules, moments)
def test_the_days_with_ticks_are_those_of_a_walk_through_the_minutes(
    fields: tuple[Written, ...], moment: datetime
) -> None:
    assume(accepted(fields))
    schedule = parse_schedule(text_of(fields))
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = walk(fields, midnight - timedelta(minutes=1))
    assert first is not None
    assert schedule.ticks_on(midnight.date()) is (first < midnight + timedelta(days=1))


def accepted(fields: tuple[Written, ...]) -> bool:
    return walk(fields, NEW_YEAR) is not None


@settings(deadline=None)
@given(
    schedules.filter(accepted), st.lists(st.sampled_from([" ", "  ", "\t", "\u3000", " \n"]), min_size=6, max_size=6)
)
def test_source_and_normal_form_say_the_same_as_the_text(fields: tuple[Written, ...], blanks: list[str]) -> None:
    text = blanks[0] + "".join(written.text + blank for written, blank in zip(fields, blanks[1:], strict=True))
    schedule = parse_schedule(text)
    assert schedule.source == text_of(fields)
    assert parse_schedule(schedule.source) == schedule
    normal = parse_schedule(schedule.normalised)
    assert normal.normalised == normal.source == schedule.normalised
    assert tuple(islice(ticks(normal, NEW_YEAR), 3)) == tuple(islice(ticks(schedule, NEW_YEAR), 3))


@settings(deadline=None)
@given(schedules.filter(accepted), moments)
def test_ticks_are_full_minutes_after_the_moment_and_no_closer_than_the_shortest_interval(
    fields: tuple[Written, ...], moment: datetime
) -> None:
    schedule = parse_schedule(text_of(fields))
    series = list(islice(ticks(schedule, moment), 20))
    assert series[0] > moment
    assert all(tick == tick.replace(second=0, microsecond=0) for tick in series)
    assert min(later - earlier for earlier, later in pairwise(series)) >= schedule.shortest_interval()


@settings(deadline=None)
@given(written_fields(*BOUNDS[0]), written_fields(*BOUNDS[1]))
def test_shortest_interval_is_exact_where_every_day_matches(minute: Written, hour: Written) -> None:
    schedule = parse_schedule(f"{minute.text} {hour.text} * * *")
    times = [time for time in range(2 * 24 * 60) if time % 60 in minute.values and time // 60 % 24 in hour.values]
    assert schedule.shortest_interval() == timedelta(minutes=min(later - earlier for earlier, later in pairwise(times)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("* * * * *", 20),
        ("*/5 * * * *", 100),
        ("*/7 * * * *", 80),
        ("*/15 * * * *", 300),
        ("0,58 0,23 * * *", 40),
        ("@hourly", 300),
        ("0 */2 * * *", 300),
        ("0 */4 * * *", 600),
        ("0 0,12 * * *", 1800),
        ("30 3 * * *", 3600),
        ("@yearly", 3600),
    ],
)
def test_start_deadline_is_a_third_of_the_shortest_interval_up_to_five_minutes_and_an_hour_for_a_daily_tick(
    text: str, seconds: int
) -> None:
    assert parse_schedule(text).start_deadline() == timedelta(seconds=seconds)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="2026-01-01T00:00:00 has no time zone"):
        parse_schedule("* * * * *").next_after(NEW_YEAR.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("* * * * *", 1),
        ("*/45 * * * *", 30),
        ("0 3 * * *", 24 * 60),
        ("@yearly", 366 * 24 * 60),
        ("0 0 29 2 *", 366 * 24 * 60),
        ("0 8-17 * * *", 144),
    ],
)
def test_the_mean_interval_counts_the_ticks_of_a_leap_year(text: str, minutes: int) -> None:
    assert parse_schedule(text).mean_interval() == timedelta(minutes=minutes)


@settings(deadline=None, max_examples=30)
@given(schedules.filter(accepted))
def test_every_schedule_has_a_mean_interval(fields: tuple[Written, ...]) -> None:
    schedule = parse_schedule(text_of(fields))
    assert schedule.shortest_interval() <= schedule.mean_interval() <= timedelta(days=366)
