"""console.cached: many who ask at once cost one question, and an old answer is better than a long wait."""

from __future__ import annotations

import asyncio

import pytest

from region_operator.console.cached import Cached, MadeOfLatest


class Asked:
    """Counts the questions. `now` is the time; `gate` holds an answer back, `error` is raised instead."""

    def __init__(self) -> None:
        self.questions = 0
        self.now = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.questions += 1
        number = self.questions
        await self.gate.wait()
        if self.error:
            raise self.error
        return number

    def cached(self, **limits: float) -> Cached[int]:
        return Cached(self, clock=lambda: self.now, **{"fresh_seconds": 1.0, **limits})


async def test_many_at_once_cost_one_question() -> None:
    asked = Asked()
    asked.gate.clear()
    cached = asked.cached()
    waiting = [asyncio.create_task(cached.get()) for _ in range(20)]
    await asyncio.sleep(0)
    asked.gate.set()
    assert set(await asyncio.gather(*waiting)) == {1}


async def test_an_answer_is_given_again_while_it_is_fresh() -> None:
    asked = Asked()
    cached = asked.cached()
    assert [await cached.get(), await cached.get()] == [1, 1]
    asked.now = 1.5
    assert await cached.get() == 2
    assert cached.latest == 2


async def test_an_old_answer_is_given_while_a_newer_one_takes_long_and_the_newer_one_afterwards() -> None:
    asked = Asked()
    cached = asked.cached(stale_seconds=10, patience_seconds=0.01)
    assert await cached.get() == 1
    asked.now = 5
    asked.gate.clear()
    assert [await cached.get(), await cached.get(), asked.questions] == [1, 1, 2]
    asked.gate.set()
    await asyncio.sleep(0.01)
    assert await cached.get() == 2


async def test_an_answer_that_is_too_old_is_not_given() -> None:
    asked = Asked()
    cached = asked.cached(stale_seconds=10)
    assert await cached.get() == 1
    asked.now = 11
    assert await cached.get() == 2


async def test_whoever_needs_a_newer_answer_waits_for_one() -> None:
    asked = Asked()
    cached = asked.cached(fresh_seconds=30, stale_seconds=600)
    assert await cached.get() == 1
    asked.now = 6
    assert [await cached.get(), await cached.get(oldest_seconds=5), await cached.get(oldest_seconds=5)] == [1, 2, 2]
    asked.now = 60
    asked.gate.clear()
    strict = asyncio.create_task(cached.get(oldest_seconds=5))
    assert await cached.get() == 2
    assert not strict.done()
    asked.gate.set()
    assert await strict == 3


async def test_a_question_that_was_under_way_for_too_long_is_asked_again() -> None:
    asked = Asked()
    asked.gate.clear()
    cached = asked.cached()
    first = asyncio.create_task(cached.get())
    await asyncio.sleep(0.01)
    asked.now = 8
    strict = asyncio.create_task(cached.get(oldest_seconds=5))
    await asyncio.sleep(0.01)
    asked.gate.set()
    assert [await first, await strict] == [1, 2]


async def test_an_error_is_raised_although_there_is_an_old_answer_and_the_next_one_asks_again() -> None:
    asked = Asked()
    cached = asked.cached(stale_seconds=10, patience_seconds=1)
    assert await cached.get() == 1
    asked.now, asked.error = 5, OSError("away")
    with pytest.raises(OSError, match="away"):
        await cached.get()
    asked.error = None
    assert await cached.get() == 3


async def test_after_an_error_that_took_long_no_old_answer_hides_the_next_error() -> None:
    asked = Asked()
    cached = asked.cached(stale_seconds=10, patience_seconds=0.01)
    assert await cached.get() == 1
    asked.now, asked.error = 2, OSError("away")
    asked.gate.clear()
    assert await cached.get() == 1
    asked.gate.set()
    await asyncio.sleep(0.01)
    asked.gate.clear()
    asking = asyncio.create_task(cached.get())
    await asyncio.sleep(0.05)
    asked.gate.set()
    with pytest.raises(OSError, match="away"):
        await asking
    asked.error = None
    assert [await cached.get(), cached.latest] == [4, 4]


async def test_somebody_who_goes_away_does_not_end_the_question_of_the_others() -> None:
    asked = Asked()
    asked.gate.clear()
    cached = asked.cached()
    first, second = asyncio.create_task(cached.get()), asyncio.create_task(cached.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    asked.gate.set()
    assert await second == 1


async def test_an_error_that_nobody_waits_for_is_no_noise() -> None:
    asked = Asked()
    cached = asked.cached(stale_seconds=10)
    assert await cached.get() == 1
    asked.now, asked.error = 5, OSError("away")
    asked.gate.clear()
    assert await cached.get() == 1
    asked.gate.set()
    await asyncio.sleep(0)
    await cached.close()


def test_of_an_answer_each_thing_is_made_once_and_of_an_equal_one_anew() -> None:
    made: list[str] = []
    things: MadeOfLatest[int] = MadeOfLatest()

    def get(answer: object, key: str) -> int:
        return things.get(answer, key, lambda: made.append(key) or len(made))  # type: ignore[func-returns-value]

    first, equal = [1], [1]
    assert [get(first, "html"), get(first, "json"), get(first, "html"), get(first, "json")] == [1, 2, 1, 2]
    assert [get(equal, "html"), get(equal, "html")] == [3, 3]
