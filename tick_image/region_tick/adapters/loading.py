"""Finds the adapter of a platform by its name: a built-in one, or one that a Python package registers.

Entry points are looked up only for a name that is not built in, because the look-up reads the metadata of every
installed package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from pkgutil import resolve_name
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias, cast

from region_tick.fetch import RefusedError

if TYPE_CHECKING:
    from datetime import datetime

    from region_tick.adapters import Adapter
    from region_tick.poll_settings import PollSettings

    MakeAdapter: TypeAlias = Callable[[PollSettings, datetime], Adapter]

BUILT_IN = {
    "http": "region_tick.adapters.generic:make",
    "youtube": "region_tick.adapters.youtube:make",
    "tiktok": "region_tick.adapters.tiktok:make",
}
"""Each platform's function that makes its adapter."""
ENTRY_POINTS = "region_tick.adapters"
"""The entry point group in which a Python package registers such a function under a platform's name."""


class Adapters(Mapping[str, "Adapter"]):
    """The adapters by platform. An adapter is made when it is first asked for. Any thread may ask."""

    def __init__(self, settings: PollSettings, *, until: datetime) -> None:
        self._settings, self._until = settings, until
        self._made: dict[str, Adapter] = {}
        self._failures: dict[str, str] = {}
        self._registered: dict[str, str] | None = None
        self._lock = Lock()

    def __getitem__(self, platform: str) -> Adapter:
        """Return a platform's adapter. Raises KeyError for an unknown one, RefusedError if it cannot be made."""
        with self._lock:
            if platform not in self._made:
                self._make(platform)
            return self._made[platform]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all platforms, built in or registered."""
        yield from {**self._find_registered(), **BUILT_IN}

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _make(self, platform: str) -> None:
        place = BUILT_IN.get(platform) or self._find_registered()[platform]
        if platform not in self._failures:
            try:
                make = cast("MakeAdapter", resolve_name(place))
                self._made[platform] = make(self._settings, self._until)
                return
            except Exception as error:  # a package of somebody else's: its creators are refused, and no others
                self._failures[platform] = f"the adapter {place} of {platform} cannot be made: {error!r}"
        raise RefusedError(self._failures[platform])

    def _find_registered(self) -> Mapping[str, str]:
        if self._registered is None:
            self._registered = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
        return self._registered
