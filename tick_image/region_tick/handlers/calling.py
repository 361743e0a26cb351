"""Calls a handler, plain or `async def`, and checks what it returns."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING

from region_tick.handlers import Outcome, PermanentError

if TYPE_CHECKING:
    from region_tick.handlers import Handler, Tick


def call(name: str, handler: Handler, tick: Tick) -> Outcome:
    """Let a handler do a tick, a coroutine in an event loop of its own, and return the checked result.

    `name` is for messages. Raises PermanentError, and whatever the handler raises.
    """
    outcome = handler(tick)
    if isinstance(outcome, Coroutine):
        import asyncio  # a slow import, which only `async def` handlers pay for

        outcome = asyncio.run(outcome)
    if not isinstance(outcome, Outcome | None):
        raise PermanentError(f"handler {name!r} returned {outcome!r}: return an Outcome or None")
    outcome = outcome or Outcome()
    outcome.check_within(tick.window)
    return outcome
