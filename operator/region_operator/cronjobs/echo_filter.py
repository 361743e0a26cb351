"""What reconciles last saw of the CronJobs, or left behind: by it, an event tells news from an echo. Pure.

A tick changes its CronJob's status twice, and what we write comes back as an event; neither may cause a reconcile.
So an object is remembered by what a reconcile looks at: its spec by `generation`, which counts changes of nothing else
(registry/batch/cronjob/strategy.go, PrepareForUpdate), and of its metadata that which is ours to set or to obey.

One that we deleted stays for a moment, until its dependents are orphaned; that it goes is an echo too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import key_in_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OURS = ("app", "app.kubernetes.io/", "region-tick.dev/")
"""How the labels and annotations begin that we set or obey."""


class EchoFilter:
    """The CronJobs by name, each as its uid and a number of 8 bytes; those with no name of ours do not matter."""

    def __init__(self) -> None:
        self._marks: dict[str, tuple[str, int]] = {}
        self._deleted: set[str] = set()
        """The uids of those that we deleted, until a listing shows them gone, or not going."""

    def replace_all(self, bodies: Iterable[Mapping[str, Any]]) -> list[str]:
        """Note all that there is; return the names of those that others have deleted."""
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
        """Note what one looks like now."""
        name = body["metadata"]["name"]
        if key_in_name(name) is not None:
            self._marks[name] = _mark(body)

    def expect_deletion(self, name: str, *, uid: str) -> None:
        """Note that we are about to delete one: that it goes is then no news, and nobody else's deed."""
        self._marks.pop(name, None)
        self._deleted.add(uid)

    def is_news(self, body: Mapping[str, Any], *, deleted: bool) -> bool:
        """Tell whether an event shows what no reconcile has seen yet."""
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
    meta = body["metadata"]
    owners = [(owner["uid"], owner.get("controller")) for owner in meta.get("ownerReferences", [])]
    texts = [
        (key, value)
        for kind in ("labels", "annotations")
        for key, value in sorted(meta.get(kind, {}).items())
        if key.startswith(_OURS)
    ]
    return meta["uid"], hash((meta["generation"], _is_terminating(body), *owners, *texts))
