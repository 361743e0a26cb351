"""region.py: what makes a row a region."""

from __future__ import annotations

from decimal import Decimal

import pytest

from region_operator.region import Quarantined, Region, parse_row

ROW = {
    "id": 1,
    "code": "R1",
    "name": "One",
    "cron_schedule": "@daily",
    "bbox_min_lon": None,
    "bbox_min_lat": None,
    "bbox_max_lon": None,
    "bbox_max_lat": None,
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"code": None}, "code is empty"),
        ({"code": "  "}, "code is empty"),
        ({"cron_schedule": None}, "cron_schedule is NULL"),
        ({"bbox_min_lon": Decimal(1)}, "some of its four corners"),
    ],
)
def test_a_bad_row_is_quarantined_with_its_reason(change: dict[str, object], reason: str) -> None:
    row = parse_row(ROW | change, source="public.region_index")
    assert isinstance(row, Quarantined)
    assert reason in row.reason


def test_a_name_may_be_missing() -> None:
    assert parse_row(ROW | {"name": None}, source="s") == Region("s", "1", "R1", "", None, "@daily")
