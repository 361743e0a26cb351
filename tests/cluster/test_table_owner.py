"""table_owner.py on a real API server: two installations on one table, and regions that move between them."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_operator.regions.slots import slot_of
from tests.harness.regions import ONCE_A_YEAR
from tests.harness.sharing import TAKE_OVER, Installation, schedule_versions
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.local import LocalCluster
    from tests.harness.regions import AddRegions

REGIONS = 24
"""More than the deletion guard would let go at once."""
CODES = {f"R{number}" for number in range(1, REGIONS + 1)}


@pytest.fixture
def two(control_plane: LocalCluster, database: str, tmp_path: Path) -> Iterator[tuple[Installation, Installation]]:
    both = [Installation(control_plane.kubeconfig, database, tmp_path) for _ in range(2)]
    yield both[0], both[1]
    for installation in both:
        installation.kubectl("delete", "namespace", installation.kubectl.namespace, "--wait=false")


def test_a_second_installation_changes_nothing_until_a_person_lets_it_take_over(
    two: tuple[Installation, Installation], database: str, sql: Any, add_regions: AddRegions
) -> None:
    blue, green = two
    add_regions(REGIONS)
    with blue.operator() as first, green.operator() as second:
        eventually(lambda: blue.codes == CODES or green.codes == CODES, what="one of both has all", seconds=60)
        if green.codes:  # whoever came first
            blue, green, first, second = green, blue, second, first
        blue.will_be("InSync")
        ready = green.will_be("SourceTaken")
        assert ready["status"] == "False"
        assert f"{blue.name} is the owner since " in ready["message"]
        assert f"from namespace {blue.kubectl.namespace} and is alive" in ready["message"]
        assert f"{TAKE_OVER}={blue.name}" in ready["message"]
        assert second.get("/readyz")[0] == 503
        assert len(eventually(lambda: second.logged("source taken"), what="the log says so after the status")) == 1
        before = schedule_versions(database)
        looks = "region_operator_reconciles_total"
        seen = first.metric(looks, reason="Succeeded"), second.metric(looks, reason="SourceTaken")
        eventually(lambda: first.metric(looks, reason="Succeeded") > seen[0] + 3, what="both look again and again")
        eventually(lambda: second.metric(looks, reason="SourceTaken") > seen[1] + 3, what="both look again and again")
        assert schedule_versions(database) == before
        assert (green.codes, len(before)) == (set(), REGIONS)
        assert f"{blue.name} is the owner since" in green.plan()

        for former, new in ((blue, green), (green, blue)):
            new.take_over(former)
            new.will_have(CODES)
            new.will_be("InSync")
            former.will_be("SourceTaken")
            former.will_have(set())
            assert len(schedule_versions(database)) == REGIONS
            assert not former.kubectl.scheduler()["status"].get("heldDeletions")
        sql("UPDATE region_index SET cron_schedule = '5 0 1 1 *' WHERE code = 'R1'")
        eventually(
            lambda: blue.kubectl.cronjobs()["R1"]["spec"]["schedule"] == "5 0 1 1 *", what="the owner follows the table"
        )
        assert green.codes == set()
        assert not [line for operator in (first, second) for line in operator.lines if line["level"] == "error"]


def test_a_take_over_from_an_installation_that_is_gone(
    two: tuple[Installation, Installation], sql: Any, add_regions: AddRegions
) -> None:
    """Its CronJobs tick on, and their ticks are refused. They go when its operator is back."""
    blue, green = two
    add_regions(REGIONS)
    with blue.operator():
        blue.will_have(CODES)
    sql("UPDATE region_tick.installation SET seen_at = seen_at - interval '1 hour'")
    with green.operator():
        assert "and is silent since " in green.will_be("SourceTaken")["message"]
        assert green.codes == set()
        green.take_over(blue)
        green.will_have(CODES)
        green.will_be("InSync")
        assert blue.codes == CODES
        with blue.operator():
            blue.will_have(set())
    with blue.operator():
        blue.will_be("SourceTaken")


def test_cronjobs_of_release_0_1_that_tick_for_another_owner_are_told_of_and_stay(
    two: tuple[Installation, Installation], add_regions: AddRegions
) -> None:
    """Two installations of release 0.1 shared a table, and the other one was upgraded first."""
    blue, green = two
    add_regions(REGIONS)
    with blue.operator():
        blue.will_have(CODES)
        for cronjob in blue.kubectl.cronjobs().values():
            green.kubectl("create", "-f", "-", stdin=json.dumps(as_of_release_0_1(cronjob)))
        with green.operator():
            message = green.will_be("SourceTaken")["message"]
            assert f"{REGIONS} CronJobs of release 0.1 tick here for regions that are owned elsewhere" in message
            assert green.codes == CODES
            green.take_over(blue)
            green.will_be("InSync")
            blue.will_have(set())


def as_of_release_0_1(cronjob: dict[str, Any]) -> dict[str, Any]:
    """Return a CronJob without what names the installation, to be made in another namespace."""
    meta = {key: cronjob["metadata"][key] for key in ("name", "labels", "annotations")}
    [container] = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    container["env"] = [item for item in container["env"] if item["name"] != "TICK_INSTALLATION"]
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": cronjob["spec"]}


def test_shards_of_a_table_one_to_two_and_back(
    two: tuple[Installation, Installation], database: str, add_regions: AddRegions
) -> None:
    blue, green = two
    add_regions(REGIONS)
    with psycopg.connect(database, autocommit=True) as connection:
        ids = connection.execute("SELECT code, id::text FROM region_index").fetchall()
    odd = {code for code, region_id in ids if slot_of(region_id) % 2}
    assert 3 < len(odd) < REGIONS - 3
    with ExitStack() as stack:
        first = stack.enter_context(blue.operator())
        blue.will_have(CODES)  # before the other begins, because the first of two owns the table
        stack.enter_context(green.operator(INSTALLATION="green"))
        blue.shard(0, 2)
        eventually(lambda: "128 of 256 slots are offered" in blue.kubectl.ready()["message"], what="half is offered")
        assert blue.codes == CODES
        green.shard(1, 2)
        green.will_have(odd)
        blue.will_have(CODES - odd)
        blue.will_be("InSync")
        green.will_be("InSync")
        green.name = "green"
        assert len(schedule_versions(database)) == REGIONS
        blue.patch({"shard": None})
        assert "128 of 256 slots are owned elsewhere" in blue.will_be("SourceTaken")["message"]
        assert blue.codes == CODES - odd
        blue.take_over(green)
        blue.will_have(CODES)
        green.will_have(set())
        assert len(schedule_versions(database)) == REGIONS
        assert first.metric("region_operator_held_deletions") == 0


def test_no_change_of_owner_lets_through_what_a_guard_holds(
    two: tuple[Installation, Installation], sql: Any, add_regions: AddRegions
) -> None:
    blue, green = two
    add_regions(REGIONS, cron="0 * * * *")
    with blue.operator(INSTALLATION="blue"), ExitStack() as stack:
        blue.will_have(CODES)  # before the other begins, because the first of two owns the table
        stack.enter_context(green.operator(INSTALLATION="green"))
        blue.name, green.name = "blue", "green"
        sql("UPDATE region_index SET cron_schedule = %s", ONCE_A_YEAR)
        blue.will_be("SlowdownsHeld")
        blue.shard(0, 2)
        green.shard(1, 2)
        eventually(lambda: "128 of 256 slots are not offered" in blue.kubectl.ready()["message"], what="no offer")
        assert "owned elsewhere" in green.will_be("SourceTaken")["message"]
        assert green.codes == set()

        green.patch({"shard": None})
        blue.patch({"shard": None})
        green.take_over(blue)
        blue.will_have(set())
        green.will_be("SlowdownsHeld")
        assert {item["spec"]["schedule"] for item in green.kubectl.cronjobs().values()} == {"0 * * * *"}
        assert green.codes == CODES

        sql("UPDATE region_index SET id = gen_random_uuid()")
        green.will_be("RegionsWaiting")
        blue.take_over(green)
        eventually(lambda: "would have no CronJob here" in blue.kubectl.ready()["message"], what="nothing is made")
        assert (blue.codes, green.codes) == (set(), CODES)


def test_a_shard_that_cannot_be_is_refused(two: tuple[Installation, Installation]) -> None:
    kubectl = two[0].kubectl

    def refusal(index: int, count: int) -> str:
        patch = json.dumps({"spec": {"source": {"shard": {"index": index, "count": count}}}})
        return kubectl.fails("patch", "rsched", "default", "--type=merge", "--dry-run=server", "--patch", patch)

    assert "index counts from 0, so it must be less than count" in refusal(4, 4)
    assert "greater than or equal to 0" in refusal(-1, 4)
    assert "Unsupported value: 3" in refusal(1, 3)
    assert not refusal(255, 256)
