"""regions/region.py: which rows become regions, and the reasons for all other rows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from region_operator.regions.region import TEXT_LIMITS, Quarantined, RegionRow
from region_operator.regions.row_parser import RowParser
from region_operator.regions.row_values import Bbox, printable
from tests.harness.examples import finish

if TYPE_CHECKING:
    from collections.abc import Mapping

CORNERS = ("bbox_min_lon", "bbox_min_lat", "bbox_max_lon", "bbox_max_lat")
ROW: dict[str, Any] = {"id": 1, "code": "R1", "name": "One", "cron_schedule": "@daily"} | dict.fromkeys(CORNERS)


HANDLER_REMEDY = 'write a name, e.g. "poke", or "module:function", or NULL for that of the RegionScheduler'
TIMEOUT_REMEDY = 'write a Go duration from 1s to 24h, e.g. "90s" or "1h30m", or NULL for that of the RegionScheduler'


def bbox(*corners: object) -> dict[str, object]:
    return dict(zip(CORNERS, corners, strict=True))


def parse(
    *changes: Mapping[str, object], ticking_ids: Mapping[str, set[str]] | None = None
) -> list[RegionRow | Quarantined]:
    rows = [{**ROW, **change} for change in changes]
    return finish(RowParser().parse(rows, source="public.region_index", ticking_ids=lambda _: ticking_ids or {}))


def reasons(*changes: Mapping[str, object], ticking_ids: Mapping[str, set[str]] | None = None) -> dict[str, str]:
    """Return the reason of each row that is quarantined, by its id."""
    return {row.id: row.reason for row in parse(*changes, ticking_ids=ticking_ids) if isinstance(row, Quarantined)}


def test_a_row_is_a_region() -> None:
    corners = bbox(Decimal("2.224122"), Decimal("48.8"), Decimal("2.5"), Decimal(49))
    box = Bbox(Decimal("2.224122"), Decimal("48.8"), Decimal("2.5"), Decimal(49))
    assert parse(corners) == [RegionRow("public.region_index", "1", "R1", "One", box, "@daily")]


@pytest.mark.parametrize("timeout", ["1m30s", timedelta(seconds=90)], ids=["text", "interval"])
def test_a_row_may_have_a_handler_and_a_timeout_of_its_own(timeout: object) -> None:
    own = parse({"handler": "work:run", "timeout": timeout})
    assert own == [
        RegionRow("public.region_index", "1", "R1", "One", None, "@daily", "work:run", timedelta(seconds=90))
    ]
    assert parse({"handler": None, "timeout": None}) == parse({})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("{", 'params "{" is no JSON'),
        ("[]", 'params "[]" is no object: write a JSON object'),
        ("3", "is no object"),
        ('{"a": NaN}', "NaN is not in JSON"),
        ('{"a": ' + "[" * 4000 + "]" * 4000 + "}", "is no JSON"),
        (f'{{"a": "{"x" * 8192}"}}', "params has 8201 bytes: write at most 8192"),
    ],
)
def test_params_that_are_no_small_json_object_are_told_of(params: str, said: str) -> None:
    assert said in reasons({"params": params})["1"]


@pytest.mark.parametrize("params", [None, "", " ", "null", "{}"])
def test_a_row_may_have_no_params(params: object) -> None:
    assert parse({"params": params}) == parse({})


def test_equal_boxes_have_equal_texts() -> None:
    one, other = (parse(bbox(*corners))[0] for corners in ((Decimal("2.20"), 0.0, 100, 1), (2.2, -0.0, 100.0, 1)))
    assert isinstance(one, RegionRow)
    assert isinstance(other, RegionRow)
    assert one == other
    assert str(one.bbox) == str(other.bbox) == "2.2,0,100,1"


def test_name_and_bbox_may_be_missing() -> None:
    assert parse({"name": None}) == [RegionRow("public.region_index", "1", "R1", "", None, "@daily")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "id is empty: a region is known by its id, so give each row one"),
        ({"id": ""}, "id is empty: a region is known by its id, so give each row one"),
        ({"id": "x" * 254}, "id has 254 characters: write at most 253"),
        ({"code": None}, "code is empty: give the region a code, it names its CronJob"),
        ({"code": " \u00a0"}, "code is empty: give the region a code, it names its CronJob"),
        ({"code": "R1\n"}, 'code has blanks around it: write "R1"'),
        ({"code": "x" * 64}, "code has 64 characters: write at most 63"),
        ({"code": "R\x071"}, r'code "R\x071" has a character that cannot be seen, U+0007: take it out'),
        ({"code": "R1\u200b"}, r'code "R1\u200b" has a character that cannot be seen, U+200B: take it out'),
        ({"name": "On\ne"}, r'name "On\ne" has a character that cannot be seen, U+000A: take it out'),
        ({"name": "On\u2028e"}, r'name "On\u2028e" has a character that cannot be seen, U+2028: take it out'),
        ({"name": "x" * 1001}, "name has 1001 characters: write at most 1000"),
        ({"cron_schedule": None}, 'cron_schedule is NULL: write a schedule, e.g. "*/5 * * * *"'),
        ({"cron_schedule": f"0{',0' * 500} * * * *"}, "cron_schedule has 1009 characters: write at most 1000"),
        ({"handler": " "}, f"handler is empty: {HANDLER_REMEDY}"),
        ({"handler": " poke"}, f'handler " poke" has blanks around it: {HANDLER_REMEDY}'),
        ({"handler": "po\u200bke"}, r'handler "po\u200bke" has a character that cannot be seen, U+200B: take it out'),
        ({"timeout": " "}, f'timeout " " is not a duration: {TIMEOUT_REMEDY}'),
        ({"timeout": "5"}, f'timeout "5" is not a duration: {TIMEOUT_REMEDY}'),
        ({"timeout": 300}, f'timeout "300" is not a duration: {TIMEOUT_REMEDY}'),
        ({"timeout": "9" * 30 + "h"}, f'timeout "{"9" * 30}h" is not a duration: {TIMEOUT_REMEDY}'),
        ({"timeout": "999ms"}, f'timeout "999ms" is too short or too long: {TIMEOUT_REMEDY}'),
        ({"timeout": "24h1s"}, f'timeout "24h1s" is too short or too long: {TIMEOUT_REMEDY}'),
        ({"timeout": timedelta(seconds=-1)}, f'timeout "-1 day, 23:59:59" is too short or too long: {TIMEOUT_REMEDY}'),
    ],
)
def test_a_bad_text_is_refused_and_the_reason_says_what_to_write(change: dict[str, object], reason: str) -> None:
    assert list(reasons(change).values()) == [reason]


@pytest.mark.parametrize(
    "change",
    [
        {"code": "São Paulo"},
        {"code": "FR/75 (centre)"},
        {"code": "東京" * 31},
        {"code": "🗼"},
        {"name": "👩\u200d👩\u200d👧"},
        {"name": "\ufeffmy \u00a0 region\u3000 "},
        {"id": "https://example.org/regions/1?x=y"},
        {"cron_schedule": "0\t*\n* * *"},
    ],
)
def test_a_text_need_not_be_a_label(change: dict[str, object]) -> None:
    assert reasons(change) == {}


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        (bbox(1, None, None, None), "some of its four corners"),
        (bbox(None, 1, 2, 3), "some of its four corners"),
        (bbox(Decimal("NaN"), 1, 2, 3), "bbox_min_lon NaN is not a place: write degrees, -180 to 180"),
        (bbox(1, float("nan"), 2, 3), "bbox_min_lat nan is not a place: write degrees, -90 to 90"),
        (bbox(1, 1, Decimal("Infinity"), 3), "bbox_max_lon Infinity is not a place"),
        (bbox(1, 1, "1E+9999999", 3), "bbox_max_lon 1E+9999999 is not a place"),
        (bbox(1, 1, "two", 3), "bbox_max_lon two is not a place"),
        (bbox(1, 1, Decimal("180.000001"), 3), "bbox_max_lon 180.000001 is not a place"),
        (bbox(-181, 1, 2, 3), "bbox_min_lon -181 is not a place"),
        (bbox(1, 1, 2, Decimal("90.1")), "bbox_max_lat 90.1 is not a place"),
        (bbox(1, Decimal("-90.000001"), 2, 3), "bbox_min_lat -90.000001 is not a place"),
        (bbox(1, 3, 2, 1), "bbox_min_lat 3 is greater than bbox_max_lat 1: write the southern edge first"),
    ],
)
def test_a_bbox_that_is_none_is_refused(corners: dict[str, object], reason: str) -> None:
    assert reason in reasons(corners)["1"]


@pytest.mark.parametrize(
    ("corners", "text"),
    [
        (bbox(-180, -90, 180, 90), "-180,-90,180,90"),
        (bbox(176, -21, -178, -12), "176,-21,-178,-12"),
        (bbox(1, 1, 1, 1), "1,1,1,1"),
        (bbox(0.1, 52.33, 13.76, 52.67), "0.1,52.33,13.76,52.67"),
        (bbox("1.50", "2", "3", "4"), "1.5,2,3,4"),
    ],
    ids=["the whole earth", "across the antimeridian", "a point", "floats", "text"],
)
def test_a_bbox_is_what_lies_on_the_earth(corners: dict[str, object], text: str) -> None:
    [region] = parse(corners)
    assert isinstance(region, RegionRow)
    assert str(region.bbox) == text


def test_all_that_is_wrong_with_a_row_is_said_at_once() -> None:
    [reason] = reasons({"code": "", "cron_schedule": None} | bbox(1, 3, 2, 1)).values()
    assert [part.split()[0] for part in reason.split("; ")] == ["code", "cron_schedule", "bbox_min_lat"]


def test_rows_that_share_a_code_are_all_refused_and_no_other() -> None:
    found = reasons({"id": 1}, {"id": 2, "code": "R2"}, {"id": 3}, {"id": 4, "cron_schedule": None})
    assert found == {
        "1": "code is also that of id 3, 4: give each active region a code of its own",
        "3": "code is also that of id 1, 4: give each active region a code of its own",
        "4": "code is also that of id 1, 3: give each active region a code of its own; "
        'cron_schedule is NULL: write a schedule, e.g. "*/5 * * * *"',
    }


def test_of_rows_that_share_a_code_the_one_that_ticks_for_it_is_the_region() -> None:
    rows: list[dict[str, object]] = [{"id": 1}, {"id": 2, "code": "R2"}, {"id": 3}, {"id": 4}]
    theirs = "code is that of id 3, which ticks for it: give this region a code of its own"
    assert reasons(*rows, ticking_ids={"R1": {"3"}, "R2": {"9"}}) == {"1": theirs, "4": theirs}


@pytest.mark.parametrize(
    "ticking_ids",
    [{"R1": {"9"}}, {"R2": {"1"}}, {"R1": {"1", "2"}}],
    ids=["another region, which has gone", "for another code", "two"],
)
def test_where_none_or_two_tick_for_a_code_no_row_is_the_region(ticking_ids: dict[str, set[str]]) -> None:
    assert reasons({"id": 1}, {"id": 2}, ticking_ids=ticking_ids).keys() == {"1", "2"}


def test_who_has_a_code_by_right_may_have_something_else_wrong() -> None:
    found = reasons({"id": 1, "cron_schedule": None}, {"id": 2}, ticking_ids={"R1": {"1"}})
    assert found == {
        "1": 'cron_schedule is NULL: write a schedule, e.g. "*/5 * * * *"',
        "2": "code is that of id 1, which ticks for it: give this region a code of its own",
    }


def test_a_code_that_many_share_names_a_few_of_them() -> None:
    found = reasons(*({"id": number} for number in range(9)))
    assert found["0"].startswith("code is also that of id 1, 2, 3: ")
    assert found["2"].startswith("code is also that of id 0, 1, 3: ")
    assert found["8"].startswith("code is also that of id 0, 1, 2: ")


def test_rows_without_a_code_share_none() -> None:
    assert {reason.split(":")[0] for reason in reasons({"id": 1, "code": None}, {"id": 2, "code": ""}).values()} == {
        "code is empty"
    }


@pytest.mark.parametrize("second", [{}, {"code": "R2"}, {"cron_schedule": "@hourly"}])
def test_rows_that_share_an_id_are_one_quarantined_region(second: dict[str, object]) -> None:
    found = parse({"id": 7}, {"id": 7} | second, {"id": 8, "code": "R8"})
    assert [type(row) for row in found] == [Quarantined, RegionRow]
    assert reasons({"id": 7}, {"id": 7} | second) == {
        "7": "id is in 2 rows: give each region one row (does a view join one row to many?)"
    }


def test_rows_without_an_id_are_reported_once() -> None:
    assert len(parse({"id": None}, {"id": None, "code": "R2"})) == 1


def test_a_code_is_shown_in_one_line() -> None:
    [row] = parse({"code": "R\n1"})
    assert row.code == r"R\n1"
    assert printable("x" * 99) == "x" * 77 + "..."


values = st.none() | st.text() | st.integers() | st.floats() | st.decimals() | st.booleans()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, values)), max_size=4),
    st.dictionaries(st.text(), st.sets(st.text())),
)
def test_whatever_is_in_the_rows_each_id_is_a_region_or_refused_in_one_line(
    rows: list[dict[str, object]], ticking_ids: dict[str, set[str]]
) -> None:
    found = finish(RowParser().parse(rows, source="s", ticking_ids=lambda _: ticking_ids))
    assert [row.id for row in found] == list(dict.fromkeys("" if row["id"] is None else str(row["id"]) for row in rows))
    for row in found:
        if isinstance(row, Quarantined):
            assert (row.reason + row.code).isprintable()
        else:
            assert row.id
            assert row.code == row.code.strip() != ""
            assert len(row.code) <= TEXT_LIMITS["code"]
