"""regions/dialects.py: schedules in other schedulers' dialects, and the text that each of them is refused with.

A text that a refusal offers means the same ticks, and Kubernetes takes the text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.schedule import Schedule, parse_schedule


def refusal(text: str) -> str:
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(text, code="FR")
    return str(caught.value)


def offered(message: str) -> str | None:
    """Return the schedule that a message says to write, if it offers one. Behind "then" stands the error of a field."""
    match = None if "; then " in message else re.search(r'write ("(?:[^"\\]|\\.)*")$', message)
    return match and json.loads(match[1])


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("0 10 * * ? *", "0 10 * * *"),
        ("cron(0 10 * * ? *)", "0 10 * * *"),
        ("cron( 15 12 * * ? * )", "15 12 * * *"),
        ("0 18 ? * MON-FRI *", "0 18 * * MON-FRI"),
        ("0/10 * ? * 2-6 *", "0/10 * * * mon-fri"),
        ("0 8 1 * ? *", "0 8 1 * *"),
        ("0/15 8-17 ? * 7,1 *", "0/15 8-17 * * sat,sun"),
        ("cron(*/5 * * * *)", "*/5 * * * *"),
        ("rate(1 minute)", "* * * * *"),
        ("rate(15 minutes)", "*/15 * * * *"),
        ("rate(1 hour)", "0 * * * *"),
        ("rate(6 hours)", "0 */6 * * *"),
        ("rate(1 day)", "0 0 * * *"),
        ("@every 1h", "0 * * * *"),
        ("@every 1h0m0s", "0 * * * *"),
        ("@every 60m", "0 * * * *"),
        ("0 0 12 ? * 2", "0 12 * * mon"),
        ("0 0 12 ? * 1,7", "0 12 * * sun,sat"),
        ("0 0 12 ? * 6-2", "0 12 * * fri-sat,sun-mon"),
        ("0 0 12 ? * 2/2", "0 12 * * mon,wed,fri"),
        ("0 0 12 ? * L", "0 12 * * sat"),
        ("0 0 12 ? * FRI-MON", "0 12 * * fri-sat,sun-mon"),
        ("0 0 22-2 * * ?", "0 22-23,0-2 * * *"),
        ("30 15 10 15 * ?", "15 10 15 * *"),
        ("0 15 10 * * ? *", "15 10 * * *"),
        ("0 0 9-17 * * MON-FRI", "0 9-17 * * MON-FRI"),
        ("0 0 9 * * 5-7", "0 9 * * 5-6,0"),
        ("0 0 9 * * 7", "0 9 * * 0"),
        ("0 H 9 * * 1", "H 9 * * 1"),
        ("CRON_TZ=UTC 0 5 * * *", "0 5 * * *"),
        ("TZ=Etc/UTC 0 5 * * *", "0 5 * * *"),
        ("tz=utc @daily", "@daily"),
        ("0 5 * * * UTC", "0 5 * * *"),
        ("0 5 * * * Z", "0 5 * * *"),
        ("0 5 * * * (UTC)", "0 5 * * *"),
        ("@daily UTC", "@daily"),
        ("0 0 12 ? * 2 UTC", "0 12 * * mon"),
        ("CRON_TZ=UTC 0 10 * * ? *", "0 10 * * *"),
        ('"0 5 * * *"', "0 5 * * *"),
        ("'@daily'", "@daily"),
        ("`0 5 * * *`", "0 5 * * *"),
        ("0 5 * * * root /usr/bin/backup --all", "0 5 * * *"),
        ("0 5 * * * /usr/bin/backup", "0 5 * * *"),
        ("*/5 * * * * # every five minutes", "*/5 * * * *"),
        ("0 0 12 * * ? # noon", "0 12 * * *"),
    ],
)
def test_a_refusal_offers_the_same_ticks(text: str, instead: str) -> None:
    assert offered(refusal(text)) == instead
    parse_schedule(instead, code="FR")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 10 * * ? 2026", "Kubernetes has no years; leave the year out"),
        ("cron(0 10 * * ? 2026-2028)", "Kubernetes has no years; leave the year out"),
        ("0 0 1 1 * 2026", "Kubernetes has no years; leave the year out"),
        ("0 0 12 * * ? 2026", "Kubernetes has no years; leave the year out"),
        ("0 0 12 L * ?", 'then day of month "L": Kubernetes has no last day; write'),
        ("0 0 12 ? * 6L", 'then day of week "6L": Kubernetes has no last day; write'),
        ("0 0 12 ? * 6#3", 'then day of week "6#3": Kubernetes has no n-th day of week; write'),
        ("0 0 12 15W * ?", 'then day of month "15W": Kubernetes has no nearest weekday; write'),
        ("0 10 1W * ? *", 'then day of month "1W": Kubernetes has no nearest weekday; write'),
        ("*/10 * * * * *", "its shortest interval is a minute; write five fields"),
        ("* * * * * *", "its shortest interval is a minute; write five fields"),
        ("0 0 9 13 * FRI", "drop the seconds and write one of the two as *"),
        ("CRON_TZ=Europe/Paris 0 5 * * *", "drop the time zone and write the time in UTC"),
        ('TZ="America/New_York" 0 5 * * *', "drop the time zone and write the time in UTC"),
        ("0 5 * * * Europe/Paris", "drop the time zone and write the time in UTC"),
        ("0 5 * * * America/Argentina/Buenos_Aires", "drop the time zone and write the time in UTC"),
        ("0 5 * * * CET", "drop the time zone and write the time in UTC"),
        ("0 5 * * * +02:00", "drop the time zone and write the time in UTC"),
        ("0 5 * * * GMT+2", "drop the time zone and write the time in UTC"),
        ("0 0 5 * * ? Europe/Paris", "drop the time zone and write the time in UTC"),
        ("rate(7 minutes)", "write minutes that divide the hour, or hours that divide the day"),
        ("rate(7 days)", "write minutes that divide the hour, or hours that divide the day"),
        ("@every 90m", "write minutes that divide the hour, or hours that divide the day"),
        ("@every 1h30m", "write minutes that divide the hour, or hours that divide the day"),
        ("@every 30s", "write minutes that divide the hour, or hours that divide the day"),
        ("@every", "write minutes that divide the hour, or hours that divide the day"),
        ("at(2026-11-20T13:00:00)", "not a schedule in five fields; write"),
        ("0 0 12 * * monday", "then day of week"),
        ("0 0 12 * * lundi", "6 fields; write five"),
        ("0 0 12 * * ? 2026 2027", "8 fields; write five"),
        ("0 5 31 feb * root x", 'then day of month "31": never comes in month "feb"; write 1 to 29'),
    ],
)
def test_a_refusal_offers_no_text_where_none_means_the_same(text: str, message: str) -> None:
    assert message in refusal(text)
    assert offered(refusal(text)) is None


@dataclass(frozen=True, slots=True)
class Part:
    """A field as a dialect writes it, and the values that the dialect means."""

    text: str
    values: frozenset[int]


DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
EVERY = {"minute": range(60), "hour": range(24), "day": range(1, 32), "month": range(1, 13), "weekday": range(7)}


@st.composite
def parts(draw: st.DrawFn, name: str, *, first_weekday: int) -> Part:
    """Draw a field. `first_weekday` is the dialect's number of Sunday."""
    every = EVERY[name]

    def spell(value: int) -> str:
        if name != "weekday":
            return str(value)
        return draw(st.sampled_from([str(value + first_weekday), DAYS[value]]))

    def item() -> Part:
        low, high = sorted((draw(st.sampled_from(every)), draw(st.sampled_from(every))))
        step = draw(st.integers(1, max(1, len(every) // 3)))
        match draw(st.sampled_from(["value", "range", "step"])):
            case "value":
                return Part(spell(low), frozenset([low]))
            case "range":
                return Part(f"{spell(low)}-{spell(high)}", frozenset(range(low, high + 1)))
            case _:
                return Part(f"{spell(low)}/{step}", frozenset(range(low, every[-1] + 1, step)))

    if draw(st.booleans()):
        return Part("*", frozenset(every))
    items = [item() for _ in range(draw(st.integers(1, 3)))]
    return Part(",".join(one.text for one in items), frozenset().union(*(one.values for one in items)))


@st.composite
def dialect_texts(draw: st.DrawFn) -> tuple[str, tuple[frozenset[int], ...]]:
    """Draw a text of a dialect, and the values of the five fields that the text means."""
    dialect = draw(st.sampled_from(["eventbridge", "quartz", "quartz with a year", "spring", "crontab", "utc"]))
    first_weekday = 1 if dialect in ("eventbridge", "quartz", "quartz with a year") else 0
    fields = [draw(parts(name, first_weekday=first_weekday)) for name in EVERY]
    free = draw(st.sampled_from([2, 4]))
    star = "?" if first_weekday else "*"
    fields[free] = Part(star, frozenset(EVERY["day" if free == 2 else "weekday"]))
    if draw(st.booleans()):
        fields[6 - free] = Part("*", frozenset(EVERY["weekday" if free == 2 else "day"]))
    text = " ".join(field.text for field in fields)
    second = draw(st.integers(0, 59))
    written = {
        "eventbridge": draw(st.sampled_from([f"{text} *", f"cron({text} *)"])),
        "quartz": f"{second} {text}",
        "quartz with a year": f"{second} {text} *",
        "spring": f"{second} {text}",
        "crontab": f"{text} {draw(st.sampled_from(['root /bin/true', '/bin/true', '# why', 'curl -s http://e.org/']))}",
        "utc": draw(st.sampled_from([f"CRON_TZ=UTC {text}", f"TZ=Etc/UTC {text}", f"{text} UTC", f"{text} Etc/UTC"])),
    }[dialect]
    return written, tuple(field.values for field in fields)


def values(schedule: Schedule) -> tuple[frozenset[int], ...]:
    fields = (schedule.minutes, schedule.hours, schedule.days, schedule.months, schedule.weekdays)
    return tuple(frozenset(field) for field in fields)


@given(dialect_texts())
def test_whatever_is_offered_is_taken_and_means_the_same_ticks(case: tuple[str, tuple[frozenset[int], ...]]) -> None:
    text, meant = case
    message = refusal(text)
    instead = offered(message)
    if instead is not None:
        schedule = parse_schedule(instead)
        if values(schedule) != meant:  # a full field and a star are the same
            assert values(parse_schedule(schedule.normalised)) == meant
    else:
        assert re.search(r"never comes|step", message), message
    assert len(message) < 500


FRAGMENTS = (
    "0 5 10 60 * ? */5 0/15 1-5 6-2 MON monday MON-FRI 2#1 6L L LW 15W H H/5 R 2026 1970-2199 UTC Z Europe/Paris CET"
    " +02:00 TZ=UTC CRON_TZ=Asia/Tokyo root /bin/true # @daily @every 5m rate(5 minutes) cron( ) \" ' 1, ,2 +5 7 5-7"
)


@given(st.lists(st.sampled_from(FRAGMENTS.split()), min_size=1, max_size=9).map(" ".join))
def test_whatever_is_offered_for_any_text_is_taken(text: str) -> None:
    try:
        parse_schedule(text, code="FR")
    except ScheduleError as error:
        message = str(error)
        assert "write " in message
        if message.startswith("schedule ") and (instead := offered(message)) is not None:
            parse_schedule(instead, code="FR")
