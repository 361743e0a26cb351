"""What the plugin knows of Kubernetes: the RegionSchedulers, and the CronJob of each region.

A region is found by its code, in an annotation that the operator keeps true. The names are the operator's, which this
package does not import; a test holds them equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kubectl_region.errors import NotFoundError, PluginError
from kubectl_region.kubectl import KubectlError
from kubectl_region.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack

    from kubectl_region.kubectl import Kubectl
    from kubectl_region.port_forward import PortForward

DEFAULT_NAMESPACE = "region-tick"
SCHEDULER = "default"
"""The name of every RegionScheduler."""
SELECTOR = "app=region-tick"
"""The label of the operator's CronJobs."""
REGION_LABEL = "region-tick.dev/region"
CODE_ANNOTATION = "region-tick.dev/code"
SUSPENDED_BY_ANNOTATION = "region-tick.dev/suspended-by"
APPROVAL_ANNOTATION = "region-tick.dev/approve-deletions"
PAUSED_ANNOTATION = "region-tick.dev/paused"
PAUSED_BY_ANNOTATION = "region-tick.dev/paused-by"
PAUSED_REASON_ANNOTATION = "region-tick.dev/paused-reason"
PAUSED_SINCE_ANNOTATION = "region-tick.dev/paused-since"
PAUSED_UNTIL_ANNOTATION = "region-tick.dev/paused-until"
PAUSE_ANNOTATIONS = (
    PAUSED_ANNOTATION,
    PAUSED_BY_ANNOTATION,
    PAUSED_REASON_ANNOTATION,
    PAUSED_SINCE_ANNOTATION,
    PAUSED_UNTIL_ANNOTATION,
)
CONTAINER = "tick"
FIELD_MANAGER = "kubectl-region"
"""Who changed a field, in an object's managedFields, when the plugin did."""
NAMES_AT_ONCE = 100
"""How many objects one call of kubectl names: a command line has an end."""


@dataclass(frozen=True, slots=True)
class CronJob:
    """A region's CronJob."""

    namespace: str
    name: str
    code: str
    key: str
    suspended: bool
    suspended_by: str
    annotations: dict[str, str] = field(repr=False)

    @classmethod
    def from_object(cls, body: dict[str, Any]) -> CronJob:
        """Read the API server's object. Without the code's annotation the code is the CronJob's name."""
        meta = body["metadata"]
        annotations = meta.get("annotations", {})
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            code=annotations.get(CODE_ANNOTATION, meta["name"]),
            key=meta.get("labels", {}).get(REGION_LABEL, ""),
            suspended=bool(body["spec"].get("suspend")),
            suspended_by=annotations.get(SUSPENDED_BY_ANNOTATION, ""),
            annotations=annotations,
        )

    @property
    def place(self) -> tuple[str, str]:
        """What tells the CronJob from all others of the cluster."""
        return self.namespace, self.name

    @property
    def paused(self) -> bool:
        """Whether a person paused the region."""
        return self.annotations.get(PAUSED_ANNOTATION) == "true"

    def paused_at(self, now: datetime) -> bool:
        """Whether the pause has not ended. An end that cannot be read, or has no time zone, ends nothing."""
        try:
            end = datetime.fromisoformat(self.annotations.get(PAUSED_UNTIL_ANNOTATION, ""))
        except ValueError:
            return self.paused
        return self.paused and (end.tzinfo is None or end > now)

    @property
    def pause(self) -> str:
        """Who paused the region, since when, until when and why, as far as known."""
        parts = (("by", PAUSED_BY_ANNOTATION), ("since", PAUSED_SINCE_ANNOTATION), ("until", PAUSED_UNTIL_ANNOTATION))
        told = [f"{word} {self.annotations[name]}" for word, name in parts if name in self.annotations]
        reason = self.annotations.get(PAUSED_REASON_ANNOTATION)
        return printable("paused " + " ".join(told or ["by nobody knows whom"]) + (f": {reason}" if reason else ""))


