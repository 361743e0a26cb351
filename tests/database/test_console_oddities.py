"""The console on a database that holds what seldom happens: unknown causes, foreign reasons, missing rights."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from kubernetes.aio.client import ApiException
from yarl import URL

from region_operator.console import sight, standing
from region_operator.database.grants import Kind
from region_operator.regions.row_values import printable
from tests.database.schema import run, value
from tests.harness.console import KnownCluster, console, fill, get, scheduler_body
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    from tests.harness.roles import Roles

    Browser = TestClient[web.Request, web.Application]

FIRST = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
WHOLE = {"from": "2d"}


@pytest.fixture
def cluster() -> KnownCluster:
    return KnownCluster(scheduler_body())


@pytest.fixture
async def browser(database: str, cluster: KnownCluster) -> AsyncIterator[Browser]:
    fill(database, 60, first=FIRST, last=FIRST + timedelta(hours=3))
    async with console(database, cluster) as browser:
        yield browser


async def test_a_pause_of_which_nobody_knows_the_author_has_a_page(browser: Browser, database: str) -> None:
    run(database, "UPDATE region_tick.region_schedule SET suspended_by = NULL WHERE code = 'R00050'")
    page = await get(browser, "regions/R00050")
    assert page["state"] == "paused"
    assert page["pause"]["by"] is None


UNSEEN = {
    "FR\u200b75": r"FR\u200b75",
    "FR\u200f13\t": r"FR\u200f13\t",
    "São\u00a0Paulo": r"São\xa0Paulo",
    "X\u200b" * 40 + "-east": r"X\u200b" * 40 + "-east",
    "X\u200b" * 40 + "-west": r"X\u200b" * 40 + "-west",
    "Y\u200b" * 40: r"Y\u200b" * 40,
}
"""Codes with characters that cannot be seen, each as the table has it and as it is shown. The third one may tick."""


async def test_a_region_is_found_by_its_code_as_the_table_has_it_and_as_it_is_shown(
    browser: Browser, database: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.cursor().executemany(
            "INSERT INTO region_index (id, code, name, cron_schedule) VALUES (gen_random_uuid(), %s, %s, '@daily')",
            list(UNSEEN.items()),
        )
    for code, shown in UNSEEN.items():
        for form in (code, shown):
            path = f"regions/{quote(form, safe='')}"
            assert (await get(browser, path))["name"] == shown, form
            assert (await get(browser, f"{path}/ticks"))["items"] == []
            if len(form) < 80:
                assert [item["name"] for item in (await get(browser, "regions", {"code": form}))["items"]] == [shown]
    listed = await get(browser, "regions", {"code": "?\\u200b?*"})
    assert [item["code"] for item in listed["items"]] == [shown for shown in UNSEEN.values() if len(shown) > 80]


async def test_a_code_that_the_plan_cuts_is_found_unless_several_begin_so(browser: Browser, database: str) -> None:
    for code in UNSEEN:
        run(
            database,
            f"INSERT INTO region_index (id, code, name, cron_schedule) VALUES (gen_random_uuid(), '{code}', '', '')",
        )
    *_, east, west, lone = UNSEEN
    assert (await get(browser, f"regions/{quote(printable(lone))}"))["code"] == UNSEEN[lone]
    assert printable(east) == printable(west)
    error = await get(browser, f"regions/{quote(printable(east))}", status=404)
    assert "there is no region with the code" in error["message"]


async def test_the_list_leads_to_a_region_whose_code_is_too_long_for_an_address(
    browser: Browser, database: str
) -> None:
    code = "\u6771" * 300
    run(
        database,
        f"INSERT INTO region_index (id, code, name, cron_schedule) VALUES (gen_random_uuid(), '{code}', '', '@daily')",
    )
    async with browser.get("/regions?state=quarantined&code=%E6%9D%B1*", headers={"Accept": "text/html"}) as answer:
        [path] = re.findall(r'href="\./(regions/%E6[^"/]*)"', await answer.text())
    async with browser.get(URL(f"/{path}?format=json", encoded=True)) as answer:
        assert (await answer.json())["code"] == code


async def test_the_ledger_finds_regions_whose_ticks_a_suspension_counts(browser: Browser, database: str) -> None:
    run(
        database,
        "INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, suspended_by,"
        f" first_tick_at, last_tick_at, ticks, counted_until) SELECT '{SOURCE}', id::text, '{FIRST}', code, '',"
        f" 'paused by kubectl', '{FIRST}', '{FIRST}', 1, '{FIRST}' FROM region_index WHERE code = 'R00050'",
    )
    for query in ({"state": "skipped"}, {"reason": "suspended"}, {"state": "skipped,failed", "reason": "suspended"}):
        page = await get(browser, "ledger", WHOLE | query)
        assert [row["code"] for row in page["rows"]] == ["R00050"], query
        assert "skipped" in page["rows"][0]["buckets"]
    assert (await get(browser, "ledger", WHOLE | {"state": "skipped", "reason": "capacity"}))["total"] == 0


async def test_a_region_whose_row_was_not_read_is_not_said_to_stop(database: str) -> None:
    """Of a table that has far more rows than spec.maxRegions the rest is not read, and nothing stops."""
    fill(database, 1100, first=FIRST, last=FIRST)
    cluster = KnownCluster(scheduler_body() | {"spec": {"maxRegions": 10}})
    async with console(database, cluster) as browser:
        assert (await get(browser, "regions", {"state": "inactive"}))["total"] == 0
        assert (await get(browser, ""))["regions"]["active"] == 1100
        last = value(database, "SELECT code FROM region_index WHERE code !~ '[05]0$' ORDER BY id DESC LIMIT 1")
        page = await get(browser, f"regions/{last}")
        assert (page["state"], page["row"]) == ("ticking", {})


async def test_a_shard_tells_how_far_its_own_ledger_is(database: str) -> None:
    """An operator of another shard that is down is told of by the console of that shard."""
    fill(database, 60, first=FIRST, last=FIRST)
    run(
        database,
        "INSERT INTO region_tick.installation (source, installation, namespace, interval_seconds, accounted_until)"
        f" VALUES ('{SOURCE}', 'theirs', 'other', 300, now() - interval '1 hour')",
    )
    run(database, "UPDATE region_tick.slot_owner SET installation = 'theirs' WHERE slot % 2 = 1")
    for index, stands_still in ((0, False), (1, True)):
        spec = {"source": {"shard": {"index": index, "count": 2}}}
        async with console(database, KnownCluster(scheduler_body() | {"spec": spec})) as browser:
            found = await get(browser, "")
            page = await (await browser.get("/", headers={"Accept": "text/html"})).text()
        assert bool(found["ledger"]["standstill"]) is stands_still, index
        assert (found["ledger"]["lagSeconds"] > 3000) is stands_still
        assert found["scheduler"]["shard"] == f"{index} of 2"
        assert "Ticks of all shards that ended in the last 24h" in page


@pytest.mark.parametrize("relation", ["region_tick.region_schedule", "public.region_index"])
async def test_a_missing_grant_is_said_with_the_command_that_gives_it(
    roles: Roles, database: str, cluster: KnownCluster, relation: str
) -> None:
    roles.close_public_schema(database)
    assert roles.grant(database) == []
    url = roles.url(Kind.CONSOLE, database)
    run(database, f"REVOKE SELECT ON {relation} FROM PUBLIC, {roles.name(Kind.CONSOLE)}")
    async with console(url, cluster) as browser:
        error = await get(browser, "regions", status=503)
    assert error["message"].startswith("the console's role in the database lacks a right: permission denied for")
    assert "--console-role" in error["remedy"]


@pytest.mark.parametrize(
    ("change", "lack"),
    [
        ("ALTER TABLE region_tick.job_run DROP COLUMN exit_code CASCADE", 'column "exit_code" does not exist'),
        ("DROP TABLE region_tick.suspension CASCADE", 'relation "region_tick.suspension" does not exist'),
    ],
)
async def test_a_schema_that_is_not_migrated_yet_is_said(
    browser: Browser, database: str, change: str, lack: str
) -> None:
    """A console that is upgraded before the operator: until the operator has migrated, or if it cannot."""
    run(database, change)
    page = "regions/R00001/ticks" if "exit_code" in change else "ledger?reason=suspended"
    error = await get(browser, page, status=503)
    assert error["message"] == f"the database's schema is older than this console: {lack}"
    assert "the operator migrates it" in error["remedy"]
    assert "kubectl region doctor" in error["remedy"]


async def test_a_refusal_of_the_api_server_names_the_consoles_manifests(
    browser: Browser, cluster: KnownCluster
) -> None:
    cluster.error = ApiException(status=403, reason="Forbidden")
    cluster.error.body = '{"message": "the console cannot get resource"}'
    error = await get(browser, "", status=503)
    assert "manifests/console" in error["remedy"]
    assert "30-rbac" not in error["message"]
    cluster.error = ApiException(status=500, reason="Internal Server Error")
    assert "manifests/console" not in (await get(browser, "", status=503))["remedy"]


async def test_a_nul_in_a_parameter_is_refused_by_name(browser: Browser) -> None:
    for path, name in (("ledger", "reason"), ("regions/R00001/ticks", "reason"), ("regions", "code")):
        error = await get(browser, path, {name: "a\0b"}, status=400)
        assert error["remedy"] == f"{name}: write a text without NUL"


async def test_people_who_read_the_ledger_leave_connections_to_others(
    browser: Browser, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "LEDGER_WAIT_SECONDS", 0.5)
    await get(browser, "ledger")
    with psycopg.connect(database) as connection:
        connection.execute("LOCK TABLE region_tick.suspension")
        readers = [asyncio.create_task(get(browser, "ledger", WHOLE, status=503)) for _ in range(6)]
        errors = [await reader for reader in asyncio.as_completed(readers[:6])]
        connection.rollback()
    busy = [error["message"] for error in errors if error["message"].startswith("others read the ledger")]
    assert len(busy) == 4
    assert await get(browser, "regions/R00001/ticks")


async def test_a_queue_that_takes_long_to_count_does_not_hold_up_the_regions_page(
    browser: Browser, database: str
) -> None:
    run(
        database,
        f"INSERT INTO region_tick.creator (source, region_id, platform, url) SELECT '{SOURCE}', id::text, 'feed',"
        " 'https://a.example' FROM region_index WHERE code = 'R00003'",
    )
    with psycopg.connect(database) as connection:
        connection.execute("LOCK TABLE region_tick.procrastinate_jobs")
        page = await get(browser, "regions/R00003")
    assert (page["creators"]["total"], page["tasks"]) == (1, None)


async def test_a_region_that_gets_no_cronjob_is_found_by_and_by(
    browser: Browser, database: str, cluster: KnownCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the console's first sight of it on, for longer than one look. When it has one, all is well again."""
    monkeypatch.setattr(standing, "JUST_NOW", timedelta())
    assert cluster.body
    cluster.body["spec"] = {"refreshInterval": "0s"}
    new = "INSERT INTO region_index (id, code, name, cron_schedule) VALUES (gen_random_uuid(), 'NEW', 'N', '@daily')"
    run(database, new)

    async def becomes(*kinds: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while True:
                found: dict[str, Any] = await get(browser, "", None)
                looks = [each for each in found["attention"] if each["code"] == "NEW"]
                if [each["kind"] for each in looks] == list(kinds) and found["regions"]["pending"] == len(kinds):
                    return looks[0] if looks else {}
                await asyncio.sleep(0.2)

    look = await becomes("pending")
    assert look["text"] == "active, and without a CronJob for 0 minutes at least: it does not tick"
    assert look["since"]
    run(
        database,
        "INSERT INTO region_tick.region_schedule (source, region_id, cron, code, valid_from, cronjob,"
        f" start_deadline_seconds) SELECT '{SOURCE}', id::text, '@daily', code, now(), 'new-0123456789ab', 100"
        " FROM region_index WHERE code = 'NEW'",
    )
    assert await becomes() == {}
