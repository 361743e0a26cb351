"""The console on a real Postgres: every page as JSON, errors that say what to do, and a role that can only read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import psycopg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from region_operator.console.as_json import camel_case
from region_operator.console.database import Reader
from region_operator.console.region_views import RegionRow, TickRow
from region_operator.database.grants import Kind
from region_operator.database.migrate import newest_revision
from tests.conftest import new_database
from tests.database.schema import run
from tests.harness.console import KnownCluster, console, fill, get, scheduler_body
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    from devcluster.server import Server
    from tests.harness.roles import Roles

    Browser = TestClient[web.Request, web.Application]

REGIONS = 120
FIVE = timedelta(minutes=5)


class Filled(NamedTuple):
    """A database with a tick of each region every five minutes from `first` to `last`, which was minutes ago."""

    url: str
    first: datetime
    last: datetime


def fill_now(url: str, regions: int) -> Filled:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    last = now - timedelta(minutes=now.minute % 5)
    fill(url, regions, first=last - timedelta(hours=3), last=last)
    return Filled(url, last - timedelta(hours=3), last)


def iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def next_five(page: dict[str, Any]) -> datetime:
    """Return the next full five minutes after the time of an answer."""
    now = datetime.fromisoformat(page["now"]).replace(second=0, microsecond=0)
    return now + timedelta(minutes=5 - now.minute % 5)


@pytest.fixture
def cluster() -> KnownCluster:
    ready = {"type": "Ready", "status": "True", "reason": "InSync", "message": "all well"}
    return KnownCluster(scheduler_body(conditions=[ready | {"lastTransitionTime": "2026-11-30T00:00:00Z"}]))


@pytest.fixture(scope="module")
def filled(postgres: Server, migrated_templates: Callable[[], str]) -> Iterator[Filled]:
    """One database for all that only read it."""
    with new_database(postgres, template=migrated_templates()) as name:
        yield fill_now(postgres.url(name), REGIONS)


@pytest.fixture
async def browser(filled: Filled, cluster: KnownCluster) -> AsyncIterator[Browser]:
    async with console(filled.url, cluster) as browser:
        yield browser


async def test_the_overview_counts_and_names_the_worst(browser: Browser) -> None:
    page = await get(browser, "")
    assert page["kind"] == "Overview"
    assert page["regions"] == {
        "active": 120,
        "ticking": 117,
        "paused": 2,
        "suspended": 0,
        "quarantined": 1,
        "held": 0,
        "pending": 0,
        "failing": 12,
        "missed": 12,
        "late": 24,
    }
    assert page["attentionTotal"] == 27
    kinds = [item["kind"] for item in page["attention"]]
    first = ["quarantined", "failing", "missed", "paused"]
    assert kinds == [*first, *["failing"] * 11, *["missed"] * 11, "paused"], "the worst of each kind first"
    assert page["attention"][0]["code"] == "R00097"
    assert "61" in page["attention"][0]["text"]
    assert page["ticks"]["window"] == "24h"
    assert page["ticks"]["byState"]["failed"] == 12 * 12
    assert {"state": "missed", "reason": "image", "ticks": 12 * 12} in page["ticks"]["byReason"]
    assert page["scheduler"] == {
        "namespace": "region-tick",
        "name": "default",
        "table": SOURCE,
        "suspended": False,
        "shard": None,
    }
    assert page["ready"] == {"status": "True", "reason": "InSync", "message": "all well"}
    assert 170 < page["ledger"]["lagSeconds"] < 400
    assert page["versions"] == {"console": "0.1.0", "operator": "0.1.0", "schemaRevision": newest_revision()}
    assert page["forecast"]["fits"] is True


async def test_a_list_is_filtered_sorted_and_paged(browser: Browser, filled: Filled) -> None:
    page = await get(browser, "regions")
    assert (page["total"], page["pages"], len(page["items"])) == (120, 1, 120)
    assert set(page["items"][0]) == {camel_case(name) for name in RegionRow.__dataclass_fields__}
    first = page["items"][0]
    assert (first["code"], first["state"], first["troubles"]) == ("R00001", "ticking", ["failing", "late"])
    assert first["recent"] == ["failed"] * 10
    assert first["lastTick"] == {"tickAt": iso(filled.last), "state": "failed", "reason": "error"}
    assert "ValueError: <b>no</b>" in first["why"]

    async def codes(**query: str) -> list[str]:
        return [item["code"] for item in (await get(browser, "regions", query))["items"]]

    assert await codes(code="r0000") == [f"R0000{number}" for number in range(1, 10)]
    assert await codes(code="*97") == ["R00097"]
    assert await codes(code="R0000?", state="missed") == ["R00002"]
    assert await codes(state="paused,quarantined") == ["R00050", "R00097", "R00100"]
    assert (await codes(sort="trouble"))[0] == "R00097"
    assert (await codes(sort="late"))[0] == "R00001"
    assert (await codes(sort="lastSuccess"))[:2] == ["R00050", "R00100"]
    assert await codes(page="2") == []
    assert await codes(code="[") == []


async def test_a_region_and_its_ticks(browser: Browser, filled: Filled) -> None:
    page = await get(browser, "regions/R00003")
    assert page["kind"] == "Region"
    assert page["words"] == "every 5 minutes"
    assert page["row"]["cron_schedule"] == "*/5 * * * *"
    assert page["nextTicks"] == [iso(next_five(page) + number * FIVE) for number in range(5)]
    assert page["ticks"][0]["tickAt"] == iso(filled.last)
    assert set(page["ticks"][0]) == {camel_case(name) for name in TickRow.__dataclass_fields__}
    assert (page["ticks"][0]["durationSeconds"], page["ticks"][0]["startDelaySeconds"]) == (10.0, 2.0)
    assert (page["pause"], page["remedy"], page["creators"]) == (None, None, None)
    paused = await get(browser, "regions/R00050")
    assert paused["pause"]["by"] == "kubectl"
    assert (paused["next"], paused["nextTicks"]) == (None, [])


async def test_ticks_are_filtered_and_paged_without_a_gap(browser: Browser, filled: Filled) -> None:
    every = (await get(browser, "regions/R00001/ticks", {"limit": "500"}))["items"]
    assert [tick["tickAt"] for tick in every] == [iso(filled.last - number * FIVE) for number in range(37)]
    found: list[str] = []
    before: dict[str, str] = {}
    while True:
        page = await get(browser, "regions/R00001/ticks", {"limit": "10", **before})
        found += [tick["tickAt"] for tick in page["items"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert found == [tick["tickAt"] for tick in every]
    failed = await get(browser, "regions/R00001/ticks", {"state": "failed", "reason": "error", "limit": "500"})
    assert len(failed["items"]) == 12
    assert (await get(browser, "regions/R00001/ticks", {"reason": "image"}))["items"] == []
    recent = await get(browser, "regions/R00001/ticks", {"since": iso(filled.last - timedelta(minutes=10))})
    assert len(recent["items"]) == 3


async def test_a_tick_says_why(browser: Browser, filled: Filled, cluster: KnownCluster) -> None:
    page = await get(browser, f"regions/R00001/ticks/{iso(filled.last)}")
    assert page["kind"] == "Tick"
    assert [step["source"] for step in page["chain"]] == ["schedule", "cronjob", "claim", "attempt", "ledger"]
    assert page["summary"].startswith(f"the tick of R00001 at {iso(filled.last)} failed: error. ")
    assert "mended" in page["remedy"]
    assert page["logs"] is None
    missing = await get(browser, f"regions/R00001/ticks/{iso(filled.last + timedelta(minutes=2))}", status=404)
    assert missing["reason"] == "NotFound"
    assert "still to come" in missing["remedy"] or "no tick at that time" in missing["remedy"]
    for path, why in (
        (f"R00001/ticks/{iso(filled.last - timedelta(days=2))}", "forgotten that day"),
        (f"R00001/ticks/{iso(filled.last)}?manual=nobody", "with -o wide the uids too"),
    ):
        assert why in (await get(browser, f"regions/{path}", status=404))["remedy"]
    cluster.error = OSError("away")
    again = await get(browser, f"regions/R00003/ticks/{iso(filled.last)}", status=503)
    assert again["kind"] == "Error"


async def test_a_tick_of_a_suspension_has_no_row_and_is_shown(browser: Browser, filled: Filled) -> None:
    run(
        filled.url,
        "INSERT INTO region_tick.suspension (source, region_id, suspended_from, region_code, cron, suspended_by,"
        f" first_tick_at, last_tick_at, ticks, counted_until) SELECT '{SOURCE}', id::text, '{filled.first}', code,"
        f" '*/5 * * * *', 'spec.suspend', '{filled.first + FIVE}', '{filled.last}', 36, '{filled.last}'"
        " FROM region_index WHERE code = 'R00100'",
    )
    page = await get(browser, f"regions/R00100/ticks/{iso(filled.last)}")
    assert (page["state"], page["reason"], page["attempt"]) == ("skipped", "suspended", 0)
    assert "with all regions, by spec.suspend or spec.suspendUntil" in page["summary"]
    for beside in (timedelta(minutes=1), timedelta(seconds=1)):
        await get(browser, f"regions/R00100/ticks/{iso(filled.last - beside)}", status=404)
    listed = await get(browser, "regions/R00100/ticks", {"reason": "suspended", "limit": "20"})
    older = await get(browser, "regions/R00100/ticks", {"reason": "suspended", "limit": "20", "before": listed["next"]})
    found = [each["tickAt"] for each in listed["items"] + older["items"]]
    assert found == [iso(filled.last - number * FIVE) for number in range(len(found))]
    assert (found[-1], older["next"]) == (iso(filled.first + FIVE), None)
    whole = {"from": iso(filled.first), "until": iso(filled.last + FIVE)}
    picture = await get(browser, "ledger", {"code": "R00100", **whole})
    assert set(picture["rows"][0]["buckets"]) == {None, "skipped"}


async def test_a_tick_that_was_run_again_says_by_whom_and_was_not_delayed(browser: Browser, filled: Filled) -> None:
    tick_at = filled.last - FIVE
    before = await get(browser, f"regions/R00001/ticks/{iso(tick_at)}")
    assert before["rerunBy"] is None
    assert before["startDelaySeconds"] is not None
    run(
        filled.url,
        "UPDATE region_tick.job_run SET rerun_uid = 'u', rerun_by = 'alice'"
        f" WHERE region_code = 'R00001' AND tick_at = '{iso(tick_at)}'",
    )
    page = await get(browser, f"regions/R00001/ticks/{iso(tick_at)}")
    assert (page["rerunBy"], page["startDelaySeconds"]) == ("alice", None)


async def test_a_tick_shows_its_exit_code_and_what_a_failed_attempt_left_of_its_log(
    browser: Browser, filled: Filled
) -> None:
    path = f"regions/R00001/ticks/{iso(filled.last)}"
    before = await get(browser, path)
    assert (before["exitCode"], before["failedLog"]) == (None, None)
    run(
        filled.url,
        "UPDATE region_tick.job_run SET exit_code = 65, log_attempt = 1, log_lines = E'asked\\n    OSError: no'"
        f" WHERE region_code = 'R00001' AND tick_at = '{iso(filled.last)}'",
    )
    page = await get(browser, path)
    assert (page["exitCode"], page["failedLog"]) == (65, {"attempt": 1, "lines": ["asked", "    OSError: no"]})
    assert any("exit code 65" in step["text"] for step in page["chain"])


async def test_the_ledger_is_a_picture_of_bounded_size(browser: Browser, filled: Filled) -> None:
    whole = {"from": iso(filled.first), "until": iso(filled.last + FIVE)}
    page = await get(browser, "ledger", whole)
    assert page["kind"] == "Ledger"
    assert page["bucketSeconds"] == 60
    assert 180 <= len(page["columns"]) <= 288
    rows = {row["code"]: row for row in page["rows"]}
    assert len(rows) == 120
    assert set(rows["R00001"]["buckets"]) == {None, "succeeded", "failed"}
    assert sum(rows["R00001"]["ticks"]) == 37
    assert set(rows["R00050"]["buckets"]) == {None}
    day = await get(browser, "ledger")
    assert len(day["columns"]) <= 288
    assert sum(day["rows"][0]["ticks"]) == 37
    worst = [state for state in {row["code"]: row for row in day["rows"]}["R00002"]["buckets"] if state]
    assert worst[-1] == "missed"
    month = await get(browser, "ledger", {"from": "31d"})
    assert len(month["columns"]) <= 288


async def test_the_ledger_shows_the_regions_that_have_such_ticks(browser: Browser) -> None:
    page = await get(browser, "ledger", {"state": "missed", "reason": "image"})
    assert [row["code"] for row in page["rows"]] == [f"R{number:05}" for number in range(2, 121, 10)]
    assert {state for row in page["rows"] for state in row["buckets"]} == {None, "missed"}
    assert (await get(browser, "ledger", {"state": "missed", "reason": "error"}))["total"] == 0


async def test_the_next_ticks(browser: Browser) -> None:
    page = await get(browser, "next", {"limit": "3"})
    assert [item["at"] for item in page["items"]] == [iso(next_five(page))] * 3


BAD = {
    "page=0": ("regions", {"page": "0"}),
    "a word for a page": ("regions", {"page": "two"}),
    "a state that is none": ("regions", {"state": "broken"}),
    "a misspelt parameter": ("regions", {"stat": "late"}),
    "a parameter of another page": ("next", {"code": "R1"}),
    "a time that is none": ("ledger", {"from": "yesterday"}),
    "a time after the end": ("ledger", {"from": "1h", "until": "2h"}),
    "too long a time": ("ledger", {"from": "90d"}),
    "a limit too large": ("regions/R00001/ticks", {"limit": "100000"}),
    "a tick's time that is none": ("regions/R00001/ticks/noon", {}),
    "a cursor that is none": ("regions/R00001/ticks", {"before": "x"}),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_parameter_is_named(browser: Browser, case: str) -> None:
    path, query = BAD[case]
    error = await get(browser, path, query, status=400)
    assert error["reason"] == "BadParameter"
    value = next(iter(query.values()), "noon")
    assert value in error["message"]
    assert error["remedy"]


async def test_what_is_not_there(browser: Browser) -> None:
    assert "R9" in (await get(browser, "regions/R9", status=404))["message"]
    assert "overview" in (await get(browser, "nothing", status=404))["remedy"]
    assert "FR/75" in (await get(browser, f"regions/{quote('FR/75', safe='')}", status=404))["message"]


async def test_an_error_is_in_the_body_alone_for_whom_asks_so(browser: Browser) -> None:
    """kubectl get --raw drops the body of an answer that has the status of an error."""
    for path, query, reason in (
        ("regions/R9", {}, "NotFound"),
        ("nothing", {}, "NotFound"),
        ("regions", {"page": "0"}, "BadParameter"),
    ):
        error = await get(browser, path, {"errors": "body", **query})
        assert (error["kind"], error["reason"]) == ("Error", reason)


async def test_an_error_in_the_body_alone_is_counted_as_what_it_is(browser: Browser) -> None:
    for path, page, status in (("regions/R9", "regions/{code}", 404), ("regions?page=0", "regions", 400)):
        before = answered(page, status), answered(page, 200)
        answer = await browser.get(f"/{path}", params={"format": "json", "errors": "body"})
        assert answer.status == 200
        assert (answered(page, status), answered(page, 200)) == (before[0] + 1, before[1])


def answered(page: str, status: int) -> float:
    """Return how many answers of a page the console has counted by their status."""
    labels = {"page": page, "status": str(status)}
    return REGISTRY.get_sample_value("region_console_request_seconds_count", labels) or 0


async def test_every_answer_is_closed_to_foreign_scripts_and_kept_by_nobody(browser: Browser) -> None:
    for path in ("", "regions", "regions/R00001", "nothing", "regions?page=0", "healthz", "metrics"):
        async with browser.get(f"/{path}") as answer:
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';"), path
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Set-Cookie" not in answer.headers
            assert "<b>no</b>" not in await answer.text()


async def test_nothing_but_reading(browser: Browser) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        async with browser.request(method, "/regions", params={"format": "json"}) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
            assert method in (await answer.json())["message"]
    async with browser.head("/regions") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_the_form_is_chosen_by_accept_or_by_the_parameter(browser: Browser) -> None:
    async with browser.get("/next", headers={"Accept": "application/json"}) as answer:
        assert (answer.content_type, (await answer.json())["kind"]) == ("application/json", "NextTicks")
    async with browser.get("/next", headers={"Accept": "text/html,*/*"}) as answer:
        assert answer.content_type == "text/html"
    async with browser.get("/next", params={"format": "xml"}) as answer:
        assert answer.status == 400


async def test_a_role_that_only_reads_is_enough_and_may_write_nothing(
    roles: Roles, database: str, cluster: KnownCluster
) -> None:
    filled = fill_now(database, 10)
    roles.close_public_schema(database)
    assert roles.grant(database) == []
    url = roles.url(Kind.CONSOLE, database)
    async with console(url, cluster) as browser:
        paths = ("", "regions", "ledger", "ledger?state=failed", "next", "regions/R00001", "regions/R00001/ticks")
        for path in (*paths, f"regions/R00001/ticks/{iso(filled.last)}"):
            async with browser.get(f"/{path}", headers={"Accept": "application/json"}) as answer:
                assert answer.status == 200, await answer.text()
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "INSERT INTO region_tick.tick_hour VALUES ('', '', now(), '', '', 1)",
            "UPDATE region_tick.job_run SET state = 'missed'",
            "DELETE FROM region_tick.region_schedule",
            "UPDATE region_index SET active = false",
            "CREATE TABLE region_tick.mine ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


async def test_the_consoles_transactions_can_write_nothing_even_as_the_owner(filled: Filled) -> None:
    reader = Reader(lambda: filled.url)
    with pytest.raises(DBAPIError, match="read-only"):
        async with reader.reading() as connection:
            await connection.execute(text("UPDATE region_index SET active = false"))
    await reader.close()


async def test_a_database_that_is_away_is_said_with_a_remedy_and_without_its_address(cluster: KnownCluster) -> None:
    async with console("postgresql://secret:word@127.0.0.1:1/x", cluster) as browser:
        error = await get(browser, "", status=503)
        assert error["reason"] == "DatabaseUnavailable"
        assert error["remedy"].startswith("bring Postgres back")
        assert "word" not in str(error)
        assert "127.0.0.1" not in str(error)
        async with browser.get("/readyz") as answer:
            assert (answer.status, "127.0.0.1" in await answer.text()) == (503, False)
        async with browser.get("/healthz") as answer:
            assert answer.status == 200


async def test_a_secret_that_is_missing_is_named_with_the_command_that_creates_it(cluster: KnownCluster) -> None:
    late = {"database_url_file": "/nowhere/DATABASE_URL", "database_secret": "region-tick-console"}
    async with console("", cluster, **late) as browser:
        error = await get(browser, "", status=503)
    assert error["reason"] == "DatabaseUnavailable"
    assert "kubectl create secret generic region-tick-console -n region-tick" in error["message"]
    assert error["remedy"].endswith("docs/console.md")


async def test_a_namespace_without_a_regionscheduler_says_so(filled: Filled) -> None:
    async with console(filled.url, KnownCluster(None)) as browser:
        error = await get(browser, "", status=503)
    assert error["reason"] == "NoRegionScheduler"
    assert "create it" in error["remedy"]


async def test_a_database_without_our_schema_says_so(empty_database: str, cluster: KnownCluster) -> None:
    async with console(empty_database, cluster) as browser:
        error = await get(browser, "", status=503)
    assert error["reason"] == "DatabaseUnavailable"
    assert "region_index" in error["message"]
