"""Tells news from echoes among the events of CronJobs. Pure.

A tick changes the status of its CronJob twice, and each of our own writes comes back as an event. Neither event may
cause a reconcile. So the EchoFilter remembers each CronJob as the last reconcile saw or left the CronJob, but only the
parts that a reconcile looks at. For the spec the part is `generation`, because `generation` counts changes of the spec
and of nothing else (registry/batch/cronjob/strategy.go, PrepareForUpdate). For the metadata the parts are our labels,
our annotations and the owners.

A CronJob that we deleted exists for a moment longer, until its dependents are orphaned. Events of this moment are
echoes too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import key_in_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OURS = ("app", "app.kubernetes.io/", "region-tick.dev/")
"""The prefixes of the labels and annotations that we set or obey."""


class EchoFilter:
    """Remembers the CronJobs by name, each as its uid and a hash of 8 bytes.

    A CronJob without a name of our form is ignored.
    """

    def __init__(self) -> None:
        self._marks: dict[str, tuple[str, int]] = {}
        self._deleted: set[str] = set()
        """The uids of the CronJobs that we deleted. A uid stays as long as listings have the CronJob as terminating."""

    def replace_all(self, bodies: Iterable[Mapping[str, Any]]) -> list[str]:
        """Remember exactly the listed CronJobs. Return the names of the CronJobs that others have deleted."""
        before, self._marks = self._marks, {}
        deleted, self._deleted = self._deleted, set()
        for body in bodies:
            uid = body["metadata"]["uid"]
            if uid in deleted and _is_terminating(body):
                self._deleted.add(uid)
            else:
                self.remember(body)
        return [name for name, (uid, _) in before.items() if self._marks.get(name, ("",))[0] != uid]

    def remember(self, body: Mapping[str, Any]) -> None:
        """Remember what a CronJob looks like now."""
        name = body["metadata"]["name"]
        if key_in_name(name) is not None:
            self._marks[name] = _mark(body)

    def expect_deletion(self, name: str, *, uid: str) -> None:
        """Remember that we are about to delete a CronJob: the deletion is then an echo, and not done by others."""
        self._marks.pop(name, None)
        self._deleted.add(uid)

    def is_news(self, body: Mapping[str, Any], *, deleted: bool) -> bool:
        """Tell whether an event shows a change that no reconcile has seen or made."""
        meta = body["metadata"]
        if key_in_name(meta["name"]) is None:
            return False
        mark = self._marks.get(meta["name"])
        if deleted:
            return mark is not None and mark[0] == meta["uid"]
        if mark is None and (meta["uid"] in self._deleted or _is_terminating(body)):
            return False
        return mark != _mark(body)


def _is_terminating(body: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in body["metadata"]


def _mark(body: Mapping[str, Any]) -> tuple[str, int]:
    """Return the uid, and a hash of the parts that a reconcile looks at."""
    meta = body["metadata"]
    owners = [(owner["uid"], owner.get("controller")) for owner in meta.get("ownerReferences", [])]
    texts = [
        (key, value)
        for kind in ("labels", "annotations")
        for key, value in sorted(meta.get(kind, {}).items())
        if key.startswith(_OURS)
    ]
    return meta["uid"], hash((meta["generation"], _is_terminating(body), *owners, *texts))
