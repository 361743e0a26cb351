"""poll where regions share upstreams: eight ticks at once, as processes, against a real HTTP server."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from region_tick.contract import ExitCode, Variable
from region_tick.delivery import ORDER_LOCK
from tests.database.polls import FEED, Polls, polls, some
from tests.harness.long import rounds
from tests.harness.operator_process import CHECKOUT
from tests.harness.upstream import Asked, Upstream, conditional, replying, upstream
from tests.harness.waiting import eventually

__all__ = ["polls"]  # a fixture

if TYPE_CHECKING:
    from tests.database.tick_process import Process

PATIENT = {str(Variable.TIMEOUT_SECONDS): "600"}
REGIONS = [str(number) for number in range(8)]
UPSTREAMS = rounds(100, long=1000)
"""The long form has 1,000 upstreams."""


def share(polls: Polls, server: Upstream, number: int = UPSTREAMS) -> None:
    """Add creators that all regions have."""
    for one in range(number):
        url = server.on(f"/{one}", conditional(FEED.format(one).encode(), etag=f'"{one}"'))
        for region in REGIONS:
            polls.add(url, region_id=region)


def tick_together(polls: Polls) -> Counter[str]:
    """Run one tick of each region, all at once; return the sum of their counts."""
    processes: list[Process] = []
    for region in REGIONS:
        processes.append(polls.start(PATIENT, region_id=region, again=bool(processes)))
    for process in processes:
        process.popen.wait(timeout=500)
        assert process.exit_code() == ExitCode.FINAL, process.lines
    counts: Counter[str] = Counter()
    for region in REGIONS:
        counts.update(polls.runs(region)[-1]["counts"])
    return counts


@pytest.mark.long
@pytest.mark.timeout(600)
def test_each_upstream_is_asked_once_a_round_and_each_region_gets_its_items(polls: Polls, server: Upstream) -> None:
    share(polls, server)
    began = time.monotonic()
    first = tick_together(polls)
    first_round = time.monotonic() - began
    asked = Counter(server.paths())
    assert (len(asked), set(asked.values())) == (UPSTREAMS, {1})
    assert first["fetched"] == first["requests"] == UPSTREAMS
    assert first["shared"] == UPSTREAMS * (len(REGIONS) - 1)
    assert first["items"] == 2 * UPSTREAMS * len(REGIONS)
    by_region = polls.rows("SELECT region_id, count(*) AS items FROM region_tick.items GROUP BY 1")
    assert [row["items"] for row in by_region] == [2 * UPSTREAMS] * len(REGIONS)

    before = len(server.asked)
    second = tick_together(polls)
    again = server.asked[before:]
    assert {one.status for one in again} == {304}
    assert (len(again), len({one.path for one in again})) == (UPSTREAMS, UPSTREAMS)
    assert some(dict(second)) == {
        "not_modified": UPSTREAMS,
        "shared": UPSTREAMS * (len(REGIONS) - 1),
        "requests": UPSTREAMS,
    }
    print(f"\n{UPSTREAMS} upstreams, 8 regions: first round {first_round:.1f} s, both {time.monotonic() - began:.1f} s")


def test_one_dead_upstream_of_many_costs_one_attempt_of_one_tick(polls: Polls, server: Upstream) -> None:
    share(polls, server, 20)
    with upstream(address="127.0.0.2") as dead:
        url = dead.on("/", replying(503))
        for region in REGIONS:
            polls.add(url, region_id=region)
        counts = tick_together(polls)
        assert (counts["failed"], len(dead.asked)) == (1, 3)
        assert (counts["fetched"], counts["shared"]) == (20, 140)
        polls.connection.execute("UPDATE region_tick.upstream SET not_before = not_before + interval '1 hour'")
        counts = tick_together(polls)  # however long the first ones took
        assert len(dead.asked) == 3, "left alone by all regions"
        assert (counts["not_modified"], counts["waiting"]) == (20, 8)


def test_a_tick_waits_for_the_answer_that_another_one_asks_for(polls: Polls, server: Upstream) -> None:
    def slow(asked: Asked) -> None:
        asked.closing.wait(2.0)
        asked.answer(200, FEED.format("a").encode())

    url = server.on("/", slow)
    ours, theirs = polls.add(url), polls.add(url, region_id="43")
    asking = polls.start()
    eventually(lambda: server.asked, what="the upstream is asked")
    waiting = polls.start(again=True, region_id="43")
    assert [process.exit_code() for process in (waiting, asking)] == [ExitCode.FINAL] * 2
    assert some(polls.runs("43")[0]["counts"]) == {"shared": 1, "items": 2}
    assert polls.items(theirs) == polls.items(ours) == ["a-1", "a-2"]
    assert len(server.asked) == 1


def test_a_locked_creator_costs_itself_only(polls: Polls, server: Upstream, database: str) -> None:
    ids = [polls.add(server.on(f"/{one}", conditional(FEED.format(one).encode(), etag='"1"'))) for one in range(6)]
    with psycopg.connect(database) as other:
        other.execute("UPDATE region_tick.creator SET failures = 0 WHERE id = %s", (ids[0],))
        counts = polls.counts()
    assert some(counts) == {"fetched": 5, "items": 10, "requests": 5, "left": 1}
    assert some(polls.counts()) == {"fetched": 1, "not_modified": 5, "items": 2, "requests": 6}


def test_an_answer_stays_where_it_cannot_be_delivered_yet(polls: Polls, server: Upstream, database: str) -> None:
    creator = polls.add(server.on("/", conditional(FEED.format("a").encode(), etag='"1"')))
    with psycopg.connect(database) as other:
        other.execute(ORDER_LOCK)
        assert some(polls.counts()) == {"fetched": 1, "requests": 1, "locked": 1}
    assert polls.creators()[creator]["etag"] == '"1"'
    assert some(polls.counts()) == {"shared": 1, "items": 2}
    assert polls.items(creator) == ["a-1", "a-2"]


def test_a_creator_that_a_person_paused_gets_nothing_whoever_asks(polls: Polls, server: Upstream) -> None:
    url = server.on("/", conditional(FEED.format("a").encode(), etag='"1"'))
    polls.add(url)
    paused = polls.add(url, region_id="43")
    polls.connection.execute("UPDATE region_tick.creator SET not_before = 'infinity' WHERE id = %s", (paused,))
    assert polls.counts()["items"] == 2
    assert some(polls.counts(region_id="43")) == {"waiting": 1}
    assert polls.items(paused) == []


def test_a_host_that_was_left_alone_is_asked_at_once_as_the_documentation_says(polls: Polls, server: Upstream) -> None:
    polls.add(server.on("/", conditional(FEED.format("a").encode(), etag='"1"')))
    polls.connection.execute(
        "INSERT INTO region_tick.host (name, failures, last_error, not_before)"
        " VALUES (%s, 9, 'timeout', clock_timestamp() + interval '1 hour')",
        (server.host,),
    )
    assert some(polls.counts()) == {"throttled": 1}
    assert some(polls.counts()) == {"waiting": 1}
    documentation = (CHECKOUT / "docs/queue.md").read_text().replace("example.org", server.host)
    statements = re.findall(r"^(?:DELETE|UPDATE) .*;$", documentation, re.MULTILINE)
    assert len(statements) == 2
    for statement in statements:
        polls.connection.execute(statement.encode())
    assert some(polls.counts()) == {"fetched": 1, "items": 2, "requests": 1}


def test_a_region_whose_creators_name_another_region_says_so(polls: Polls, server: Upstream) -> None:
    polls.add(server.on("/", replying(200)), region_id="ch-zrh")
    process = polls.start()
    assert process.exit_code() == ExitCode.FINAL
    assert "creators_without_region" in process.event("no creators")["remedy"]
