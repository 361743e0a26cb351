"""An upstream that says how long its answer is fresh is left alone so long, by ticks and by workers, and no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_tick.contract import ExitCode, Variable
from tests.database.polls import FEED, Polls, polls, some
from tests.harness.upstream import Upstream, conditional, replying

__all__ = ["polls"]  # a fixture

if TYPE_CHECKING:
    from tests.harness.upstream import Answer, Asked

DAY = {"POLL_FRESH_SECONDS": "86400"}


def saying(feed: str, *, max_age: int) -> Answer:
    def answer(asked: Asked) -> None:
        if asked.headers.get("if-none-match") == f'"{feed}"':
            asked.answer(304)
        else:
            asked.answer(200, FEED.format(feed).encode(), etag=f'"{feed}"', cache_control=f"max-age={max_age}")

    return answer


def test_a_fresh_upstream_is_asked_again_by_the_first_tick_after(polls: Polls, server: Upstream) -> None:
    creator = polls.add(server.on("/", saying("a", max_age=7200)))
    told = [some(polls.counts(DAY)) for _ in range(5)]
    asked = {"not_modified": 1, "requests": 1}
    assert told == [{"fetched": 1, "items": 2, "requests": 1}, {"fresh": 1}, asked, {"fresh": 1}, asked]
    assert len(server.asked) == 3
    assert polls.creators()[creator]["fresh_seconds"] == 7200


def test_no_upstream_is_believed_for_longer_than_the_setting(polls: Polls, server: Upstream) -> None:
    """By default an hour: these ticks are an hour apart, and each asks."""
    polls.add(server.on("/", saying("a", max_age=86_400)))
    for _ in range(3):
        assert polls.counts()["requests"] == 1


def test_what_says_nothing_is_asked_at_each_tick(polls: Polls, server: Upstream) -> None:
    polls.add(server.on("/", conditional(FEED.format("a").encode(), etag='"1"')))
    for _ in range(2):
        assert polls.counts(DAY)["requests"] == 1


def test_a_region_that_comes_later_gets_a_fresh_answer_without_a_request(polls: Polls, server: Upstream) -> None:
    url = server.on("/", saying("a", max_age=7200))
    polls.add(url)
    polls.counts(DAY)
    late = polls.add(url, region_id="43")
    assert some(polls.counts(DAY, region_id="43")) == {"shared": 1, "items": 2}
    assert polls.items(late) == ["a-1", "a-2"]
    assert len(server.asked) == 1


def test_what_the_users_function_refused_is_delivered_while_it_is_fresh(polls: Polls, server: Upstream) -> None:
    polls.write_module("hooks", "def refuses(tick, items): raise ValueError\n\ndef takes(tick, items): pass\n")
    creator = polls.add(server.on("/", saying("a", max_age=7200)))
    assert polls.counts(DAY | {"POLL_ON_ITEMS": "hooks:refuses"})["undelivered"] == 1
    assert polls.counts(DAY | {"POLL_ON_ITEMS": "hooks:takes"})["items"] == 2
    assert polls.items(creator) == ["a-1", "a-2"]
    assert len(server.asked) == 1


def test_it_is_asked_at_once_if_a_person_says_so(polls: Polls, server: Upstream) -> None:
    polls.add(server.on("/", saying("a", max_age=7200)))
    polls.counts(DAY)
    polls.connection.execute("UPDATE region_tick.upstream SET fresh_until = NULL")
    assert polls.counts(DAY)["requests"] == 1


def test_a_failure_is_tried_again_by_its_own_pause(polls: Polls, server: Upstream) -> None:
    """An answer from before the failure calls nothing fresh."""
    polls.add(server.on("/", saying("a", max_age=7200), replying(404), saying("b", max_age=60)))
    polls.counts(DAY)
    polls.connection.execute("UPDATE region_tick.upstream SET fresh_until = NULL")
    assert polls.counts(DAY)["failed"] == 1
    polls.connection.execute("UPDATE region_tick.upstream SET not_before = NULL")
    assert polls.counts(DAY)["fetched"] == 1


def test_enqueue_makes_no_task_for_what_is_fresh(polls: Polls, server: Upstream) -> None:
    polls.add(server.on("/", saying("a", max_age=7200)))
    polls.counts(DAY)
    process = polls.start({Variable.HANDLER: "enqueue"})
    assert process.exit_code() == ExitCode.FINAL
    counts = polls.runs()[-1]["counts"]
    assert (counts["waiting"], counts["enqueued"]) == (1, 0)
