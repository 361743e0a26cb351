"""last_good.py: what a CronJob says of the region that it was rendered for."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from region_operator.cronjob import TIMEOUT_ANNOTATION, render_cronjob
from region_operator.last_good import last_good
from region_operator.region import Quarantined, Region
from region_operator.schedule import parse_schedule
from region_tick.contract import Variable
from tests.unit.examples import PARIS, scheduler

ROW = Quarantined(PARIS.id, "FR 75?", "bad")
HOURLY = "0 * * * *"


def rendered(region: Region = PARIS, **spec: Any) -> dict[str, Any]:
    schedule = parse_schedule(region.cron_schedule)
    return render_cronjob(region, schedule, scheduler(**spec), name="x", tick_image="tick:1", suspend=False)


def edited(*, without: Variable | None = None, schedule: str | None = None, **values: str) -> dict[str, Any]:
    """Return PARIS's CronJob after somebody edited variables of its container, or its schedule."""
    cronjob = deepcopy(rendered())
    container = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [
        item | ({"value": values[item["name"]]} if item["name"] in values else {})
        for item in container["env"]
        if item["name"] != without
    ]
    cronjob["spec"]["schedule"] = schedule or cronjob["spec"]["schedule"]
    return cronjob


@pytest.mark.parametrize(
    "region",
    [
        PARIS,
        replace(PARIS, bbox=None),
        replace(PARIS, name="", code="🗼 a, b"),
        replace(PARIS, code="US$", name="$(DATABASE_URL) $$$ $"),
        replace(PARIS, cron_schedule="@daily"),
        replace(PARIS, handler="work:run"),
        replace(PARIS, timeout=timedelta(seconds=90)),
        replace(PARIS, handler="poke", timeout=timedelta(milliseconds=1500)),
    ],
)
def test_what_was_rendered_is_read_back(region: Region) -> None:
    assert last_good(ROW, rendered(region)) == (region, parse_schedule(region.cron_schedule))


def test_what_is_the_regionschedulers_stays_so_and_a_timeout_that_is_none_is_none() -> None:
    cronjob = rendered(tick={"handler": "crawl", "timeout": "5m"})
    assert last_good(ROW, cronjob) == (PARIS, parse_schedule(PARIS.cron_schedule))
    cronjob["metadata"]["annotations"][TIMEOUT_ANNOTATION] = "soon"
    assert last_good(ROW, cronjob) == (PARIS, parse_schedule(PARIS.cron_schedule))


def test_a_users_variables_are_not_ours() -> None:
    cronjob = rendered(tick={"env": [{"name": "KEY", "value": "v"}, {"name": "BARE"}]})
    assert last_good(ROW, cronjob) == (PARIS, parse_schedule(PARIS.cron_schedule))


def test_an_edited_schedule_is_not_the_last_good_one() -> None:
    found = last_good(ROW, edited(schedule=HOURLY))
    assert found is not None
    assert found[1] == parse_schedule(PARIS.cron_schedule)


@pytest.mark.parametrize(
    ("cronjob", "expected"),
    [
        (edited(without=Variable.REGION_CRON), PARIS),
        (edited(REGION_CRON="@every 5m"), PARIS),
        (edited(REGION_CRON="", schedule=HOURLY), replace(PARIS, cron_schedule=HOURLY)),
        (edited(without=Variable.REGION_CODE), replace(PARIS, code=ROW.code)),
        (edited(without=Variable.REGION_NAME), replace(PARIS, name="")),
        (edited(REGION_BBOX="1,2,3"), replace(PARIS, bbox=None)),
        (edited(REGION_BBOX="1,2,3,north"), replace(PARIS, bbox=None)),
    ],
)
def test_what_somebody_edited_away_is_made_up_for(cronjob: dict[str, Any], expected: Region) -> None:
    assert last_good(ROW, cronjob) == (expected, parse_schedule(expected.cron_schedule))


def test_a_cronjob_that_says_no_valid_schedule_has_no_last_good_state() -> None:
    assert last_good(ROW, edited(REGION_CRON="", schedule="@every 5m")) is None