class Cluster:
    """The namespaces that a command is about, and what Kubernetes has there.

    `everywhere`: all namespaces that have a RegionScheduler. `at_end` is closed when the command ends; without it,
    nothing may be started that goes on. `forwards` are the port-forwards to consoles so far, by namespace. `is_whole`
    says whether all namespaces have answered so far.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        namespace: str | None = None,
        *,
        everywhere: bool = False,
        at_end: ExitStack | None = None,
    ) -> None:
        if namespace and everywhere:
            raise PluginError("-n and -A contradict each other", "give one of them")
        self.kubectl = kubectl
        self.everywhere = everywhere
        self.at_end = at_end
        self.forwards: dict[str, PortForward] = {}
        self.is_whole = True
        self._namespace = namespace

    @cached_property
    def namespaces(self) -> Sequence[str]:
        """The namespaces, at least one. Raises PluginError."""
        if self.everywhere:
            found = self.kubectl(
                "get", "regionschedulers", "-A", "-o", "jsonpath={.items[*].metadata.namespace}"
            ).split()
            if not found:
                raise NotFoundError("no RegionScheduler in any namespace", "install Region tick: docs/install.md")
            return found
        if self._namespace:
            return [self._namespace]
        try:
            return [self.kubectl("config", "view", "--minify", "-o", "jsonpath={..namespace}") or DEFAULT_NAMESPACE]
        except KubectlError:  # a pod has no kubeconfig, and kubectl finds its cluster all the same
            return [DEFAULT_NAMESPACE]

    def schedulers(self) -> Iterator[dict[str, Any]]:
        """Yield the RegionScheduler of each namespace. Raises PluginError."""
        if self.everywhere:  # one question: a RegionScheduler may be deleted between two
            found = self.kubectl.json("get", "regionschedulers", "-A")["items"]
            yield from (item for item in found if item["metadata"]["name"] == SCHEDULER)
            return
        for namespace in self.namespaces:
            try:
                yield self.kubectl.json("get", "regionscheduler", SCHEDULER, "-n", namespace)
            except KubectlError as error:
                if error.reason != "NotFound":
                    raise
                raise NotFoundError(
                    f"no RegionScheduler in namespace {namespace}",
                    "name its namespace by -n, or see which there are: kubectl get regionschedulers -A",
                ) from error

    def cronjobs(self) -> list[CronJob]:
        """Return the CronJobs of all regions, by code. Raises PluginError."""
        where = ["-A"] if self.everywhere else ["-n", self.namespaces[0]]
        found = self.kubectl.json("get", "cronjobs", "--selector", SELECTOR, *where)["items"]
        return sorted(map(CronJob.from_object, found), key=lambda cronjob: (cronjob.namespace, cronjob.code))

    def named(self, cronjobs: Sequence[CronJob]) -> list[CronJob]:
        """Return CronJobs as they are now, in the same order, without those that are gone. Raises PluginError."""
        import json

        found: dict[tuple[str, str], CronJob] = {}
        for namespace, names in by_namespace(cronjobs):
            told = self.kubectl("get", "cronjobs", "-n", namespace, "--ignore-not-found", *names, "-o", "json")
            answer = json.loads(told or '{"items": []}')
            items = answer.get("items", [answer])  # one name: the object itself
            found |= {(namespace, item["metadata"]["name"]): CronJob.from_object(item) for item in items}
        return [found[one.place] for one in cronjobs if one.place in found]

    def cronjobs_of(self, codes: Sequence[str]) -> list[CronJob]:
        """Return the CronJobs of regions by their codes, of all namespaces. Raises NotFoundError.

        A code is taken as the region has it, or else as it is shown, with escapes.
        """
        cronjobs = self.cronjobs()
        known = {cronjob.code for cronjob in cronjobs}
        shown = {printable(code): code for code in known}
        meant = {code: code if code in known else shown.get(printable(code)) for code in codes}
        if unknown := [code for code, found in meant.items() if found is None]:
            remedy = "see which there are: kubectl region list; the ticks of one that is gone: kubectl region runs CODE"
            raise NotFoundError(self._unknown(unknown[0], known), remedy)
        return [cronjob for cronjob in cronjobs if cronjob.code in meant.values()]

    def cronjob_of(self, code: str) -> CronJob:
        """Return the one CronJob of a region. Raises NotFoundError, and PluginError if several namespaces have one."""
        first, *others = self.cronjobs_of([code])
        if others:
            named = ", ".join(one.namespace for one in (first, *others))
            raise PluginError(f'region "{code}" is in the namespaces {named}', "choose one of them by -n")
        return first

    def _unknown(self, code: str, known: set[str]) -> str:
        from difflib import get_close_matches

        where = "any namespace" if self.everywhere else f"namespace {self.namespaces[0]}"
        close = get_close_matches(code, sorted(known), n=3, cutoff=0.5)
        return f'no region "{code}" has a CronJob in {where}' + (f"; there is {', '.join(close)}" if close else "")


def by_namespace(cronjobs: Sequence[CronJob]) -> Iterator[tuple[str, list[str]]]:
    """Yield the CronJobs' names by namespace, NAMES_AT_ONCE at a time."""
    names: dict[str, list[str]] = {}
    for cronjob in cronjobs:
        names.setdefault(cronjob.namespace, []).append(cronjob.name)
    for namespace, all_names in names.items():
        for first in range(0, len(all_names), NAMES_AT_ONCE):
            yield namespace, all_names[first : first + NAMES_AT_ONCE]
