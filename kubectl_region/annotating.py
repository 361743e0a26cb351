"""Changes annotations of CronJobs, and says what the operator has made of that, and what other people have.

Which regions, and why, is left to `pauses`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from kubectl_region.cluster import FIELD_MANAGER, by_namespace
from kubectl_region.errors import PluginError
from kubectl_region.output import SHOWN, list_some, printable, warn
from kubectl_region.waiting import HEARD_SECONDS, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kubectl_region.cluster import Cluster, CronJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is done to CronJobs. An annotation that is None goes.

    `verb` is what they are then, such as paused. `is_done` says whether the operator has followed, and `more` what is
    to be said of a CronJob beside the verb.
    """

    verb: str
    annotations: Mapping[str, str | None]
    is_done: Callable[[CronJob], bool]
    more: Callable[[CronJob], str]

    def is_written(self, cronjob: CronJob) -> bool:
        """Whether a CronJob has the annotations, and nobody has written others since."""
        return all(cronjob.annotations.get(name) == text for name, text in self.annotations.items())


def title(cluster: Cluster, cronjob: CronJob) -> str:
    """Name a region for people: with its namespace, if the command is about several."""
    return printable(f"{cronjob.namespace}/{cronjob.code}" if cluster.everywhere else cronjob.code)


def titles(cluster: Cluster, cronjobs: Sequence[CronJob]) -> str:
    """Name regions in one line, as many as a person reads."""
    named = [title(cluster, cronjob) for cronjob in cronjobs[:SHOWN]]
    return list_some(named, len(cronjobs)) or "none"


def change(cluster: Cluster, cronjobs: Sequence[CronJob], what: Change, *, dry_run: bool) -> None:
    """Change CronJobs, and say what became of each. Raises PluginError if something is not as it was wanted."""
    _annotate(cluster, cronjobs, what, dry_run=dry_run)
    if dry_run:
        for cronjob in cronjobs:
            click.echo(f"{title(cluster, cronjob)} {what.verb}{what.more(cronjob)} (server dry run)")
    elif cronjobs:
        _report(cluster, cronjobs, what)


def _annotate(cluster: Cluster, cronjobs: Sequence[CronJob], what: Change, *, dry_run: bool) -> None:
    """Change the annotations of CronJobs. Raises PluginError, which says of which ones they were changed."""
    changes = [f"{name}-" if text is None else f"{name}={text}" for name, text in what.annotations.items()]
    how = ["--overwrite", f"--field-manager={FIELD_MANAGER}", *["--dry-run=server"] * dry_run]
    try:
        for namespace, names in by_namespace(cronjobs):
            cluster.kubectl("annotate", "cronjobs", "-n", namespace, *names, *changes, *how)
    except PluginError as error:
        if dry_run or len(cronjobs) == 1:
            raise
        warn(f"error: {error.message}")
        now = {one.place for one in cluster.named(cronjobs) if what.is_written(one)}
        were = [one for one in cronjobs if one.place in now]
        others = [one for one in cronjobs if one.place not in now]
        text = f"{len(were)} of {len(cronjobs)} regions were {what.verb}: {titles(cluster, were)}"
        remedy = error.remedy or "mend what the first error says; the same command does the rest"
        raise PluginError(f"{text}; not {what.verb}: {titles(cluster, others)}", remedy) from error


def _report(cluster: Cluster, cronjobs: Sequence[CronJob], what: Change) -> None:
    """Say what became of each CronJob, when the operator has followed. Raises PluginError."""
    now: dict[tuple[str, str], CronJob] = {}

    def left() -> list[CronJob]:
        now.clear()
        now.update((one.place, one) for one in cluster.named(cronjobs))
        return [one for one in now.values() if what.is_written(one) and not what.is_done(one)]

    late = poll(left, seconds=HEARD_SECONDS)
    lost = [one for one in cronjobs if one.place not in now or not what.is_written(now[one.place])]
    for cronjob in lost:
        warn(f"{title(cluster, cronjob)} {_fate(now.get(cronjob.place))}")
    unsettled = {one.place for one in (*late, *lost)}
    for cronjob in cronjobs:
        if cronjob.place not in unsettled:
            click.echo(f"{title(cluster, cronjob)} {what.verb}{what.more(now[cronjob.place])}")
    if late:
        raise PluginError(
            f"the annotations are set, and after {HEARD_SECONDS} s the operator has not {what.verb}:"
            f" {titles(cluster, late)}",
            "see whether the operator runs: kubectl region doctor",
        )
    if lost:
        raise PluginError(f"{len(lost)} of {len(cronjobs)} regions were not {what.verb}: {titles(cluster, lost)}")


def _fate(cronjob: CronJob | None) -> str:
    """Say what others have made of a CronJob that is not as it was written; None: it is gone."""
    if cronjob is None:
        return "is gone"
    if not cronjob.paused:
        return "is not paused any more: somebody has resumed it"
    return f"was changed by somebody else meanwhile: {cronjob.pause}"
