"""Keeps the cache of the namespace's CronJobs true, and tells of what others did with the CronJobs.

The watch has no label selector, because somebody can take the labels off. A watch makes wake-ups cheap and drift show
at once, but nothing relies on it: a full look lists everything at the refresh interval, and whenever no watch runs.
How the watch is begun again is left to `reflector`. kopf does not watch the CronJobs, because kopf decodes each object
into dictionaries (docs/decisions/0022-one-watch-of-small-values.md).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from region_operator.cronjobs.cache import CronJobCache, News
from region_operator.cronjobs.live import LiveCronJob
from region_operator.kube.reflector import Reflector
from region_operator.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from region_operator.kube.api import Api

log = logging.getLogger(__name__)


def cronjobs_path(namespace: str) -> str:
    """Return the path of a namespace's CronJobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/cronjobs"


class CronJobWatch:
    """Fills `cache` with the CronJobs of a namespace. `on_news` is called after an event that is news, and when the
    watch is lost. The methods of `reflector.Cache` are for the reflector.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.cache = CronJobCache()
        metrics.OLDEST_PAUSE.set_function(lambda: self.cache.longest_pause(datetime.now(UTC)).total_seconds())
        self.on_news: Callable[[], None] = lambda: None
        self._reflector = Reflector(
            api, self, resource="cronjobs", decode=self.cache.read, on_news=lambda: self.on_news()
        )

    async def run(self, namespace: str) -> NoReturn:
        """Follow the CronJobs until cancelled."""
        await self._reflector.run(cronjobs_path(namespace))

    async def catch_up(self, namespace: str, *, full: bool) -> None:
        """Make the cache show what the API server has: rely on the watch, or list everything.

        Everything is listed with `full`, and while no watch follows. Raises what `api.ERRORS` lists.
        """
        await self._reflector.catch_up(cronjobs_path(namespace), full=full)

    async def refresh(self, namespace: str, name: str) -> None:
        """Read one CronJob anew, because the API server has another version than the cache.

        Raises what `api.ERRORS` lists.
        """
        known = self.cache.get(name)
        body = await self._api.get(f"{cronjobs_path(namespace)}/{name}")
        if body is not None:
            self.cache.fold(LiveCronJob.from_object(body))
        elif known is not None:
            self.cache.remove(name, known.uid)

    def replace_all(self, values: Collection[LiveCronJob], version: str) -> bool:
        """Take in a list of all CronJobs."""
        found = self.cache.replace_all(values, version)
        for name, news in found:
            _log_deletion(name, news)
        return bool(found)

    def fold(self, value: LiveCronJob) -> bool:
        """Take in a CronJob as an event shows it."""
        news = self.cache.fold(value)
        _log_deletion(value.name, news)
        return news is not News.NOTHING

    def remove(self, value: LiveCronJob) -> bool:
        """Take in that a CronJob is gone."""
        news = self.cache.remove(value.name, value.uid)
        _log_deletion(value.name, news)
        return news is not News.NOTHING


def _log_deletion(name: str, news: News) -> None:
    """Log a CronJob that somebody else has deleted."""
    if news is News.DELETED:
        log.info("deleted by another", extra={"cronjob": name})
