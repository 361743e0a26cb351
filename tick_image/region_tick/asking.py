"""Asks one creator's upstream by the platform's adapter, and says what that tells about the creator and the host.

Any error costs its creator only. Who may be asked when is decided elsewhere (host_places, poller).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from region_tick.answer_freshness import fresh_until
from region_tick.fetch import FetchError, RefusedError, Request, Response, TransientError
from region_tick.host_places import UNASKED, Outcome, Verdict
from region_tick.retry import ThrottledError, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from logging import Logger

    from region_tick.adapters import Adapter, Creator, Found, NotModified
    from region_tick.daily_budget import Budgets
    from region_tick.fetch import Client
    from region_tick.poll_settings import PollSettings

REQUESTS_PER_CREATOR = 3
"""A creator has the time of so many requests, for all requests, repetitions and pauses together."""
_MARGIN_SECONDS = 20.0
"""How much longer a place at a host lasts than the time of a creator: a DNS look-up, a TLS handshake, a slow database.
"""
_OVERLOADED = frozenset({408, 425})


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """The result of polling one creator."""

    creator: Creator
    result: Found | NotModified | FetchError
    statuses: Sequence[int | None] = ()
    """The status that answered each request; None for a request without an answer."""
    cost: int = 0
    """What the requests took from the platform's quota, in the platform's units."""

    @property
    def requests(self) -> int:
        """The number of requests."""
        return len(self.statuses)

    def fresh_until(self, tick_at: datetime, *, at_most: int) -> datetime | None:
        """Return until when the answer counts as fresh; None for one that does not, and for a failure."""
        seconds = 0 if isinstance(self.result, FetchError) else self.result.fresh_seconds
        return fresh_until(tick_at, seconds, at_most=at_most)


class Asker:
    """Asks upstreams. Any thread may use the Asker, each with a client of its own. Without `budgets`, nothing counts
    the units of a day.
    """

    def __init__(
        self, adapters: Mapping[str, Adapter], settings: PollSettings, *, log: Logger, budgets: Budgets | None = None
    ) -> None:
        self._adapters, self._settings, self._log, self._budgets = adapters, settings, log, budgets

    def host(self, creator: Creator) -> str:
        """Return the host to ask. Raises RefusedError for an invalid creator."""
        return self._adapter(creator).host(creator)

    def ask(
        self, creator: Creator, client: Client, *, until: float, wait: Callable[[float], bool], once: bool = False
    ) -> tuple[Polled, Outcome]:
        """Poll a creator by the time `until` (seconds of time.monotonic()).

        `wait` waits for a number of seconds, and returns True if no further request must be sent. With `once`, no
        request is repeated.
        """
        statuses: list[int | None] = []
        cost = 0

        def send(request: Request, until: float) -> Response:
            nonlocal cost
            if self._budgets is not None and request.budget is not None:
                self._budgets.spend(request.budget, request.cost)
            cost += request.cost
            statuses.append(None)
            response = client.send(request, until=until)
            statuses[-1] = response.status
            return response

        def ask_politely(request: Request) -> Response:
            pause = (lambda _: True) if once else wait
            return ask(send, request, until=until, request_seconds=self._settings.request_seconds, wait=pause)

        result: Found | NotModified | FetchError
        try:
            result = self._adapter(creator).poll(creator, ask_politely)
        except FetchError as error:
            result = _without_frames(error)
        except Exception as error:
            # An unforeseen answer must cost its creator only, not the whole region.
            self._log.exception("adapter failed", extra={"creator": creator.id, "platform": creator.platform})
            result = RefusedError(f"the adapter of {creator.platform} failed: {type(error).__name__}")
        polled = Polled(creator=creator, result=result, statuses=statuses, cost=cost)
        return polled, judge_host(polled)

    def _adapter(self, creator: Creator) -> Adapter:
        try:
            return self._adapters[creator.platform]
        except KeyError:
            known = ", ".join(sorted(self._adapters))
            raise RefusedError(f"platform {creator.platform[:40]!r} is unknown: write one of {known}") from None


def creator_seconds(settings: PollSettings) -> float:
    """Return how long polling one creator may take."""
    return REQUESTS_PER_CREATOR * float(settings.request_seconds)


def lease_seconds(settings: PollSettings) -> float:
    """Return how long a place at a host lasts: longer than polling one creator."""
    return creator_seconds(settings) + _MARGIN_SECONDS


def judge_host(polled: Polled) -> Outcome:
    """Return what a poll tells about the host.

    A 503 for one URL, also with Retry-After, is that URL's; a 429 is the host's.
    """
    last, result = polled.statuses[-1] if polled.statuses else None, polled.result
    if last is None:
        unanswered = isinstance(result, TransientError) and bool(polled.statuses)
        return Outcome(verdict=Verdict.FAILED, error=str(result)) if unanswered else UNASKED
    if isinstance(result, ThrottledError) and result.whole_host:
        return Outcome(verdict=Verdict.THROTTLED, error=str(result), seconds=result.leave_alone_seconds)
    if isinstance(result, TransientError | ThrottledError) and (last >= 500 or last in _OVERLOADED):
        return Outcome(verdict=Verdict.FAILED, error=str(result), creator=_identity(polled.creator))
    return Outcome(verdict=Verdict.ANSWERED)


def _identity(creator: Creator) -> str:
    """Return what is the same for all rows of one creator, in any region."""
    return f"{creator.platform} {creator.handle or creator.url}"


def _without_frames(error: FetchError) -> FetchError:
    """Remove an error's references to stack frames and to the answer, and return the error.

    The frames hold answers' bodies, and form reference cycles that live until the next garbage collection.
    """
    error.__context__ = error.__cause__ = None
    if isinstance(error, RefusedError):
        error.response = None
    return error.with_traceback(None)
