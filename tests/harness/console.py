"""The console for tests: its real server on a real database, with an API server that knows one RegionScheduler.

tests/cluster has the console beside a real API server.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from aiohttp.test_utils import TestClient, TestServer
from kubernetes.aio import client

from region_operator.console.cluster import Cluster
from region_operator.console.server import LONG_PATH, make_app
from region_operator.console.settings import ConsoleSettings
from region_operator.console.sight import Sight
from region_operator.kube.api import Api
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiohttp import web

    from region_operator.console.chain import SeenCronJob, SeenEvent, SeenJob, SeenPod

T = TypeVar("T")

FILL = f"""
INSERT INTO region_index (id, code, name, cron_schedule)
SELECT md5(number::text)::uuid, 'R' || lpad(number::text, 5, '0'), 'Region ' || number,
    CASE WHEN number %% 97 = 0 THEN '61 * * * *' ELSE '*/5 * * * *' END
FROM generate_series(1, %(regions)s) AS number;
INSERT INTO region_tick.region_schedule
    (source, region_id, cron, code, valid_from, cronjob, start_deadline_seconds, suspended, suspended_by)
SELECT '{SOURCE}', id::text, '*/5 * * * *', code, now() - interval '40 days', lower(code) || '-0123456789ab', 100,
    number %% 50 = 0, CASE WHEN number %% 50 = 0 THEN 'paused by kubectl' END
FROM region_index, LATERAL (SELECT substr(code, 2)::integer) AS own (number);
INSERT INTO region_tick.slot_owner (source, slot, installation)
SELECT '{SOURCE}', slot, 'ours' FROM generate_series(0, 255) AS slot;
INSERT INTO region_tick.installation (source, installation, namespace, interval_seconds, accounted_until)
VALUES ('{SOURCE}', 'ours', 'region-tick', 300, now() - interval '3 minutes');
"""
"""Regions that tick every five minutes: each 97th row has a bad schedule, each 50th is paused."""

RUNS = f"""
INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, handler, state, reason, attempt,
    job_name, pod, node, started_at, finished_at, error_class, error_message)
SELECT '{SOURCE}', id::text, at, code, '*/5 * * * *', 'poke', state,
    CASE state WHEN 'succeeded' THEN 'ok' WHEN 'failed' THEN 'error' ELSE 'image' END,
    CASE state WHEN 'missed' THEN 0 ELSE 1 END, lower(code) || '-0123456789ab-1',
    CASE state WHEN 'missed' THEN NULL ELSE 'pod' END, 'node-1',
    CASE state WHEN 'missed' THEN NULL ELSE at + interval '2 s' END, at + interval '12 s',
    CASE state WHEN 'failed' THEN 'ValueError' END, CASE state WHEN 'failed' THEN '<b>no</b>' END
FROM region_index, LATERAL (SELECT substr(code, 2)::integer) AS own (number),
    generate_series(%(first)s::timestamptz, %(last)s::timestamptz, interval '5 minutes') AS at,
    LATERAL (SELECT CASE WHEN number %% 10 = 1 AND at > %(last)s::timestamptz - interval '1 hour' THEN 'failed'
        WHEN number %% 10 = 2 AND at > %(last)s::timestamptz - interval '1 hour' THEN 'missed'
        ELSE 'succeeded' END) AS became (state)
WHERE NOT number %% 50 = 0;
INSERT INTO region_tick.region_cursor (source, region_id, handler, window_end, tick_at)
SELECT source, region_id, 'poke', max(tick_at), max(tick_at) FROM region_tick.job_run
WHERE state = 'succeeded' GROUP BY 1, 2;
INSERT INTO region_tick.tick_hour (source, installation, hour, state, reason, ticks)
SELECT source, 'ours', date_trunc('hour', tick_at, 'UTC'), state, reason, count(*) FROM region_tick.job_run
GROUP BY 1, 2, 3, 4, 5;
"""
"""Of ten regions the first fails in the last hour, the second is missed."""


def fill(database: str, regions: int, *, first: object, last: object) -> None:
    """Fill a database with regions and with a tick every five minutes from `first` to `last`."""
    with psycopg.connect(database, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(FILL, {"regions": regions})
        connection.execute(RUNS, {"first": first, "last": last})
        connection.execute("ANALYZE")


@dataclass
class KnownCluster(Cluster):
    """A cluster that knows a RegionScheduler, and what a test puts there. `error` is raised instead of any answer."""

    body: dict[str, Any] | None
    error: Exception | None = None
    seen_cronjob: SeenCronJob | None = None
    seen_job: SeenJob | None = None
    seen_pods: tuple[SeenPod, ...] = ()
    seen_events: tuple[SeenEvent, ...] = ()
    image: str | None = "registry.example.com/region-tick/operator:0.1.0"
    namespace: str = "region-tick"

    async def scheduler(self) -> dict[str, Any] | None:
        return self._answer(self.body)

    async def cronjob(self, name: str) -> SeenCronJob | None:
        del name
        return self._answer(self.seen_cronjob)

    async def job(self, name: str) -> SeenJob | None:
        del name
        return self._answer(self.seen_job)

    async def pods(self, job: str) -> tuple[SeenPod, ...]:
        del job
        return self._answer(self.seen_pods)

    async def events(self, names: Iterable[str]) -> tuple[SeenEvent, ...]:
        del names
        return self._answer(self.seen_events)

    async def operator_image(self) -> str | None:
        return self._answer(self.image)

    def _answer(self, answer: T) -> T:
        if self.error:
            raise self.error
        return answer


def scheduler_body(**status: Any) -> dict[str, Any]:
    """Return RegionScheduler `default` as the API server has it."""
    meta = {"name": "default", "namespace": "region-tick", "uid": "u", "generation": 1, "resourceVersion": "1"}
    return {"metadata": meta, "spec": {}, "status": {"observedGeneration": 1, **status}}


@asynccontextmanager
async def console(
    url: str, cluster: KnownCluster, **settings: str
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """Serve the console of a database, and return a client. `settings` go before the usual ones."""
    own = ConsoleSettings.model_validate({"database_url": url, "POD_NAMESPACE": "region-tick", **settings})
    async with client.ApiClient(client.Configuration(host="http://127.0.0.1:1")) as api_client:
        sight = Sight(Api(api_client), cluster, own)
        server = TestServer(make_app(sight))
        await server.start_server(max_line_size=LONG_PATH)
        async with TestClient(server) as browser:
            yield browser
        await sight.close()


async def get(
    browser: TestClient[web.Request, web.Application],
    path: str,
    query: dict[str, str] | None = None,
    *,
    status: int = 200,
) -> Any:
    """Return a page as JSON. Raises AssertionError for another status."""
    async with browser.get(f"/{path}", params={"format": "json", **(query or {})}) as answer:
        found = await answer.json()
        assert answer.status == status, found
        return found
