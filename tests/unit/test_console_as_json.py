"""console.as_json: every value of a view is in the JSON, under its name in camelCase."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

from region_operator.console import region_views, views
from region_operator.console.as_json import as_json, camel_case, to_plain
from region_operator.console.region_views import Ledger, LedgerRow, NextTick, NextTicks, Region
from region_operator.console.views import Error, ErrorReason, TickCounts
from region_tick.contract import State

AT = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def test_an_answer_says_its_version_and_its_kind_and_times_have_a_z() -> None:
    ticks = NextTicks(
        now=AT, items=(NextTick(code="R1", region_id="1", at=AT.astimezone(timezone(timedelta(hours=5)))),)
    )
    assert as_json(ticks) == {
        "apiVersion": "console.region-tick.dev/v1",
        "kind": "NextTicks",
        "now": "2026-11-30T12:00:00Z",
        "items": [{"code": "R1", "regionId": "1", "at": "2026-11-30T12:00:00Z"}],
    }


def test_keys_of_data_stay_and_what_is_unknown_is_null() -> None:
    counts = TickCounts(window="24h", by_state={State.SUCCEEDED: 3}, by_reason=())
    assert to_plain(counts) == {"window": "24h", "byState": {"succeeded": 3}, "byReason": []}
    row = LedgerRow(code="R1", region_id="1", buckets=(None, State.MISSED), ticks=(0, 1))
    ledger = Ledger(
        now=AT, from_=AT, until=AT, bucket_seconds=60.0, columns=(AT,), rows=(row,), page=1, pages=1, total=1
    )
    plain = as_json(ledger)
    assert plain["from"] == "2026-11-30T12:00:00Z"
    assert plain["rows"][0]["buckets"] == [None, "missed"]
    assert json.loads(json.dumps(plain)) == plain


def test_an_error_has_what_a_person_needs() -> None:
    error = as_json(Error(reason=ErrorReason.BAD_PARAMETER, message="m", remedy="r"))
    assert error == {
        "apiVersion": "console.region-tick.dev/v1",
        "kind": "Error",
        "reason": "BadParameter",
        "message": "m",
        "remedy": "r",
    }


def test_no_two_fields_of_a_view_have_the_same_name_in_json_and_none_hides_the_envelope() -> None:
    for view in get_args(region_views.View):
        names = [camel_case(field.name) for field in fields(view)]
        assert len(set(names)) == len(names)
        assert not {"apiVersion", "kind"} & set(names)
        assert view is Error or "now" in names


def test_every_reason_of_an_error_has_a_status() -> None:
    assert all(reason.status >= 400 for reason in views.ErrorReason)


def test_a_region_has_all_that_its_row_in_a_list_has() -> None:
    assert {field.name for field in fields(region_views.RegionRow)} <= {field.name for field in fields(Region)}
