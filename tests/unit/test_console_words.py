"""console.words: a schedule in English."""

from __future__ import annotations

import pytest

from region_operator.console.words import schedule_in_words
from region_operator.regions.schedule import parse_schedule

WORDS = {
    "* * * * *": "every minute",
    "*/5 * * * *": "every 5 minutes",
    "2-59/5 * * * *": "every 5 minutes from minute 2 on",
    "7 * * * *": "at minute 7 of every hour",
    "7,9 * * * *": "at minutes 7 and 9 of every hour",
    "0-4 * * * *": "at minutes 0 to 4 of every hour",
    "30 2 * * *": "at 02:30",
    "0 6,12 * * *": "at 06:00 and 12:00",
    "*/15 8-17 * * 1-5": "every 15 minutes of the hours 8 to 17, on Monday to Friday",
    "0 9 1 * *": "at 09:00, on day 1 of the month",
    "0 9 1,15 * *": "at 09:00, on days 1 and 15 of the month",
    "0 9 1 * 1": "at 09:00, on day 1 of the month and on Monday",
    "0 0 1 1,7 *": "at 00:00, on day 1 of the month, in January and July",
    "0 0 * 6-8 *": "at 00:00, in June to August",
    "@hourly": "at minute 0 of every hour",
    "0 */2 * * *": "at minute 0 of the hours 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20 and 22",
    "30 1-3 * * 0,6": "at 01:30, 02:30 and 03:30, on Sunday and Saturday",
    "0,1 * * * *": "at minutes 0 and 1 of every hour",
    "*/7 * * * *": "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour",
}


@pytest.mark.parametrize("cron", WORDS)
def test_a_schedule_in_words(cron: str) -> None:
    assert schedule_in_words(parse_schedule(cron)) == WORDS[cron]


def test_a_hash_is_said_by_its_minute() -> None:
    schedule = parse_schedule("H * * * *", code="R1")
    assert schedule_in_words(schedule) == f"at minute {schedule.minutes[0]} of every hour"
