"""cronjobs/last_good.py: which region and schedule a CronJob gives back, and which edits make them unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.cronjobs.last_good import last_good, placeholder
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.render import render_cronjob
from region_operator.regions.schedule import Schedule, parse_schedule
from region_tick.contract import Variable
from tests.harness.examples import PARIS, annotation, applied, scheduler, variable

if TYPE_CHECKING:
    from region_operator.regions.region import RegionRow

EVERY_FIVE = parse_schedule(PARIS.cron_schedule)
SCHEDULE = ("f:spec", "f:schedule")


def rendered(region: RegionRow = PARIS, schedule: Schedule | None = None, **spec: Any) -> dict[str, Any]:
    schedule = schedule or parse_schedule(region.cron_schedule, code=region.code)
    manifest = render_cronjob(region, schedule, scheduler(**spec), name="x", tick_image="tick:1", suspended_by=None)
    return manifest | {"metadata": manifest["metadata"] | {"uid": "u", "resourceVersion": "1"}}


def edited(*taken: tuple[str, ...], schedule: str = PARIS.cron_schedule) -> dict[str, Any]:
    """Return PARIS's CronJob after somebody changed the values at paths of FieldsV1."""
    cronjob = rendered()
    return applied(cronjob | {"spec": cronjob["spec"] | {"schedule": schedule}}, but=taken)


def read_back(region_id: str, cronjob: dict[str, Any]) -> tuple[RegionRow, Schedule] | None:
    return last_good(region_id, LiveCronJob.from_object(cronjob))


def ticks_for(cronjob: dict[str, Any]) -> tuple[str, str] | None:
    return LiveCronJob.from_object(cronjob).rendered.ticks_for


@pytest.mark.parametrize(
    "region",
    [
        PARIS,
        replace(PARIS, bbox=None),
        replace(PARIS, name="", code="🗼 a, b"),
        replace(PARIS, code="US$", name="$(DATABASE_URL) $$$ $"),
        replace(PARIS, cron_schedule="@daily"),
        replace(PARIS, cron_schedule="H/10 * * * *"),
        replace(PARIS, cron_schedule="@daily H"),
        replace(PARIS, handler="work:run"),
        replace(PARIS, timeout=timedelta(seconds=90)),
        replace(PARIS, params='{"price": "$5", "feeds": ["a"]}'),
        replace(PARIS, handler="poke", timeout=timedelta(milliseconds=1500)),
    ],
)
def test_what_was_rendered_is_read_back(region: RegionRow) -> None:
    cronjob = rendered(region)
    good = read_back(region.id, applied(cronjob))
    assert good is not None
    assert good == (region, parse_schedule(region.cron_schedule, code=region.code))
    assert rendered(*good) == cronjob


@pytest.mark.parametrize("taken", [variable(Variable.REGION_CRON), SCHEDULE, annotation("schedule")], ids="/".join)
def test_the_minutes_of_a_hash_outlive_an_edit_by_others(taken: tuple[str, ...]) -> None:
    region = replace(PARIS, cron_schedule="H/10 * * * *")
    cronjob = applied(rendered(region), but=(taken,))
    cronjob["metadata"]["annotations"]["region-tick.dev/schedule"] = "H/5 * * * *"
    good = read_back(region.id, cronjob)
    assert good is not None
    assert good[1].source == parse_schedule(region.cron_schedule, code=region.code).source


def test_a_cronjob_that_somebody_took_all_annotations_from_is_no_harm() -> None:
    cronjob = applied(rendered(), but=(("f:metadata", "f:annotations"),))
    del cronjob["metadata"]["annotations"]
    assert read_back(PARIS.id, cronjob) is not None


def test_an_empty_text_that_the_api_server_left_out_is_read_back() -> None:
    region = replace(PARIS, name="", bbox=None)
    cronjob = applied(rendered(region))
    for item in cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"]:
        if item.get("value") == "":
            del item["value"]
    assert read_back(region.id, cronjob) == (region, EVERY_FIVE)


def test_what_is_the_regionschedulers_stays_so() -> None:
    cronjob = applied(rendered(tick={"handler": "crawl", "timeout": "5m"}))
    assert read_back(PARIS.id, cronjob) == (PARIS, EVERY_FIVE)


