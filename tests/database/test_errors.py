"""failures.py: what a real Postgres refuses, told apart by whose table it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from region_operator.database.store import Store
from region_operator.errors import explain
from region_operator.plan.conditions import ReadyReason
from region_operator.regions.source import read_regions
from region_operator.scheduler import Columns, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.errors import ReconcileError


def explained(caught: pytest.ExceptionInfo[Exception]) -> ReconcileError:
    failure = explain(caught.value)
    assert failure is not None
    return failure


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source(table="nowhere"), 'the region table public.nowhere cannot be read: relation "public.nowhere" does not'),
        (Source(columns=Columns(name="nom")), 'the region table public.region_index cannot be read: column "nom"'),
        (Source(columns=Columns(active="odd")), "cannot be read: "),
    ],
)
async def test_what_is_wrong_with_the_users_table_is_said_of_it(
    source: Source, words: str, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE region_index ADD COLUMN odd integer DEFAULT 1 / 1"))
    with pytest.raises(Exception, match=r"nowhere|nom|odd|boolean") as caught:
        await read_regions(engine, source, default_schema="public")
    failure = explained(caught)
    assert failure.reason is ReadyReason.SOURCE_UNREADABLE
    assert str(failure).startswith("the region table public.")
    assert words in str(failure)


async def test_a_missing_right_to_a_table_of_ours_is_said_of_it_with_the_remedy(
    stranger: Callable[[str], str], database: str
) -> None:
    async with Store(lambda: stranger(database), may_migrate=False) as store:
        with pytest.raises(Exception, match="permission denied") as caught:
            await store.open()
    failure = explained(caught)
    assert failure.reason is ReadyReason.SCHEMA_MISMATCH
    assert str(failure).startswith("the operator's own schema region_tick cannot be used: permission denied for schema")
    assert "let the operator's role own it" in str(failure)


async def test_a_missing_table_of_ours_is_said_of_it_with_the_remedy(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("DROP TABLE region_tick.region_cursor CASCADE"))
        with pytest.raises(Exception, match="region_cursor") as caught:
            await connection.execute(text("SELECT * FROM region_tick.region_cursor"))
    failure = explained(caught)
    assert failure.reason is ReadyReason.SCHEMA_MISMATCH
    assert 'relation "region_tick.region_cursor" does not exist' in str(failure)
    assert "run `region-operator migrate`" in str(failure)
