"""The queries of docs/items.md find their rows by an index, among 200,000 items of 1,000 creators in 50 regions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_operator.database.item_retention import _OLD
from tests.conftest import new_database
from tests.database.schema import run
from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

FILL = """
INSERT INTO region_tick.region_schedule (source, region_id, cron, code, valid_from, cronjob, start_deadline_seconds)
SELECT 'public.region_index', n::text, '@daily', 'r' || n, now(), 'r', 60 FROM generate_series(1, 50) AS n;
INSERT INTO region_tick.upstream (platform, url, last_item)
SELECT 'http', 'https://upstream.test/' || n, 200000 FROM generate_series(1, 100) AS n;
INSERT INTO region_tick.creator (source, region_id, platform, url, upstream_id, last_polled_at)
SELECT 'public.region_index', (1 + n / 20)::text, 'http', 'https://upstream.test/' || (1 + n % 100), 1 + n % 100, now()
FROM generate_series(0, 999) AS n;
INSERT INTO region_tick.upstream_item (upstream_id, item_id, title, summary, first_seen_at)
SELECT 1 + n % 100, n::text, 'A title', repeat('text ', 50), now() - n * interval '1 minute'
FROM generate_series(20000, 1, -1) AS n;
INSERT INTO region_tick.item (creator_id, item_id, title, first_seen_at, upstream_item_id)
SELECT creator.id, item_id, title, first_seen_at, published.id
FROM region_tick.upstream_item AS published JOIN region_tick.creator USING (upstream_id) ORDER BY published.id;
ANALYZE
"""
DOCUMENTED = re.findall(r"```sql\n(SELECT .*?)```", (CHECKOUT / "docs/items.md").read_text(), re.DOTALL)
ASKED_BY_THE_OPERATOR = {
    "retention": f"SELECT ctid FROM region_tick.item WHERE {_OLD} LIMIT 10000".replace(
        "CAST(:before AS timestamptz)", "now() - interval '13 days'"
    ),
}


@pytest.fixture(scope="module")
def filled(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    server = request.getfixturevalue("postgres")
    with new_database(server, template=request.getfixturevalue("migrated_templates")()) as name:
        url = server.url(name)
        run(url, *FILL.split(";"))
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


def plan_of(connection: psycopg.Connection, query: str) -> dict[str, Any]:
    row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}".encode()).fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]
    return plan


def reads_all_items(node: dict[str, Any]) -> bool:
    """Return whether a plan reads region_tick.item from end to end."""
    own = node["Node Type"] == "Seq Scan" and node["Relation Name"] == "item"
    return own or any(map(reads_all_items, node.get("Plans", ())))


def test_the_documented_queries_are_found() -> None:
    assert len(DOCUMENTED) >= 3
    assert Path(CHECKOUT / "docs/items.md").is_file()


@pytest.mark.parametrize("query", [*DOCUMENTED, *ASKED_BY_THE_OPERATOR.values()])
def test_a_query_does_not_read_all_items(filled: psycopg.Connection, query: str) -> None:
    plan = plan_of(filled, query.replace(":seq", "199900").strip().rstrip(";"))
    print(f"\n{plan['Execution Time']:8.1f} ms  {' '.join(query.split())}")
    assert not reads_all_items(plan["Plan"]), plan
