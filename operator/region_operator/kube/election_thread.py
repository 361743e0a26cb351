"""Runs the leader election in a thread, with an event loop and a connection of its own.

The main event loop may be held for seconds: by a long piece of Python, by a slow disk, by a CPU that others use. A
Lease that the main loop renewed would be lost then. The thread renews the Lease meanwhile, and nothing leaves this
process that the Lease does not cover: the main loop asks `time_left` before each request.

A thread must not hold the Lease for a main loop that is stuck for good. So `leader_election` ends the process if the
main loop has not turned for long.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from region_operator.kube.connect import connect
from region_operator.kube.leader_election import LeaderElection, end_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from region_operator.runtime.health import Health


class ElectionThread:
    """This process's part in the election of a namespace. `health` knows when the main loop last turned."""

    def __init__(self, health: Health, *, namespace: str, identity: str) -> None:
        self._health, self._namespace, self.identity = health, namespace, identity
        self._election: LeaderElection | None = None

    def time_left(self) -> float:
        """Return for how many seconds, more than 0, a request may be under way. End the process if no time is left.

        Only a leader may call this.
        """
        assert self._election is not None  # noqa: S101 - `leading` sets it before its block runs
        return self._election.time_left()

    @asynccontextmanager
    async def leading(self, *, patient: bool = True) -> AsyncIterator[None]:
        """Do what `LeaderElection.leading` does, with all requests from the thread. Raises the same errors."""
        main = asyncio.get_running_loop()
        began, stopping = asyncio.Event(), Future[None]()
        with ThreadPoolExecutor(1, thread_name_prefix="election") as executor:
            election = self._elect(patient, stopping, began=lambda: main.call_soon_threadsafe(began.set))
            electing: asyncio.Future[None] = main.run_in_executor(executor, asyncio.run, election)
            beginning = asyncio.ensure_future(began.wait())
            waits: set[asyncio.Future[Any]] = {electing, beginning}
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if electing.done():
                    electing.result()
                electing.add_done_callback(lambda _: stopping.done() or end_process("the election has ended"))
                yield
            finally:
                beginning.cancel()
                stopping.set_result(None)
                await asyncio.wait({electing})

    async def _elect(self, patient: bool, stopping: Future[None], *, began: Callable[[], object]) -> None:
        """Lead until `stopping` is done, in the thread. `began` is called when this process leads."""
        leading = asyncio.ensure_future(self._lead(patient=patient, began=began))
        await asyncio.wait({leading, asyncio.wrap_future(stopping)}, return_when=asyncio.FIRST_COMPLETED)
        leading.cancel()
        with suppress(asyncio.CancelledError):
            await leading

    async def _lead(self, *, patient: bool, began: Callable[[], object]) -> None:
        async with connect(self.identity) as api:
            self._election = LeaderElection(
                api, self._health, namespace=self._namespace, identity=self.identity, silence=self._health.silence
            )
            async with self._election.leading(patient=patient):
                began()
                await asyncio.Event().wait()
