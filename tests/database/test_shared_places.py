"""Limits per host on a real Postgres: what one pod learns, all others keep to."""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

import psycopg
import pytest

from region_tick import shared_places
from region_tick.database_url import DatabaseUrl
from region_tick.host_places import UNASKED, Outcome, Place, Verdict, Wait
from region_tick.session import connect
from region_tick.shared_places import FAILURES, PAUSE_LIMIT_SECONDS, PAUSE_SECONDS, SharedPlaces
from region_worker import job_statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOST = "upstream.test"
ANSWERED = Outcome(verdict=Verdict.ANSWERED)
DEAD = Outcome(verdict=Verdict.FAILED, error="it does not answer")
log = logging.getLogger("test")


def ill(creator: str) -> Outcome:
    return Outcome(verdict=Verdict.FAILED, error="answers 503", creator=creator)


@pytest.fixture
def pod(database: str) -> Iterator[Callable[..., SharedPlaces]]:
    """Makes the places of a further pod, with a connection of its own."""
    with ExitStack() as stack:

        def make(at_once: int = 2, lease_seconds: float = 60.0) -> SharedPlaces:
            connection = stack.enter_context(connect(DatabaseUrl.parse(database)))
            return SharedPlaces(lambda: nullcontext(connection), at_once=at_once, lease_seconds=lease_seconds, log=log)

        yield make


def taken(places: SharedPlaces, host: str = HOST) -> Place:
    place = places.take(host)
    assert isinstance(place, Place)
    return place


def wait(places: SharedPlaces) -> Wait:
    answer = places.take(HOST)
    assert isinstance(answer, Wait)
    return answer


