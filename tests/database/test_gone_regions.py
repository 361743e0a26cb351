"""console/gone_regions.py on a real Postgres: a region whose row is gone tells of its ticks, and that it is gone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from region_operator.console.gone_regions import find_former
from region_operator.database.engine import transaction
from region_operator.regions.slots import ALL_SLOTS, slot_of, slots_of_shard
from region_operator.scheduler import Shard
from tests.database.schema import run, value
from tests.database.test_console_plans import caught, plans
from tests.harness.console import KnownCluster, console, fill, get, scheduler_body
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web
    from aiohttp.test_utils import TestClient
    from sqlalchemy.ext.asyncio import AsyncEngine

    Browser = TestClient[web.Request, web.Application]

LAST = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
LAST -= timedelta(minutes=LAST.minute % 5)
TICK = LAST.isoformat().replace("+00:00", "Z")
GONE_AT = LAST + timedelta(minutes=2)

DELETE = "DELETE FROM region_index WHERE code = '{code}'"
DEACTIVATE = "UPDATE region_index SET active = false WHERE code = '{code}'"
END = f"UPDATE region_tick.region_schedule SET valid_to = '{GONE_AT}' WHERE code = '{{code}}'"
"""What the operator notes when it has deleted the CronJob."""
SEED = "INSERT INTO region_index (id, code, name, cron_schedule) VALUES (gen_random_uuid(), '{code}', 'N', '0 * * * *')"


@pytest.fixture
async def browser(database: str) -> AsyncIterator[Browser]:
    fill(database, 20, first=LAST - timedelta(hours=1), last=LAST)
    async with console(database, KnownCluster(scheduler_body())) as browser:
        yield browser


def change(database: str, *statements: str, code: str = "R00003") -> None:
    run(database, *(statement.format(code=code) for statement in statements))


async def html(browser: Browser, path: str) -> str:
    async with browser.get(f"/{path}", headers={"Accept": "text/html"}) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


@pytest.mark.parametrize("stop", [DELETE, DEACTIVATE])
async def test_a_region_that_is_gone_tells_of_its_ticks_and_that_it_is_gone(
    browser: Browser, database: str, stop: str
) -> None:
    before = await get(browser, "regions/R00003")
    region_id = value(database, "SELECT id::text FROM region_index WHERE code = 'R00003'")
    change(database, stop, END)
    async with console(database, KnownCluster(scheduler_body())) as browser:
        page = await get(browser, "regions/R00003")
        assert (page["code"], page["regionId"], page["state"]) == ("R00003", region_id, "inactive")
        assert (page["active"], page["schedule"], page["next"], page["nextTicks"]) == (False, None, None, [])
        assert page["why"] == (
            f"no active row of {SOURCE} has this code now: the row was deleted or deactivated. The region had the"
            f" schedule */5 * * * * with this code until {GONE_AT.isoformat().replace('+00:00', 'Z')}"
        )
        assert "an active row" in page["remedy"]
        assert page["ticks"] == before["ticks"]
        assert (page["lastTick"]["tickAt"], page["lastSuccess"], len(page["recent"])) == (TICK, TICK, 10)
        listed = await get(browser, "regions/R00003/ticks")
        assert listed["items"] == before["ticks"]
        assert listed["gone"] == page["why"]
        tick = await get(browser, f"regions/R00003/ticks/{TICK}")
        assert (tick["state"], tick["chain"][0]["source"]) == ("succeeded", "schedule")
        shown = await html(browser, "regions/R00003")
        assert "no active row of" in shown.lower()
        for wrong in ("kubectl region pause", "kubectl region trigger", "no CronJob has had a schedule yet"):
            assert wrong not in shown
        assert "no active row of" in (await html(browser, "regions/R00003/ticks")).lower()
        assert (await get(browser, "regions", {"code": "R00003"}))["total"] == 0
        assert 'href="./regions/R00003"' in (await html(browser, "regions?code=R00003"))
        assert (await get(browser, "regions/R00004/ticks"))["gone"] is None


async def test_a_code_that_never_was_is_still_no_region(browser: Browser) -> None:
    for code in ("R9", "FR/75", "São Paulo", "a\0b", "x" * 1500, "'; --", "%", "R0000_", "\udcff", "r00003"):
        path = f"regions/{quote(code, safe='', errors='surrogateescape')}"
        for page in (path, f"{path}/ticks", f"{path}/ticks/{TICK}"):
            error = await get(browser, page, status=404)
            assert error["message"].startswith("there is no region with the code "), error
            assert "list of regions" in error["remedy"]


async def test_an_odd_code_is_found_again(browser: Browser, database: str) -> None:
    for code in ("São Paulo", "FR/75", "a'b\"c%", "ticks", "x" * 63):
        quoted = code.replace("'", "''")
        run(
            database,
            "INSERT INTO region_tick.region_schedule (source, region_id, cron, code, valid_from, valid_to, cronjob,"
            f" start_deadline_seconds) VALUES ('{SOURCE}', md5('{quoted}'), '0 6 * * *', '{quoted}',"
            f" '{GONE_AT}'::timestamptz - interval '9 days', '{GONE_AT}', 'c', 100)",
        )
        page = await get(browser, f"regions/{quote(code, safe='')}")
        assert (page["code"], page["state"], page["ticks"], page["lastSuccess"]) == (code, "inactive", [], None)
        await html(browser, f"regions/{quote(code, safe='')}")


async def test_a_new_row_with_the_code_wins_and_has_no_tick_of_the_old_one(browser: Browser, database: str) -> None:
    change(database, DELETE, END, SEED)
    page = await get(browser, "regions/R00003")
    assert (page["active"], page["state"], page["written"], page["ticks"]) == (True, "pending", "0 * * * *", [])
    assert (await get(browser, "regions/R00003/ticks"))["items"] == []


async def test_of_two_that_are_gone_the_last_one_is_meant(browser: Browser, database: str) -> None:
    change(database, DELETE, END)
    run(
        database,
        "INSERT INTO region_tick.region_schedule (source, region_id, cron, code, valid_from, valid_to, cronjob,"
        f" start_deadline_seconds) SELECT '{SOURCE}', id, '0 6 * * *', 'R00003', '{GONE_AT}'::timestamptz + since,"
        f" '{GONE_AT}'::timestamptz + since + interval '1 minute', 'c', 100"
        " FROM (VALUES ('older', interval '-9 days'), ('newer', interval '1 minute')) AS of (id, since)",
    )
    assert (await get(browser, "regions/R00003"))["regionId"] == "newer"


async def test_a_region_that_has_another_code_now_is_named(browser: Browser, database: str) -> None:
    """Before the operator has followed, and after."""
    run(database, "UPDATE region_index SET code = 'NEW' WHERE code = 'R00003'")
    for statement in (
        "SELECT 1",
        f"UPDATE region_tick.region_schedule SET valid_to = '{GONE_AT}' WHERE code = 'R00003'",
    ):
        run(database, statement)
        error = await get(browser, "regions/R00003", status=404)
        assert error["message"] == (
            f"no region in {SOURCE} has the code 'R00003' now: the region that had it has the code 'NEW'"
        )
        assert "ask for 'NEW'" in error["remedy"]
    assert (await get(browser, "regions/NEW"))["ticks"][0]["tickAt"] == TICK


async def test_a_region_that_had_another_code_later_or_was_paused_is_not_said_to_have_ticked_until_then(
    browser: Browser, database: str
) -> None:
    pause = "UPDATE region_tick.region_schedule SET suspended = true, suspended_by = 'paused by ana' WHERE code = 'Y'"
    later = (
        "INSERT INTO region_tick.region_schedule (source, region_id, cron, code, valid_from, valid_to, cronjob,"
        " start_deadline_seconds) SELECT source, region_id, '0 6 * * *', 'Y', valid_to,"
        " valid_to + interval '5 minutes', cronjob, 100 FROM region_tick.region_schedule WHERE code = '{code}'"
    )
    change(database, DELETE, END, later, pause)
    until = {"R00003": GONE_AT, "Y": GONE_AT + timedelta(minutes=5)}
    told = {code: (await get(browser, f"regions/{code}"))["why"].partition(" had the schedule ")[2] for code in until}
    ends = {code: at.isoformat().replace("+00:00", "Z") for code, at in until.items()}
    assert told == {
        "R00003": f"*/5 * * * * with this code until {ends['R00003']}",
        "Y": f"0 6 * * * with this code until {ends['Y']}, and was suspended then: paused by ana",
    }


@pytest.mark.parametrize("blank", ["''", "' '", "NULL"])
async def test_a_region_whose_code_is_blank_now_is_found_by_the_code_that_it_had(
    browser: Browser, database: str, blank: str
) -> None:
    change(
        database,
        "ALTER TABLE region_index ALTER code DROP NOT NULL",
        f"UPDATE region_index SET code = {blank} WHERE code = '{{code}}'",
    )
    page = await get(browser, "regions/R00003")
    assert (page["code"], page["state"], page["ticks"][0]["tickAt"]) == ("R00003", "quarantined", TICK)
    assert "code is empty: give the region a code" in page["why"]
    assert "regions/R00003/ticks" in await html(browser, "regions/R00003")


async def test_a_code_that_no_database_can_have_is_no_error_of_the_database(browser: Browser) -> None:
    with caught() as statements:
        await get(browser, f"regions/{quote('a' + chr(0))}", status=404)
    assert not [statement for statement, _ in statements if "AND code = " in statement]


async def test_a_list_leads_to_what_became_of_a_code_but_not_of_a_pattern(browser: Browser) -> None:
    for asked, leads in (("R9", True), ("R9*", False), ("R9%3F", False)):
        assert ("what became of" in await html(browser, f"regions?code={asked}")) is leads


async def test_a_shard_answers_for_its_own_regions_alone(database: str) -> None:
    fill(database, 20, first=LAST, last=LAST)
    slot = slot_of(str(value(database, "SELECT id FROM region_index WHERE code = 'R00003'")))
    change(database, DELETE, END)
    for index in (0, 1):
        body = scheduler_body() | {"spec": {"source": {"shard": {"index": index, "count": 2}}}}
        own = slot in slots_of_shard(Shard(index=index, count=2))
        async with console(database, KnownCluster(body)) as of_shard:
            await get(of_shard, "regions/R00003", status=200 if own else 404)


VERSIONS = f"""
INSERT INTO region_tick.region_schedule
    (source, region_id, cron, code, valid_from, valid_to, cronjob, start_deadline_seconds)
SELECT '{SOURCE}', md5(region::text)::uuid::text, '*/5 * * * *', 'R' || lpad(region::text, 5, '0'),
    now() - interval '30 days' + part * interval '1 hour', now() - interval '30 days' + (part + 1) * interval '1 hour',
    'c', 100
FROM generate_series(1, 10000) AS region, generate_series(1, 10) AS part
ON CONFLICT DO NOTHING
"""


async def test_ten_thousand_regions_with_many_versions_cost_a_look_into_an_index(
    database: str, engine: AsyncEngine
) -> None:
    run(database, VERSIONS, "ANALYZE region_tick.region_schedule")
    for code in ("R00003", "R9"):
        with caught() as statements:
            began = time.monotonic()
            async with transaction(engine) as connection:
                former = await find_former(connection, SOURCE, code, ALL_SLOTS)
            seconds = time.monotonic() - began
        assert bool(former) is (code == "R00003")
        read = [node for node in plans(database, statements) if node.get("Relation Name") == "region_schedule"]
        assert {node["Node Type"] for node in read} in ({"Bitmap Heap Scan"}, {"Index Scan"}), read
        assert seconds < 0.3, seconds