@pytest.mark.parametrize("name", ["handler", "timeout"])
def test_a_handler_or_timeout_that_somebody_wrote_is_not_known(name: str) -> None:
    cronjob = applied(rendered())
    cronjob["metadata"]["annotations"][f"region-tick.dev/{name}"] = "90s"
    assert read_back(PARIS.id, cronjob) is None


def test_a_cronjob_of_a_release_without_params_is_read_back() -> None:
    cronjob = rendered()
    container = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    newer = (Variable.REGION_PARAMS, Variable.MAX_WINDOW_SECONDS)
    container["env"] = [item for item in container["env"] if item["name"] not in newer]
    assert read_back(PARIS.id, applied(cronjob)) == (PARIS, EVERY_FIVE)


def test_params_that_somebody_wrote_are_not_known() -> None:
    cronjob = rendered(replace(PARIS, params='{"depth": 3}'))
    taken = applied(cronjob, but=(variable(Variable.REGION_PARAMS),))
    assert read_back(PARIS.id, taken) is None


def test_a_users_variables_are_not_ours() -> None:
    cronjob = applied(rendered(tick={"env": [{"name": "KEY", "value": "v"}, {"name": "BARE"}]}))
    assert read_back(PARIS.id, cronjob) == (PARIS, EVERY_FIVE)


@pytest.mark.parametrize(
    "taken",
    [
        variable(Variable.REGION_CODE),
        variable(Variable.REGION_NAME),
        variable(Variable.REGION_BBOX),
        variable(Variable.REGION_CRON),
        SCHEDULE,
        annotation("code"),
        annotation("name"),
        annotation("bbox"),
    ],
    ids="/".join,
)
def test_what_somebody_edited_in_one_place_is_known_from_the_other(taken: tuple[str, ...]) -> None:
    cronjob = edited(taken)
    if taken[-1] == "f:value":
        [item] = [
            item
            for item in cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"]
            if item["name"] in taken[-2]
        ]
        item["value"] = "* * * * *"
    elif taken == SCHEDULE:
        cronjob["spec"]["schedule"] = "* * * * *"
    else:
        cronjob["metadata"]["annotations"][taken[-1].removeprefix("f:")] = "edited"
    assert read_back(PARIS.id, cronjob) == (PARIS, EVERY_FIVE)


@pytest.mark.parametrize(
    "cronjob",
    [
        edited(variable(Variable.SOURCE)),
        edited(variable(Variable.REGION_CODE), annotation("code")),
        edited(variable(Variable.REGION_NAME), annotation("name")),
        edited(variable(Variable.REGION_BBOX), annotation("bbox")),
        edited(variable(Variable.REGION_CRON), SCHEDULE),
        rendered(),
    ],
    ids=["source", "code", "name", "bbox", "schedule", "managedFields lost"],
)
def test_what_is_ours_in_no_place_is_not_known(cronjob: dict[str, Any]) -> None:
    assert read_back(PARIS.id, cronjob) is None


def test_what_stands_for_an_unknown_region_is_never_its_last_good_state() -> None:
    stands = placeholder(PARIS.id, PARIS.code, LiveCronJob.from_object(edited(schedule="0 0 * * *")))
    assert stands[1] == parse_schedule("0 0 * * *")
    cronjob = applied(rendered(*stands))
    assert read_back(PARIS.id, cronjob) is None
    assert ticks_for(cronjob) is None
    assert placeholder(PARIS.id, PARIS.code, LiveCronJob.from_object(cronjob)) == stands, (
        "or it would be written again and again"
    )


def test_an_unknown_region_has_some_schedule() -> None:
    region, schedule = placeholder("7", "", LiveCronJob.from_object(edited(schedule="@every 5m")))
    assert (region.id, region.code, schedule.source) == ("7", "7", "0 0 1 1 *")


def test_who_ticks_for_a_code_is_known_as_long_as_it_is_ours() -> None:
    assert ticks_for(edited()) == (PARIS.code, PARIS.id)
    assert ticks_for(edited(annotation("code"))) is None
    assert ticks_for(rendered()) is None
