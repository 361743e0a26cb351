"""The user's function on_items, in ticks as processes: its effects and the items are committed together."""

from __future__ import annotations

import re

import pytest

from region_tick.contract import ExitCode
from tests.database.polls import FEED, Polls, polls, some
from tests.harness.operator_process import CHECKOUT
from tests.harness.upstream import Upstream, conditional, replying

__all__ = ["polls"]  # a fixture

HOOKS = """
import os

def keep(tick, items):
    for item in items:
        tick.connection.execute(
            "INSERT INTO effect VALUES (%s, %s, %s, %s)", (tick.region.code, item.item_id, item.title, item.backlog))

def fails_on_b(tick, items):
    keep(tick, items)
    if any(item.item_id.startswith("b") for item in items):
        raise ValueError("no b")

def breaks_the_transaction(tick, items):
    tick.connection.execute("SELECT 1 / 0")

def swallows_an_error(tick, items):
    try:
        tick.connection.execute("SELECT 1 / 0")
    except Exception:
        pass

def commits(tick, items):
    tick.connection.execute("COMMIT")

def commits_and_fails(tick, items):
    commits(tick, items)
    raise ValueError("later")

def dies(tick, items):
    keep(tick, items)
    os._exit(137)

def stops(tick, items):
    keep(tick, items)
    tick.stopping.set()
    tick.check()

number = 42
"""


@pytest.fixture(autouse=True)
def hooks(polls: Polls) -> None:
    polls.write_module("hooks", HOOKS)
    polls.connection.execute("CREATE TABLE effect (region text, item text, title text, backlog boolean)")


def hook(name: str) -> dict[str, str]:
    return {"POLL_ON_ITEMS": f"hooks:{name}"}


def effects(polls: Polls) -> list[str]:
    return [row["item"] for row in polls.rows("SELECT item FROM effect ORDER BY item")]


def test_the_function_gets_each_item_once(polls: Polls, server: Upstream) -> None:
    polls.add(server.on("/", conditional(FEED.format("a").encode(), etag='"1"')))
    assert polls.counts(hook("keep"))["items"] == 2
    assert some(polls.counts(hook("keep"))) == {"not_modified": 1, "requests": 1}
    assert effects(polls) == ["a-1", "a-2"]


def test_it_gets_what_another_regions_tick_fetched(polls: Polls, server: Upstream) -> None:
    url = server.on("/", conditional(FEED.format("a").encode(), etag='"1"'))
    polls.add(url)
    polls.add(url, region_id="43")
    polls.counts()
    assert polls.counts(hook("keep"), region_id="43")["shared"] == 1
    assert effects(polls) == ["a-1", "a-2"]


def test_where_it_fails_one_creator_waits_and_gets_the_same_items_at_the_next_tick(
    polls: Polls, server: Upstream
) -> None:
    a, b = (polls.add(server.on(f"/{n}", conditional(FEED.format(n).encode(), etag=f'"{n}"'))) for n in "ab")
    counts = polls.counts(hook("fails_on_b"))
    assert some(counts) == {"fetched": 2, "items": 2, "requests": 2, "undelivered": 1}
    assert (effects(polls), polls.items(a), polls.items(b)) == (["a-1", "a-2"], ["a-1", "a-2"], [])
    (row,) = polls.rows(f"SELECT last_error FROM region_tick.creator WHERE id = {b}")
    assert row["last_error"] == "on_items: ValueError: no b"
    assert polls.counts(hook("fails_on_b"))["undelivered"] == 1
    assert effects(polls) == ["a-1", "a-2"]
    counts = polls.counts(hook("keep"))
    assert some(counts) == {"not_modified": 2, "items": 2, "requests": 2}
    assert (effects(polls), polls.items(b)) == (["a-1", "a-2", "b-1", "b-2"], ["b-1", "b-2"])
    assert polls.rows("SELECT FROM region_tick.creator WHERE last_error IS NOT NULL") == []


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("breaks_the_transaction", "on_items: DivisionByZero: division by zero"),
        ("swallows_an_error", "on_items left a failed statement: "),
    ],
)
def test_a_statement_that_fails_costs_only_the_delivery(polls: Polls, server: Upstream, name: str, error: str) -> None:
    creator = polls.add(server.on("/", replying(200, FEED.format("a").encode())))
    assert some(polls.counts(hook(name)))["undelivered"] == 1
    (row,) = polls.rows("SELECT last_error FROM region_tick.creator")
    assert row["last_error"].startswith(error)
    assert polls.rows("SELECT last_polled_at IS NOT NULL AS kept FROM region_tick.upstream") == [{"kept": True}]
    assert polls.items(creator) == []


@pytest.mark.parametrize(("name", "code"), [("dies", 137), ("stops", ExitCode.AGAIN)])
def test_where_the_tick_ends_in_it_the_next_attempt_delivers(
    polls: Polls, server: Upstream, name: str, code: int
) -> None:
    creator = polls.add(server.on("/", replying(200, FEED.format("a").encode())))
    assert polls.start(hook(name)).exit_code() == code
    assert (effects(polls), polls.items(creator)) == ([], [])
    polls.rows("UPDATE region_tick.job_run SET lease_until = clock_timestamp() RETURNING 1")
    assert polls.start(hook("keep"), again=True).exit_code() == ExitCode.FINAL
    assert effects(polls) == polls.items(creator) == ["a-1", "a-2"]


@pytest.mark.parametrize("name", ["commits", "commits_and_fails"])
def test_a_function_that_ends_the_transaction_is_permanent(polls: Polls, server: Upstream, name: str) -> None:
    """The items would have numbers that are not in order."""
    creator = polls.add(server.on("/", replying(200, FEED.format("a").encode())))
    assert polls.start(hook(name)).exit_code() == ExitCode.DATA
    assert "on_items ended the transaction" in polls.runs()[0]["error_message"]
    assert polls.items(creator) == []


@pytest.mark.parametrize("name", ["hooks:missing", "nothing:here", "hooks", "hooks:number"])
def test_a_function_that_is_not_there_is_permanent(polls: Polls, name: str) -> None:
    process = polls.start({"POLL_ON_ITEMS": name})
    assert process.exit_code() == ExitCode.CONFIGURATION
    assert f"POLL_ON_ITEMS is '{name}'" in polls.runs()[0]["error_message"]


def test_the_function_of_the_documentation(polls: Polls, server: Upstream) -> None:
    (example,) = re.findall(r"```python\n(# news.py.*?)```", (CHECKOUT / "docs/items.md").read_text(), re.DOTALL)
    polls.write_module("news", example)
    polls.connection.execute("CREATE TABLE article (region text, url text, title text)")
    feed = "<rss><channel><item><guid>1</guid></item></channel></rss>"
    news = feed.replace("<item>", "<item><title>News</title><link>https://a.test/2</link><guid>2</guid></item><item>")
    polls.add(server.on("/", replying(200, feed.encode()), replying(200, news.encode())))
    for _ in range(2):
        assert "undelivered" not in polls.counts({"POLL_ON_ITEMS": "news:keep"})
    articles = polls.rows("SELECT * FROM article")
    assert articles == [{"region": "ch-zrh", "url": "https://a.test/2", "title": "News"}], "no backlog"