def run(database: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def let_time_pass(database: str) -> None:
    """Let all pauses be over."""
    run(database, "UPDATE region_tick.host SET not_before = clock_timestamp()")


def pause(database: str) -> float:
    ((seconds,),) = run(
        database, "SELECT extract(epoch FROM not_before - clock_timestamp())::float8 FROM region_tick.host"
    )
    assert isinstance(seconds, float)
    return seconds


def test_the_statements_are_ones_of_the_migrated_database(connection: psycopg.Connection) -> None:
    texts = [shared_places.TAKE, shared_places.GIVE, shared_places.ANSWERED, shared_places.THROTTLED]
    texts += [shared_places.FAILED, job_statements.FETCH_JOB, job_statements.RETRY, job_statements.NOTE]
    for number, statement in enumerate([*texts, job_statements.DEPTH]):
        names: dict[str, str] = {}
        text = re.sub(r"%\((\w+)\)s", lambda match: names.setdefault(match[1], f"${len(names) + 1}"), statement)  # noqa: B023
        connection.execute(f"PREPARE checked_{number} AS {text}".encode())


def test_all_pods_together_have_so_many_places(pod: Callable[..., SharedPlaces], database: str) -> None:
    one, other, third = pod(), pod(), pod()
    first = taken(one)
    taken(other)
    for places in (one, other, third):
        assert wait(places).reason is None
    assert taken(third, "other.test")
    one.give(first, ANSWERED)
    assert taken(third)
    assert wait(one).reason is None
    assert run(database, "SELECT count(*) FROM region_tick.host") == [(0,)]


def test_a_place_of_a_pod_that_died_becomes_free_by_itself(pod: Callable[..., SharedPlaces], database: str) -> None:
    dead, other = pod(at_once=1), pod(at_once=1)
    lost = taken(dead)
    run(database, "UPDATE region_tick.host_place SET until = clock_timestamp()")
    found = taken(other)
    dead.give(lost, ANSWERED)
    assert wait(pod(at_once=1)).reason is None, "what thaws gives back its own place only"
    other.give(found, ANSWERED)
    assert run(database, "SELECT count(*) FROM region_tick.host_place") == [(0,)]


def test_a_host_that_throttles_one_pod_is_left_alone_by_all(pod: Callable[..., SharedPlaces]) -> None:
    one, other = pod(), pod()
    earlier = taken(other)
    one.give(taken(one), Outcome(verdict=Verdict.THROTTLED, error="answers 429", seconds=3600))
    for places in (one, other, pod()):
        told = wait(places)
        assert told.seconds == pytest.approx(3600, abs=60)
        assert told.reason == "answers 429"
    other.give(earlier, ANSWERED)
    assert wait(one).reason, "an answer to an earlier request does not end the pause"


def test_a_dead_host_is_asked_by_one_at_a_time_and_ever_more_rarely(
    pod: Callable[..., SharedPlaces], database: str
) -> None:
    one, other = pod(), pod()
    one.give(taken(one), DEAD)
    probe = taken(one)
    assert probe.failing
    assert wait(other).reason is None, "from the first failure on, one request at a time"
    one.give(probe, DEAD)
    one.give(taken(one), DEAD)
    assert wait(other).reason == "it does not answer"
    expected = PAUSE_SECONDS
    for _ in range(8):
        assert expected - 20 < pause(database) <= expected * (1 + shared_places.JITTER)
        let_time_pass(database)
        probe = taken(other)
        assert wait(one).reason is None
        other.give(probe, DEAD)
        expected = min(expected * 2, PAUSE_LIMIT_SECONDS)


def test_a_host_that_answers_again_is_asked_as_ever(pod: Callable[..., SharedPlaces], database: str) -> None:
    one, other = pod(), pod()
    for _ in range(FAILURES):
        one.give(taken(one), DEAD)
    let_time_pass(database)
    one.give(taken(one), ANSWERED)
    assert not taken(other).failing
    assert taken(one)
    assert run(database, "SELECT * FROM region_tick.host") == []


def test_one_creator_does_not_condemn_its_host(pod: Callable[..., SharedPlaces], database: str) -> None:
    places = pod()
    for _ in range(FAILURES + 2):
        places.give(taken(places), ill("http https://upstream.test/a"))
    assert run(database, "SELECT failures, not_before FROM region_tick.host") == [(1, None)]
    for creator in ("b", "c"):
        places.give(taken(places), ill(creator))
    assert wait(places).reason == "answers 503"


def test_what_was_not_asked_tells_nothing(pod: Callable[..., SharedPlaces], database: str) -> None:
    places = pod()
    places.give(taken(places), DEAD)
    places.give(taken(places), UNASKED)
    assert run(database, "SELECT failures FROM region_tick.host") == [(1,)]


def test_hosts_that_nobody_asks_any_more_are_forgotten(pod: Callable[..., SharedPlaces], database: str) -> None:
    places = pod()
    for host in ("gone.test", HOST):
        places.give(taken(places, host), DEAD)
    run(database, "UPDATE region_tick.host SET changed_at = clock_timestamp() - interval '31 days'")
    places.give(taken(places), DEAD)
    assert run(database, "SELECT name, failures FROM region_tick.host") == [(HOST, 2)]


@pytest.mark.parametrize(
    "trouble",
    [
        "DROP TABLE region_tick.host, region_tick.host_place",
        "ALTER TABLE region_tick.host RENAME COLUMN failures TO gone",
    ],
)
def test_without_the_tables_the_limits_of_the_process_hold(
    pod: Callable[..., SharedPlaces], database: str, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator that has not migrated yet, or a newer schema."""
    run(database, trouble)
    places = pod()
    first = taken(places)
    taken(places)
    assert wait(places).reason is None
    places.give(first, Outcome(verdict=Verdict.THROTTLED, error="answers 429", seconds=600))
    assert wait(places).reason == "answers 429"
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert line.getMessage() == "limits of hosts hold in this process only"


def test_a_text_that_the_database_cannot_hold_is_recorded_all_the_same(
    pod: Callable[..., SharedPlaces], database: str
) -> None:
    places = pod()
    places.give(taken(places), Outcome(verdict=Verdict.FAILED, error="a\0b" + "x" * 2000))
    ((error,),) = run(database, "SELECT last_error FROM region_tick.host")
    assert isinstance(error, str)
    assert len(error) == 500
