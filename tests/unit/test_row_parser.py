"""regions/row_parser.py: only rows that changed are parsed, and the result is that of a first reading."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from region_operator.regions.row_parser import RowParser
from tests.harness.examples import finish

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from region_operator.regions.region import Quarantined, RegionRow

CORNERS = ("bbox_min_lon", "bbox_min_lat", "bbox_max_lon", "bbox_max_lat")


def row(region_id: str, code: str, name: str = "x") -> dict[str, Any]:
    return {"id": region_id, "code": code, "name": name, "cron_schedule": "@daily"} | dict.fromkeys(CORNERS)


def parse(
    parser: RowParser, rows: Sequence[Mapping[str, Any]], *, source: str = "s", ticking: str = ""
) -> tuple[list[RegionRow | Quarantined], int]:
    """Return the regions, and how many of them were parsed. The id `ticking` ticks for every code."""
    work = parser.parse(rows, source=source, ticking_ids=lambda codes: {code: {ticking} for code in codes})
    parsed = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value, parsed
        parsed += 1


def test_rows_that_stayed_the_same_are_not_parsed_again() -> None:
    parser = RowParser()
    rows = [row("1", "A"), row("2", "B"), row("3", "C")]
    first, parsed = parse(parser, rows)
    assert parsed == 3
    again, parsed = parse(parser, [dict(same) for same in rows])
    assert (again, parsed) == (first, 0)
    assert all(before is now for before, now in zip(first, again, strict=True))
    _, parsed = parse(parser, [*rows[:2], row("3", "C", name="other")])
    assert parsed == 1
    left, parsed = parse(parser, rows[:2])
    assert ([region.id for region in left], parsed) == (["1", "2"], 0)
    _, parsed = parse(parser, rows)
    assert parsed == 1, "what was gone is parsed anew"


def test_a_row_that_changed_back_is_as_it_was() -> None:
    parser = RowParser()
    before, after = [row("1", "A"), row("2", "B")], [row("1", "A"), row("2", "B", name="y")]
    first, _ = parse(parser, before)
    parse(parser, after)
    parse(parser, [*after, row("3", "C")])
    assert parse(parser, before)[0] == first


def test_another_table_is_parsed_as_a_whole() -> None:
    parser = RowParser()
    parse(parser, [row("1", "A")])
    assert parse(parser, [row("1", "A")], source="other")[1] == 1


def test_equal_values_of_another_type_are_parsed_anew() -> None:
    """ALTER COLUMN ... TYPE numeric makes the id "1.0" of the id "1"."""
    parser = RowParser()
    parse(parser, [row("x", "A") | {"id": 1}])
    [region], _ = parse(parser, [row("x", "A") | {"id": Decimal("1.0")}])
    assert region.id == "1.0"


def test_ten_thousand_rows_of_one_code_cost_no_more_than_others() -> None:
    class Counted(str):
        __slots__ = ()
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return super().__eq__(other)

        __hash__ = str.__hash__

    rows = [row(Counted(number), "A") for number in range(2000)]
    finish(RowParser().parse(rows, source="s", ticking_ids=lambda _: {}))
    assert Counted.compared < 20 * len(rows)


def test_a_code_that_a_second_row_takes_concerns_the_first_row_too() -> None:
    parser = RowParser()
    parse(parser, [row("1", "A"), row("2", "B")])
    regions, parsed = parse(parser, [row("1", "A"), row("2", "A")])
    assert ([hasattr(region, "reason") for region in regions], parsed) == ([True, True], 2)
    regions, parsed = parse(parser, [row("1", "A"), row("2", "A")], ticking="1")
    assert ([hasattr(region, "reason") for region in regions], parsed) == ([False, True], 2)
    regions, parsed = parse(parser, [row("1", "A"), row("2", "B")], ticking="1")
    assert ([hasattr(region, "reason") for region in regions], parsed) == ([False, False], 2)


def test_who_ticks_is_asked_only_for_shared_codes() -> None:
    asked: list[set[str]] = []

    def ticking_ids(codes: Any) -> dict[str, set[str]]:
        asked.append(set(codes))
        return {}

    finish(RowParser().parse([row("1", "A"), row("2", "B")], source="s", ticking_ids=ticking_ids))
    assert asked == []
    rows = [row("1", "A"), row("2", "B"), row("3", "A"), row("1", "B")]
    finish(RowParser().parse(rows, source="s", ticking_ids=ticking_ids))
    assert asked == [{"A", "B"}]


READINGS = st.lists(st.lists(st.tuples(st.sampled_from("123"), st.sampled_from("AB"), st.sampled_from("xy"))))


@given(READINGS, st.sampled_from(["", "1", "2"]))
def test_after_any_readings_the_result_is_that_of_a_first_reading(
    readings: list[list[tuple[str, str, str]]], ticking: str
) -> None:
    parser = RowParser()
    for reading in readings:
        rows = [row(*values) for values in reading]
        assert parse(parser, rows, ticking=ticking)[0] == parse(RowParser(), rows, ticking=ticking)[0]
