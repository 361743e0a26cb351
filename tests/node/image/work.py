"""A user's handlers: work that takes a while and leaves one row."""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING

from region_tick.handlers.poll import poll

if TYPE_CHECKING:
    from region_tick.handlers import Outcome, Tick


def short(tick: Tick) -> None:
    _work(tick, seconds=2)


def long(tick: Tick) -> None:
    _work(tick, seconds=8)


def longest(tick: Tick) -> None:
    _work(tick, seconds=30)


def hungry(tick: Tick) -> None:
    """Take memory until the kernel refuses more of it."""
    taken = []
    while True:
        tick.check()
        taken.append(bytearray(b"x" * 2**24))


def fails(tick: Tick) -> None:
    """Say something, and fail."""
    tick.log.info("asked", extra={"url": os.environ["DATABASE_URL"]})
    raise ValueError("no answer")


def poll_and_scribble(tick: Tick) -> Outcome:
    """Poll, if there is a place for temporary files and the process is the user that the pod asks for."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
    if os.getuid() != 4242:
        raise RuntimeError(f"the user is {os.getuid()}")
    return poll(tick)


def _work(tick: Tick, *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tick.check()
        time.sleep(0.1)
    with tick.transaction() as connection:
        row = (tick.region.code, tick.tick_at, tick.attempt)
        connection.execute("INSERT INTO public.effects VALUES (%s, %s, %s)", row)
