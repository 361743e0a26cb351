"""The user's function on_items in workers as processes: its effects and the items are committed together."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import ExitCode
from tests.database.worker_queue import THE_ONE, Queue
from tests.harness.ticks import SOURCE, TICK_AT
from tests.harness.upstream import upstream
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOOKS = """
import json, os

def keep(tick, items):
    seen = {
        "code": tick.region.code, "id": tick.region.id, "name": tick.region.name, "source": tick.source,
        "cron": tick.cron, "tick_at": tick.tick_at.isoformat(), "params": tick.params, "attempt": tick.attempt,
        "bbox": tick.region.bbox and str(tick.region.bbox.min_lon), "remaining": tick.remaining() > 5, "key": tick.key,
    }
    for item in items:
        tick.connection.execute("INSERT INTO effect VALUES (%s, %s)", (item.item_id, json.dumps(seen)))

def fails(tick, items):
    keep(tick, items)
    raise ValueError("not today")

def fails_in_sql(tick, items):
    tick.connection.execute("SELECT 1 / 0")

def commits(tick, items):
    tick.connection.execute("COMMIT")

def finishes(tick, items):
    tick.finish(None)

def dies_once(tick, items):
    keep(tick, items)
    if not os.path.exists("died"):
        open("died", "w").close()
        os._exit(137)
"""


@pytest.fixture
def queue(tmp_path: Path, database: str) -> Iterator[Queue]:
    with upstream() as server:
        queue = Queue(tmp_path, database, server)
        (tmp_path / "hooks.py").write_text(HOOKS)
        queue.connection.execute("CREATE TABLE effect (item text, seen jsonb)")
        yield queue
        queue.close()


def hook(name: str) -> dict[str, str]:
    return {"POLL_ON_ITEMS": f"hooks:{name}"}


def effects(queue: Queue) -> list[str]:
    return [row["item"] for row in queue.rows("SELECT item FROM effect ORDER BY item")]


def test_the_function_gets_each_item_once_and_sees_its_region(queue: Queue) -> None:
    queue.add(1)
    queue.enqueue()
    queue.start(**hook("keep"))
    queue.until_empty()
    assert effects(queue) == queue.items() == THE_ONE
    seen: dict[str, Any] = queue.rows("SELECT seen FROM effect")[0]["seen"]
    assert seen.pop("key").startswith(f"{TICK_AT:%Y%m%dT%H%MZ}-")
    assert seen == {
        "code": "ch-zrh",
        "id": "42",
        "name": "Zürich",
        "source": SOURCE,
        "cron": "* * * * *",
        "tick_at": TICK_AT.isoformat(),
        "params": {"lang": "de"},
        "attempt": 1,
        "bbox": "8.44",
        "remaining": True,
    }


def test_a_task_of_an_earlier_release_tells_the_code_alone(queue: Queue) -> None:
    queue.add(1)
    queue.enqueue()
    queue.connection.execute("UPDATE region_tick.procrastinate_jobs SET args = args - 'region'")
    queue.start(**hook("keep"))
    queue.until_empty()
    seen = queue.rows("SELECT seen FROM effect")[0]["seen"]
    assert (seen["code"], seen["id"], seen["bbox"], seen["params"]) == ("ch-zrh", "", None, {})


@pytest.mark.parametrize(
    ("name", "error"),
    [("fails", "on_items: ValueError: not today"), ("fails_in_sql", "on_items: DivisionByZero: division by zero")],
)
def test_where_it_fails_the_creator_waits_and_gets_the_same_items_later(queue: Queue, name: str, error: str) -> None:
    for number in (1, 2):
        queue.add(number)
    queue.enqueue()
    worker = queue.start(**hook(name))
    queue.until_empty()
    rows = queue.rows("SELECT last_error FROM region_tick.creator")
    assert [row["last_error"] for row in rows] == [error] * 2
    assert (effects(queue), queue.items()) == ([], [])
    worker.popen.send_signal(signal.SIGTERM)
    assert worker.exit_code() == ExitCode.FINAL
    assert [event["level"] for event in worker.events() if event["event"] == "on_items failed"] == ["error"] * 2
    queue.connection.execute("UPDATE region_tick.creator SET last_polled_at = last_polled_at - interval '1 day'")
    queue.enqueue()
    queue.start(**hook("keep"))
    queue.until_empty()
    assert effects(queue) == queue.items() == ["1-1", "1-2", "2-1", "2-2"]


@pytest.mark.parametrize(("name", "said"), [("commits", "take that SQL out"), ("finishes", "has no tick to finish")])
def test_what_breaks_the_transactions_promise_fails_the_task(queue: Queue, name: str, said: str) -> None:
    queue.add(1)
    queue.enqueue()
    queue.start(**hook(name))
    errors = eventually(
        lambda: (
            [error for job in queue.jobs() if (error := job["args"].get("error"))]
            or [
                row["last_error"]
                for row in queue.rows("SELECT last_error FROM region_tick.creator")
                if row["last_error"]
            ]
        ),
        what="it is on record",
    )
    assert said in errors[0]


def test_a_worker_that_dies_in_it_leaves_nothing_and_another_does_it_once(queue: Queue) -> None:
    queue.add(1)
    queue.enqueue()
    dead = queue.start(**hook("dies_once"))
    dead.popen.wait(timeout=60)
    assert (effects(queue), queue.items()) == ([], [])
    queue.start(**hook("dies_once"))
    queue.until_empty()
    assert effects(queue) == queue.items() == THE_ONE


@pytest.mark.parametrize("name", ["hooks:absent", "nobody:keep", "json:__name__"])
def test_a_function_that_is_none_ends_the_worker_at_once(queue: Queue, name: str) -> None:
    worker = queue.start(POLL_ON_ITEMS=name)
    assert worker.exit_code() != ExitCode.FINAL
    assert f"POLL_ON_ITEMS is '{name}'" in worker.errors + "".join(worker.lines)
