"""Remembers when each region last started a tick: one number for each region, at most for about a day. Pure."""

from __future__ import annotations

FORGOTTEN_AFTER_SECONDS = 86_400.0
"""A region that starts less often goes first anyway."""


class LastStarts:
    """The Unix time of each region's last start, by the name of the region's CronJob."""

    def __init__(self) -> None:
        self._starts: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._starts)

    def of(self, cronjob: str) -> float:
        """Return a region's last start, or 0.0 if no start is known: such a region has waited longest."""
        return self._starts.get(cronjob, 0.0)

    def remember(self, cronjob: str, start: float) -> None:
        """Remember a start, unless a later start is known. Forget starts that are a day older.

        The order of the dict is the order of the last calls, so the old starts are in front.
        """
        self._starts[cronjob] = max(start, self._starts.pop(cronjob, 0.0))
        while self._starts[oldest := next(iter(self._starts))] < start - FORGOTTEN_AFTER_SECONDS:
            del self._starts[oldest]
