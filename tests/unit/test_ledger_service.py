"""ledger/service.py: a database that is away ends no reconcile."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from region_operator.database.engine import make_engine
from region_operator.database.store import Database
from region_operator.ledger.service import LedgerService
from region_operator.regions.slots import ALL_SLOTS
from region_operator.runtime.metrics import LEDGER_FAILURES
from region_tick.database_url import DatabaseUrl
from tests.harness.examples import scheduler

if TYPE_CHECKING:
    import pytest

    from region_operator.kube.api import Api


async def test_a_database_that_went_away_is_counted_and_logged_once(
    api_of_nobody: Api, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(DatabaseUrl.parse("postgresql://nobody@127.0.0.1:1/none"))
    ledger = LedgerService(api_of_nobody, retention=timedelta(days=30))
    before = LEDGER_FAILURES._value.get()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await ledger.save_schedules(Database(engine, "public"), scheduler(), [], slots=ALL_SLOTS, look=1)
    assert LEDGER_FAILURES._value.get() == before + 2
    [line] = caplog.records
    assert (line.message, bool(line.exc_info), vars(line)["attempts"]) == ("not accounted", False, 1)
    await engine.dispose()
