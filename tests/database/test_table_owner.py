"""table_owner.py on a real Postgres: which slots a reconcile goes by, also where nothing can be written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from region_operator.database.engine import make_engine
from region_operator.database.store import Database
from region_operator.kube.api import Api
from region_operator.plan.changes import Guarded
from region_operator.plan.guard_memory import GuardState, Hold
from region_operator.regions.slots import ALL_SLOTS, slots_of_shard
from region_operator.scheduler import Scheduler, Shard
from region_operator.table_owner import TableOwner, identify, look_at_owners
from region_tick.database_url import DatabaseUrl
from tests.database.schema import run, value
from tests.harness.examples import scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from sqlalchemy.ext.asyncio import AsyncEngine

NONE: frozenset[int] = frozenset()
HOLDING = GuardState(
    holds={Guarded.SLOWDOWN: Hold(datetime(2026, 11, 24, tzinfo=UTC), frozenset({"a"}), Guarded.SLOWDOWN)}
)


class Namespaces(Api):
    """An API server that knows a namespace by its uid."""

    def __init__(self, **uids: str) -> None:
        self._uids = uids
        self.asked: list[str] = []

    async def get(self, path: str) -> dict[str, Any] | None:
        self.asked.append(path)
        uid = self._uids.get(path.rpartition("/")[2])
        return {"metadata": {"uid": uid}} if uid else None


def installation(name: str, *, take_over: str = "") -> Scheduler:
    """Return its RegionScheduler. `take_over` is the name that a person set, if any."""
    names = {"installation": name, "take_over": frozenset({take_over} - {""})}
    return scheduler().model_copy(update=names)


@pytest.fixture
async def read_only(database: str) -> AsyncIterator[AsyncEngine]:
    """An engine whose sessions may only read, as on a replica."""
    run(database, f"ALTER DATABASE {database.rpartition('/')[2]} SET default_transaction_read_only = on")
    engine = make_engine(DatabaseUrl.parse(database))
    yield engine
    await engine.dispose()


async def test_an_installation_is_its_namespace_unless_it_has_a_name() -> None:
    api = Namespaces(region_tick="8f2c")
    assert await identify(api, "region_tick", name="") == "8f2c"
    assert api.asked == ["/api/v1/namespaces/region_tick"]
    assert await identify(api, "region_tick", name="production") == "production"
    assert await identify(api, "gone", name="") == "gone"


async def test_the_namespace_is_asked_for_once() -> None:
    api = Namespaces(**{"region-tick": "8f2c"})
    owner = TableOwner(api, name="")
    for _ in range(2):
        assert (await owner.identify(scheduler())).installation == "8f2c"
    assert len(api.asked) == 1


async def test_regions_that_nobody_owns_become_ours_and_a_look_changes_nothing(engine: AsyncEngine) -> None:
    database = Database(engine, "public")
    assert (await look_at_owners(database, installation("blue"))).free == ALL_SLOTS
    owner = TableOwner(Namespaces(), name="blue")
    handover = await owner.settle(database, installation("blue"), full=True)
    assert (handover.owned, handover.standing.source) == (ALL_SLOTS, "public.region_index")
    assert await owner.take_over(database, installation("blue"), handover, complete=True) == ALL_SLOTS
    assert (await look_at_owners(database, installation("green"))).refused == ALL_SLOTS


async def test_a_take_over_owns_what_it_took(engine: AsyncEngine) -> None:
    database = Database(engine, "public")
    await TableOwner(Namespaces(), name="blue").settle(database, installation("blue"), full=True)
    green, owner = installation("green", take_over="blue"), TableOwner(Namespaces(), name="green")
    handover = await owner.settle(database, green, full=True)
    assert (handover.owned, handover.slots) == (NONE, ALL_SLOTS)
    assert await owner.take_over(database, green, handover, complete=True) == ALL_SLOTS


async def test_while_a_guard_holds_changes_no_slot_is_offered(engine: AsyncEngine) -> None:
    database = Database(engine, "public")
    owner, blue = TableOwner(Namespaces(), name="blue"), installation("blue")
    await owner.settle(database, blue, full=True)
    half = blue.model_copy(update={"spec": scheduler(source={"shard": {"index": 0, "count": 2}}).spec})
    held, offered = "not offered to other shards while changes are held", "offered to other shards"
    for holding, said in ((True, held), (False, offered), (False, offered), (True, held)):
        handover = await owner.settle(database, half, full=True)
        text = await owner.offer(database, half, handover, HOLDING if holding else GuardState())
        assert text == f"128 of 256 slots are {said}"
        others = await look_at_owners(database, installation("green"))
        assert sum(found.offered for found in others.standing.owners.values()) == (0 if holding else 128)
    newer = replace(database, schema_conflict="too new")
    await owner.offer(newer, half, await owner.settle(database, half, full=True), GuardState())
    assert not (await owner.settle(database, half, full=True)).offered


async def test_an_offer_that_is_withdrawn_meanwhile_is_not_taken_over(engine: AsyncEngine) -> None:
    database = Database(engine, "public")
    owner, blue = TableOwner(Namespaces(), name="blue"), installation("blue")
    await owner.settle(database, blue, full=True)
    half, other = (
        installation(name).model_copy(update={"spec": scheduler(source={"shard": {"index": at, "count": 2}}).spec})
        for at, name in enumerate(("blue", "green"))
    )
    await owner.offer(database, half, await owner.settle(database, half, full=True), GuardState())
    green = TableOwner(Namespaces(), name="green")
    handover = await green.settle(database, other, full=True)
    assert len(handover.taking) == 128
    await owner.offer(database, half, await owner.settle(database, half, full=True), HOLDING)
    assert await green.take_over(database, other, handover, complete=True) == NONE
    assert (await green.settle(database, other, full=True)).slots == NONE
    assert not [found for found in (await look_at_owners(database, other)).standing.owners.values() if found.successor]


async def test_own_tables_that_must_be_left_alone_are_and_what_was_known_holds(engine: AsyncEngine) -> None:
    database = Database(engine, "public")
    newer = replace(database, schema_conflict="too new")
    await TableOwner(Namespaces(), name="blue").settle(database, installation("blue"), full=True)
    owner = TableOwner(Namespaces(), name="green")
    assert (await owner.settle(database, installation("green"), full=True)).slots == NONE
    handover = await owner.settle(newer, installation("green", take_over="blue"), full=True)
    assert (handover.slots, handover.taking, handover.let_go) == (NONE, NONE, NONE)
    restarted = await TableOwner(Namespaces(), name="green").settle(newer, installation("green"), full=True)
    assert restarted.slots == ALL_SLOTS
    shard = Shard(index=1, count=2)
    part = scheduler(source={"shard": shard.model_dump()})
    assert (await TableOwner(Namespaces(), name="green").settle(newer, part, full=True)).slots == slots_of_shard(shard)


async def test_where_only_reading_is_allowed_the_regions_go_on_and_none_changes_hands(
    database: str, read_only: AsyncEngine
) -> None:
    reading = Database(read_only, "public")
    owner = TableOwner(Namespaces(), name="blue")
    assert (await owner.settle(reading, installation("blue"), full=True)).slots == ALL_SLOTS
    run(
        database,
        "SET default_transaction_read_only = off",
        "INSERT INTO region_tick.slot_owner (source, slot, installation)"
        " SELECT 'public.region_index', slot, 'blue' FROM generate_series(0, 255) AS slot",
    )
    assert (await owner.settle(reading, installation("blue"), full=True)).slots == ALL_SLOTS
    green = await TableOwner(Namespaces(), name="green").settle(
        reading, installation("green", take_over="blue"), full=True
    )
    assert (green.slots, green.let_go) == (NONE, NONE)
    half = installation("blue").model_copy(update={"spec": scheduler(source={"shard": {"index": 0, "count": 2}}).spec})
    assert await owner.offer(reading, half, await owner.settle(reading, half, full=True), GuardState())
    assert value(database, "SELECT count(*) FROM region_tick.installation") == 0
