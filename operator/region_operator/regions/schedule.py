"""Cron schedules: Kubernetes' grammar, a normal form, and the times that follow from it. Pure: no clock, no I/O.

What may be written is what the API server takes, always in UTC: ParseStandard of robfig/cron v3.0.1, and no time zone
in the text (validateScheduleFormat in Kubernetes' pkg/apis/batch/validation/validation.go). Refused although Kubernetes
takes it, because nobody means it: `@every`, which is not aligned to the clock; a step as large as its field, which
crashed kube-state-metrics (its issue 2967); empty list items; text after `*-`; signs; and schedules that never fire.

croniter counts the times and is never asked whether a schedule is valid. It gets the normal form, because it reads some
texts otherwise than Kubernetes: `5-5` as every value, `*/1` as a restriction of the day, `0-6` as none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from croniter import croniter

from region_operator.regions.cron_field import DAY, FIELDS, WEEKDAY, ScheduleError, choose, quoted, refuse


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a region ticks. `source` is the text as written, its blanks collapsed: the CronJob's `spec.schedule`.

    `normalised` says the same in five fields, each `*` or a list of numbers. `minutes` and `hours` hold the values of
    its first two, ascending.
    """

    source: str
    normalised: str
    minutes: tuple[int, ...] = field(repr=False)
    hours: tuple[int, ...] = field(repr=False)

    def next_after(self, moment: datetime) -> datetime:
        """Return the first tick strictly after `moment`: a full minute, UTC. Raises ValueError for a naive `moment`."""
        if moment.utcoffset() is None:
            raise ValueError(f"moment {moment.isoformat()} has no time zone: give it one, e.g. UTC")
        following: datetime = croniter(self.normalised, moment.astimezone(UTC), ret_type=datetime).get_next()
        return following

    def shortest_interval(self) -> timedelta:
        """Return the shortest time between two times of day, also across midnight, in whole minutes.

        Exact where every day matches. Elsewhere it is never longer than the shortest time between two ticks, because a
        day without ticks only lengthens that.
        """
        hours_apart = min(later - earlier for earlier, later in pairwise((*self.hours, self.hours[0] + 24)))
        across_hours = hours_apart * 60 - (self.minutes[-1] - self.minutes[0])
        within_hour = (later - earlier for earlier, later in pairwise(self.minutes))
        return timedelta(minutes=min((across_hours, *within_hour)))

    def start_deadline(self) -> timedelta:
        """Return how late a tick may start: a third of the shortest interval, at most 5 min, in whole seconds.

        No floor is needed: a schedule of every minute, the densest there is, has 20 s.
        """
        return min(self.shortest_interval() / 3, timedelta(minutes=5))


_LONGEST_MONTH = dict(enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1))
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_BLANKS = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
"""Where Go's strings.Fields splits. Python's str.split() splits at four control characters more."""


def parse_schedule(text: str) -> Schedule:
    """Read a schedule as the API server does, strictly. Raises ScheduleError."""
    words = [word for word in _BLANKS.split(text) if word]
    source = " ".join(words)
    if "TZ" in text or re.match(r"(cron_)?tz=", source, re.IGNORECASE):
        raise refuse("schedule", source, "schedules are in UTC; drop the time zone and write the time in UTC")
    if source.startswith("@"):
        words = _described(text).split(" ")
    if len(words) != len(FIELDS):
        raise _wrong_count(words)
    minute, hour, day, month, weekday = map(choose, FIELDS, words)
    if (day.full or weekday.full) and not (day.star or weekday.star):
        # Without a star bit a day has to match one of the two only, and one of the two matches every day. With it a day
        # has to match both, and the one with the bit matches every day. So `*` and lists can say it all to croniter.
        day, weekday = choose(DAY, "*"), choose(WEEKDAY, "*")
    longest = max(_LONGEST_MONTH[number] for number in month.values)
    if weekday.full and day.values[0] > longest:
        why = f"never comes in month {quoted(words[3])}; write 1 to {longest}, or other months"
        raise refuse(DAY.name, words[2], why)
    return Schedule(source, f"{minute} {hour} {day} {month} {weekday}", minutes=minute.values, hours=hour.values)


def _described(text: str) -> str:
    """Return the five fields that a descriptor stands for; as in Kubernetes in lower case, without blanks around."""
    meant = _BLANKS.sub(" ", text).strip(" ").lower()
    if text in _DESCRIPTORS:
        return _DESCRIPTORS[text]
    if meant in _DESCRIPTORS:
        raise refuse("schedule", text, f"a descriptor is in lower case, without blanks; write {quoted(meant)}")
    if meant.startswith("@every"):
        why = 'an interval is not aligned to the clock; write minutes or hours, such as "*/5 * * * *" or "0 */6 * * *"'
        raise refuse("schedule", text, why)
    raise refuse("schedule", text, f"not a descriptor; write five fields or one of {' '.join(_DESCRIPTORS)}")


def _wrong_count(words: list[str]) -> ScheduleError:
    """Say what is too much or too little in a schedule that has not five fields."""
    source = " ".join(words)
    if f"@{source.lower()}" in _DESCRIPTORS:
        return refuse("schedule", source, f'a descriptor begins with @; write "@{source.lower()}"')
    if any(word.startswith(",") or word.endswith(",") for word in words):
        return refuse("schedule", source, f"a list has no blanks; write {quoted(re.sub(' ?, ?', ',', source))}")
    if len(words) == len(FIELDS) + 1 and not re.fullmatch(r"[0-9]{4}", words[-1]):
        why = f"Kubernetes has no seconds; drop the seconds field: write {quoted(' '.join(words[1:]))}"
        return refuse("schedule", source, why)
    why = f'{len(words)} fields; write five ({", ".join(of.name for of in FIELDS)}), such as "*/5 * * * *"'
    return refuse("schedule", source, why)
