"""Edits that are no deletion and stop many regions all the same, on a real control plane: new ids, bad rows, many rows.

Release 0.1 ticked each region twice after the first, stopped all regions after the second, and created CronJobs without
end after the third.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.guard import EVERY_SECOND, count, deletes, wait_for_count
from tests.harness.long import rounds
from tests.harness.regions import EVERY_MINUTE, ONCE_A_YEAR, numbered
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.cluster.conftest import Standing
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

CREATORS = """
INSERT INTO region_tick.creator (source, region_id, platform, url)
SELECT 'public.region_index', id::text, 'http', 'https://upstream.test/' FROM region_index
"""
TICKING = set(numbered(11, 15))
NEW_IDS = "UPDATE region_index SET id = gen_random_uuid()"


def codes(kubectl: Kubectl) -> list[str]:
    """Return the code of every CronJob that ticks."""
    return [
        item["metadata"]["annotations"]["region-tick.dev/code"]
        for item in kubectl.get("cronjobs")["items"]
        if "deletionTimestamp" not in item["metadata"]
    ]


def is_ready(kubectl: Kubectl, reason: str) -> bool:
    return bool(kubectl.ready()["reason"] == reason)


def test_a_table_that_is_seeded_anew_ticks_no_region_twice_and_is_replaced_as_a_whole(
    standing: Standing, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, database: str
) -> None:
    regions = 300
    with standing(regions, **EVERY_SECOND) as operator:
        sql(CREATORS)
        before = {item["metadata"]["name"] for item in kubectl.get("cronjobs")["items"]}
        sql(NEW_IDS)
        eventually(lambda: is_ready(kubectl, "RegionsWaiting"), what="all is held")
        assert kubectl.ready()["status"] == "False"
        assert f"{regions} rows with new ids wait for their codes" in kubectl.ready()["message"]
        held_for = operator.reconciles
        eventually(lambda: operator.reconciles >= held_for + 3, what="three more reconciles")
        assert {item["metadata"]["name"] for item in kubectl.get("cronjobs")["items"]} == before
        assert deletes(control_plane, kubectl) == set()

        kubectl.approve("DeletionsHeld")
        seen: list[list[str]] = []

        def all_replaced() -> bool:
            seen.append(codes(kubectl))
            names = {item["metadata"]["name"] for item in kubectl.get("cronjobs")["items"]}
            return len(names) == regions and not names & before

        eventually(all_replaced, what="all are replaced", seconds=120)
        assert not any(len(names) != len(set(names)) for names in seen), "no code has two CronJobs"
        eventually(lambda: is_ready(kubectl, "InSync"), what="all is well")
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT count(*) FROM region_tick.creator JOIN region_index ON region_id = region_index.id::text"
        ).fetchone()
    assert row == (regions,), "each region polls its creators under its new id"


def test_a_single_region_with_a_new_id_is_replaced_at_once_and_two_may_swap_codes(
    standing: Standing, kubectl: Kubectl, sql: Any
) -> None:
    with standing(5, **EVERY_SECOND):
        before = kubectl.cronjobs()
        sql(f"{NEW_IDS} WHERE code = 'R1'")
        eventually(
            lambda: (
                (new := kubectl.cronjobs().get("R1")) and new["metadata"]["name"] != before["R1"]["metadata"]["name"]
            ),
            what="replaced",
        )
        assert sorted(codes(kubectl)) == ["R1", "R2", "R3", "R4", "R5"]
        sql("ALTER TABLE region_index DROP CONSTRAINT region_index_code_key")
        sql(
            "UPDATE region_index SET code = CASE code WHEN 'R2' THEN 'R3' ELSE 'R2' END WHERE code IN ('R2', 'R3')",
        )
        swapped = {"R2": before["R3"]["metadata"]["name"], "R3": before["R2"]["metadata"]["name"]}
        eventually(lambda: swapped.items() <= names(kubectl).items(), what="swapped")  # one after the other is written
        eventually(lambda: is_ready(kubectl, "InSync"), what="all is well")


def names(kubectl: Kubectl) -> dict[str, str]:
    return {code: cronjob["metadata"]["name"] for code, cronjob in kubectl.cronjobs().items()}


@pytest.mark.long
def test_one_update_that_spoils_all_schedules_suspends_none_and_the_next_update_mends_it(
    standing: Standing, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    def suspended() -> int:
        return sum(item["spec"]["suspend"] for item in kubectl.get("cronjobs")["items"])

    regions = rounds(50, long=500)
    spoil_all = "UPDATE region_index SET cron_schedule = '61 * * * *'"
    mend_all = "UPDATE region_index SET cron_schedule = CASE WHEN code = ANY(%s) THEN %s ELSE %s END"
    with standing(regions, **EVERY_SECOND) as operator:
        schedules = list(TICKING), EVERY_MINUTE, ONCE_A_YEAR
        sql(mend_all, *schedules)
        eventually(lambda: len(ticking(kubectl)) == len(TICKING), what="some tick every minute")
        sql(spoil_all)
        eventually(lambda: is_ready(kubectl, "QuarantinesHeld"), what="all is held", seconds=60)
        assert kubectl.ready()["status"] == "False"
        spoiled_at = time.time()
        before = operator.reconciles
        eventually(lambda: operator.reconciles >= before + 2, what="two more reconciles")
        eventually(lambda: ticked_since(kubectl, spoiled_at) == TICKING, what="they tick on", seconds=150)
        assert suspended() == 0
        sql(mend_all, *schedules)
        eventually(lambda: is_ready(kubectl, "InSync"), what="mended without an approval", seconds=60)

        sql(f"{spoil_all} WHERE code IN ('R1', 'R2')")
        eventually(lambda: suspended() == 2, what="few are suspended")
        assert kubectl.ready()["status"] == "True"
        sql(spoil_all)
        eventually(lambda: is_ready(kubectl, "QuarantinesHeld"), what="the others are held", seconds=60)
        assert suspended() == 2
        kubectl.approve("QuarantinesHeld")
        eventually(lambda: suspended() == regions, what="a person wants that", seconds=90)
        eventually(lambda: is_ready(kubectl, "RegionsQuarantined"), what="nothing is held any more")
    assert deletes(control_plane, kubectl) == set()


def ticking(kubectl: Kubectl) -> set[str]:
    return {code for code, item in kubectl.cronjobs().items() if item["spec"]["schedule"] == EVERY_MINUTE}


def ticked_since(kubectl: Kubectl, seconds: float) -> set[str]:
    """Return the codes of the regions that got a Job for a minute after a moment, in seconds since 1970."""
    jobs = [item["metadata"]["name"].rpartition("-") for item in kubectl.get("jobs")["items"]]
    ticked = {cronjob for cronjob, _, minute in jobs if int(minute) * 60 > seconds}
    return {code for code, item in kubectl.cronjobs().items() if item["metadata"]["name"] in ticked}


def test_one_update_that_lets_all_tick_once_a_year_is_held(standing: Standing, kubectl: Kubectl, sql: Any) -> None:
    with standing(20, **EVERY_SECOND):
        sql("UPDATE region_index SET cron_schedule = '0 * * * *'")
        eventually(
            lambda: {item["spec"]["schedule"] for item in kubectl.get("cronjobs")["items"]} == {"0 * * * *"},
            what="more ticks are not held",
        )
        sql("UPDATE region_index SET cron_schedule = '0 0 1 1 *', name = name || '!'")
        eventually(lambda: is_ready(kubectl, "SlowdownsHeld"), what="all is held")
        assert {item["spec"]["schedule"] for item in kubectl.get("cronjobs")["items"]} == {"0 * * * *"}
        names = [item["metadata"]["annotations"]["region-tick.dev/name"] for item in kubectl.get("cronjobs")["items"]]
        assert all(name.endswith("!") for name in names), "all else of the rows is followed"
        kubectl.approve("SlowdownsHeld")
        eventually(
            lambda: {item["spec"]["schedule"] for item in kubectl.get("cronjobs")["items"]} == {"0 0 1 1 *"},
            what="a person wants that",
        )
        eventually(lambda: is_ready(kubectl, "InSync"), what="all is well")


def test_many_new_regions_beside_few_are_held_and_beyond_the_limit_none_is_created(
    standing: Standing, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    with standing(10, **EVERY_SECOND):
        add_regions([f"N{number}" for number in range(150)])
        eventually(lambda: is_ready(kubectl, "CreationsHeld"), what="all is held")
        assert count(kubectl) == 10
        assert kubectl.scheduler()["status"]["regions"]["scheduled"] == 10
        assert "10 of 160 active regions are scheduled; 150 creations are held" in kubectl.ready()["message"]
        kubectl.approve("CreationsHeld")
        wait_for_count(kubectl, 160)
        eventually(lambda: is_ready(kubectl, "InSync"), what="all is well")

        kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"maxRegions": 165}}')
        eventually(kubectl.is_observed, what="the operator knows the limit")
        add_regions([f"M{number}" for number in range(10)])
        eventually(lambda: is_ready(kubectl, "TooManyRegions"), what="there is no room")
        assert "5 more than spec.maxRegions 165" in kubectl.ready()["message"]
        assert count(kubectl) == 160
        assert kubectl.scheduler()["status"]["regions"]["scheduled"] == 160
        gone = kubectl.cronjobs()["N7"]["metadata"]
        kubectl("delete", "cronjob", gone["name"])
        eventually(lambda: has_another_uid(kubectl, "N7", gone["uid"]), what="what somebody deleted comes back")
        assert count(kubectl) == 160
        sql("DELETE FROM region_index WHERE code LIKE 'M%%' AND right(code, 1)::int < 5")
        wait_for_count(kubectl, 165)


def has_another_uid(kubectl: Kubectl, code: str, uid: str) -> bool:
    found = kubectl.cronjobs().get(code)
    return found is not None and found["metadata"]["uid"] != uid


def test_one_update_that_lets_all_tick_every_minute_is_held_while_ticks_would_be_lost(
    standing: Standing, kubectl: Kubectl, sql: Any
) -> None:
    def schedules() -> set[str]:
        return {item["spec"]["schedule"] for item in kubectl.get("cronjobs")["items"]}

    with standing(100, **EVERY_SECOND, CONCURRENCY="4"):
        before = schedules()
        sql("UPDATE region_index SET cron_schedule = '* * * * *'")
        eventually(lambda: is_ready(kubectl, "SpeedupsHeld"), what="all is held")
        assert schedules() == before
        conditions = {item["type"] for item in kubectl.scheduler()["status"]["conditions"]}
        assert {"SpeedupsHeld", "Overcommitted"} <= conditions
        kubectl.approve("SpeedupsHeld")
        eventually(lambda: schedules() == {"* * * * *"}, what="a person wants that")
