"""Knows whether an edit of the table would be heard: the triggers fire, and a connection listens that has proved it.

Two halves that know nothing of each other meet here: the reconcile keeps the triggers, and `listen` keeps the
connection. An edit that nobody hears shows at the refresh interval. That is no failure, but people must be able to see
which of the two to expect, and how long edits take.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from region_operator.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from region_operator.database.triggers import Triggers


class Hearing:
    """Whether edits are heard. `triggers` are those of the table that was read last.

    `connection_problem` says why no connection listens, with the remedy: "" means that one listens, None that none has
    been tried yet. `clock` returns seconds.
    """

    def __init__(self, triggers: Triggers, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.triggers = triggers
        self._clock = clock
        self._heard_at: float | None = None
        self._edited_at: float | None = None
        self.connection_problem: str | None = None
        metrics.NOTIFIED.set_function(lambda: self.works)

    @property
    def works(self) -> bool:
        """Whether every edit is heard."""
        return self.triggers.fire and self.connection_problem == ""

    def explain_deafness(self) -> str:
        """Return why edits show at the refresh interval only, and the remedy; "" if nothing is known to be wrong."""
        return "; ".join(filter(None, (self.triggers.problem, self.connection_problem)))

    def hear(self) -> None:
        """Record that a notification told of an edit."""
        if self._heard_at is None:
            self._heard_at = self._clock()

    def begin_reading(self, *, schema: str, table: str) -> None:
        """Hear of a table's edits from now on, because it is about to be read: the reading has all edits before.

        An edit counts from its notification, or from its first reading if nothing told of the edit.
        """
        self.triggers.follow(schema=schema, table=table)
        if self._edited_at is None:
            self._edited_at = self._clock() if self._heard_at is None else self._heard_at
        self._heard_at = None

    def measure_edit(self) -> None:
        """Record in the metrics how long an edit took whose CronJob was just written or deleted."""
        if self._edited_at is not None:
            metrics.EDIT_LATENCY.observe(self._clock() - self._edited_at)

    def finish(self) -> None:
        """Record that a reconcile has followed every edit of its reading."""
        self._edited_at = None
