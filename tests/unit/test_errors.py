"""errors.py: which reason the status gives for a refusal of the API server. For databases see tests/faults."""

from __future__ import annotations

import pytest
from kubernetes.aio.client import ApiException
from sqlalchemy.exc import OperationalError

from devcluster.ports import free_port
from region_operator.database.engine import make_engine, transaction
from region_operator.errors import explain
from region_operator.kube.api import ApiUnavailableError
from region_operator.kube.apply import ApplyError
from region_operator.plan.conditions import ReadyReason
from region_tick.database_url import DatabaseUrl


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, ReadyReason.FORBIDDEN),
        (429, ReadyReason.THROTTLED),
        (500, ReadyReason.APPLY_FAILED),
        (422, ReadyReason.APPLY_FAILED),
    ],
)
def test_a_refusal_has_its_reason_also_where_only_a_part_was_refused(status: int, reason: ReadyReason) -> None:
    error = ApiException(status=status, reason="Because", body="of this")
    whole = explain(error)
    part = explain(ApplyError(failed=2, untried=0, of=5, first=error))
    assert whole is not None
    assert part is not None
    assert whole.reason == part.reason == reason
    assert str(whole) == f"the API server refused: {status} Because: of this"
    assert str(part).startswith(f"2 of 5 changes failed, the first with: {status} Because: of this;")


def test_what_was_not_tried_is_told_apart() -> None:
    failure = explain(ApplyError(failed=32, untried=68, of=100, first=ApiUnavailableError("no answer")))
    assert failure is not None
    assert failure.reason is ReadyReason.APPLY_FAILED
    assert str(failure).startswith("32 of 100 changes failed and 68 were not tried, the first with: no answer;")


async def test_where_the_database_is_stays_out_of_the_public_message() -> None:
    url = DatabaseUrl.parse(f"postgresql://somebody@127.0.0.1:{free_port()}/secrets")
    engine = make_engine(url)
    with pytest.raises(OperationalError) as caught:
        async with transaction(engine):
            pass
    await engine.dispose()
    failure = explain(caught.value)
    assert failure is not None
    assert "127.0.0.1" in str(failure)
    assert failure.public == "the database cannot be reached: the log and the RegionScheduler's status say why"


def test_an_error_of_this_program_is_none_of_the_world() -> None:
    assert explain(KeyError("x")) is None
