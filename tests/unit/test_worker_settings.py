"""What the worker reads from its environment."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from region_worker.settings import WorkerSettingError, WorkerSettings

POOLER = "postgresql://u:p@pooler:6432/d?pgbouncer=true"
DIRECT = "postgresql://u:p@postgres:5432/d"


def test_the_queue_is_reached_directly_and_what_is_fetched_through_the_pooler() -> None:
    settings = WorkerSettings.read({"DATABASE_URL": POOLER, "DATABASE_DIRECT_URL": DIRECT})
    assert conninfo_to_dict(settings.database.conninfo)["host"] == "pooler"
    assert conninfo_to_dict(settings.queue_conninfo())["host"] == "postgres"


def test_one_url_serves_for_both() -> None:
    settings = WorkerSettings.read({"DATABASE_URL": DIRECT, "DATABASE_DIRECT_URL": ""})
    assert conninfo_to_dict(settings.queue_conninfo())["host"] == "postgres"


def test_a_session_with_the_queue_has_its_settings_beside_the_urls_own() -> None:
    settings = WorkerSettings.read({"DATABASE_URL": f"{DIRECT}?options=-c%20jit%3Doff"})
    assert conninfo_to_dict(settings.queue_conninfo())["options"] == (
        "-c jit=off -c search_path=region_tick,pg_temp -c lock_timeout=10s -c statement_timeout=30s"
        " -c idle_in_transaction_session_timeout=30s -c datestyle=ISO -c intervalstyle=postgres"
    )


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "DATABASE_URL is missing"),
        ({"DATABASE_URL": DIRECT, "DATABASE_DIRECT_URL": "mysql://h/d"}, "DATABASE_DIRECT_URL cannot be used"),
    ],
)
def test_a_bad_variable_is_named(variables: dict[str, str], said: str) -> None:
    with pytest.raises(WorkerSettingError, match=said):
        WorkerSettings.read(variables)
