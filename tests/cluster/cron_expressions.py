"""Schedules by chance: valid ones, and such as are nearly valid. The same seed gives the same ones."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
NAMES = {
    3: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    4: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
DESCRIPTORS = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]

_BLANKS = " \t\n\r\v\f\x85\u00a0\u2003\u3000"
_NO_BLANKS = "\x00\x1c\x1f\u200b\ufeff"
_ALPHABET = "*?/-,+0123456789 @#~.=LWHRTZajnmo\u0665\u00e9\U0001f600"
_ODD_ITEMS = """
7 0-7 5-7 7-1 0,7 7/2 1-7/2 Monday monday tues mon-Fri fri-mon sat-sun sun-sat mon/2 JAN Feb january 5-5 5-5/2 08 007
5#2 fri#2 L 5L friL LW 15W L-3 H H/15 H(0-29) R ~ 1~5 C 1.5 -5 5- 5-- 1-2-3 - / */ /5 5* *5 ** a * ? 0x5 1_0 1e1
*/0 */00 */-1 */-0 */*/2 1/2/3 */x */1 */1,3 ?/1 ?/3 *,5 ?,* +5 */+5 +1-+3 1/+1 ++5 *-5 *-x ?-x *-/2 *- 1,,2 ,1 1, , ,,
0000000000000000000005 99999999999999999999 9223372036854775807 */9223372036854775807 60 */60 */59 */24 */23 */31 */30
*/12 */11 */7 */6 5/7 0/60 1-5/60 0-59 1-31 1-12 0-6 0-23
""".split()  # noqa: SIM905 - a list of them would be a hundred lines
_ODD_WHOLES = (
    "",
    " ",
    *(f" {descriptor}" for descriptor in DESCRIPTORS[:2]),
    *(f"{descriptor} " for descriptor in DESCRIPTORS[2:4]),
    *("@Hourly", "@DAILY", "@reboot", "@", "@@daily", "@dail", "daily", "@daily *"),
    *("@every 5m", "@every 1h30m", "@every -5m", "@every 1s", "@every 1.5h", "@every 0s"),
    *("@every", "@every ", "@every 5", "@every  5m", "@every 5m ", "@every 1d", "@Every 5m", " @every 5m"),
)
_ZONES = ("TZ=UTC ", "CRON_TZ=UTC ", "TZ=Europe/Berlin ", "tz=UTC ", "TZ=", "CRON_TZ=UTC", "TZ=0 ", "TZ", "TZ= ")


@dataclass(frozen=True, slots=True)
class Expressions:
    """A source of schedules."""

    seed: int
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_random", random.Random(self.seed))  # noqa: S311 - repeatable is the point

    def valid(self) -> str:
        """Return what the grammar generates."""
        return self._random.choice(DESCRIPTORS) if self._random.random() < 0.01 else " ".join(self._fields())

    def nearly_valid(self) -> str:
        """Return a schedule with something odd in it; some are valid nevertheless."""
        ways = (self._odd_item, self._odd_items_beside, self._odd_count, self._odd_blanks, self._odd_whole)
        text = self._random.choice((*ways, self._odd_dates, self._odd_characters, self._odd_characters))()
        return self._scrambled(text) if self._random.random() < 0.1 else text

    def _fields(self) -> list[str]:
        return [self._field(place) for place in range(len(BOUNDS))]

    def _field(self, place: int) -> str:
        if self._random.random() < 0.3:
            return "*"
        return ",".join(self._item(place) for _ in range(self._random.choice([1, 1, 1, 2, 3])))

    def _item(self, place: int) -> str:
        low, high = BOUNDS[place]
        first, last = sorted(self._random.choices(range(low, high + 1), k=2))
        kind = self._random.random()
        if kind < 0.25:
            item = self._random.choice("*?")
        elif kind < 0.6:
            item = self._spelt(place, first)
        elif kind < 0.7:
            item = f"{low}-{high}"
        else:
            item = f"{self._spelt(place, first)}-{self._spelt(place, last)}"
        if self._random.random() < 0.35:
            item += f"/{self._random.choice([1, 2, 3, 5, self._random.randint(1, high - low)])}"
        return item

    def _spelt(self, place: int, value: int) -> str:
        if place in NAMES and self._random.random() < 0.3:
            name = NAMES[place][value - BOUNDS[place][0]]
            return self._random.choice([name, name.upper(), name.title()])
        return self._random.choice(["", "", "", "0", "00"]) + str(value)

    def _odd_item(self) -> str:
        fields = self._fields()
        fields[self._random.randrange(len(fields))] = self._random.choice(_ODD_ITEMS)
        return " ".join(fields)

    def _odd_items_beside(self) -> str:
        """Return one or two odd items among others of a list, and the days of month and week in any company."""
        fields = self._fields()
        for place in self._random.choices(range(len(fields)), k=2):
            items = [self._item(place), self._random.choice([*_ODD_ITEMS, "", "*", "*/1", "*/2"]), self._item(place)]
            fields[place] = ",".join(items[self._random.randrange(2) : self._random.randint(2, 3)])
        return " ".join(fields)

    def _odd_count(self) -> str:
        fields = self._fields()
        if self._random.random() < 0.4:
            fields.pop(self._random.randrange(len(fields)))
        else:
            fields.insert(self._random.randint(0, len(fields)), self._random.choice(["*", "0", "root", "2026", "#"]))
        return " ".join(fields)

    def _odd_blanks(self) -> str:
        blanks = [*_BLANKS, "  ", " \t ", *self._random.choices(_NO_BLANKS, k=2)]
        text = "".join(field + self._random.choice(blanks) for field in self._fields())
        return self._random.choice(["", " ", "\u3000"]) + (text if self._random.random() < 0.5 else text[:-1])

    def _odd_whole(self) -> str:
        if self._random.random() < 0.5:
            return self._random.choice(_ODD_WHOLES)
        text, place = self.valid(), self._random.choice([0, 0, 0, 5, 99])
        return text[:place] + self._random.choice(_ZONES) + text[place:]

    def _odd_dates(self) -> str:
        """Return days that some or all of the months lack, with any day of week."""
        fields = self._fields()
        fields[2] = self._random.choice(["29", "30", "31", "30-31", "30,31", "29-31/2", "31/1"])
        fields[3] = self._random.choice(["2", "feb", "4", "4,6", "2,4", "Feb-Apr", "6/5"])
        fields[4] = self._random.choice(["*", "*/1", "?", "0-6", "*/2", "1", fields[4]])
        return " ".join(fields)

    def _odd_characters(self) -> str:
        return self._scrambled(" ".join(self._fields()))

    def _scrambled(self, text: str) -> str:
        """Insert, remove or replace a few characters."""
        for _ in range(self._random.choice([1, 1, 2, 3])):
            place = self._random.randint(0, len(text))
            inserted = self._random.choice(["", *_ALPHABET])
            text = text[:place] + inserted + text[place + self._random.randrange(2) :]
        return text
