"""Knows whether an edit of the table would be heard: the triggers fire, and a connection listens that has proved it.

Two halves that know nothing of each other meet here: the reconcile keeps the triggers, and `listen` keeps the
connection. An edit that nobody hears shows at the refresh interval. That is no failure, but people must be able to see
which of the two to expect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_operator.runtime import metrics

if TYPE_CHECKING:
    from region_operator.database.triggers import Triggers


class Hearing:
    """Whether edits are heard. `triggers` are those of the table that was read last.

    `connection_problem` says why no connection listens, with the remedy: "" means that one listens, None that none has
    been tried yet.
    """

    def __init__(self, triggers: Triggers) -> None:
        self.triggers = triggers
        self.connection_problem: str | None = None
        metrics.NOTIFIED.set_function(lambda: self.works)

    @property
    def works(self) -> bool:
        """Whether every edit is heard."""
        return self.triggers.fire and self.connection_problem == ""

    def explain_deafness(self) -> str:
        """Return why edits show at the refresh interval only, and the remedy; "" if nothing is known to be wrong."""
        return "; ".join(filter(None, (self.triggers.problem, self.connection_problem)))
