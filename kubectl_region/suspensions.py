"""`pause --all` and `resume --all`: the fields spec.suspend and spec.suspendUntil of the RegionScheduler.

The operator obeys the fields, and says in the status what came of it; its words are shown. A suspension that stands is
made longer, never shorter: somebody else may rely on it. Nor is one changed that was not shown. Who suspended is
self-declared, as with pauses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kubectl_region.cluster import (
    FIELD_MANAGER,
    PAUSED_BY_ANNOTATION,
    PAUSED_REASON_ANNOTATION,
    PAUSED_SINCE_ANNOTATION,
    SCHEDULER,
)
from kubectl_region.errors import PluginError
from kubectl_region.identity import who_am_i
from kubectl_region.kubectl import KubectlError
from kubectl_region.moments import ago, format_time, read_time
from kubectl_region.output import printable, warn
from kubectl_region.questions import confirm
from kubectl_region.waiting import HEARD_SECONDS, poll

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kubectl_region.cluster import Cluster

OPEN = datetime.max.replace(tzinfo=UTC)
"""The end of a suspension that only a person ends."""
SUSPENDED = "Suspended"
"""The condition of a RegionScheduler whose regions are all suspended, and the reason of Ready."""
ANNOTATIONS = (PAUSED_BY_ANNOTATION, PAUSED_REASON_ANNOTATION, PAUSED_SINCE_ANNOTATION)
ATTEMPTS = 5
"""How often a change is tried while the operator writes the status."""
NOT_BEGUN = "not begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What is written into a RegionScheduler, and whether all regions are suspended then."""

    spec: Mapping[str, object]
    annotations: Mapping[str, str | None]
    suspended: bool
    now: datetime

    def spec_for(self, found: Mapping[str, Any]) -> dict[str, object]:
        """Return what to write into a RegionScheduler's spec. A moment that is left over from before stays: Git may
        bring it back, and while all are suspended the API server refuses a moment that it does not have.
        """
        spec = found.get("spec", {})
        over = bool(spec.get("suspend")) and _is_past(spec.get("suspendUntil"), self.now)
        return {name: value for name, value in self.spec.items() if value is not None or not over}


def suspend_all(
    cluster: Cluster, *, reason: str, now: datetime, end: datetime | None, yes: bool, dry_run: bool
) -> None:
    """Suspend all regions of the RegionSchedulers that a command is about. Raises PluginError."""
    chosen = []
    for scheduler in cluster.schedulers():
        if (stands := end_of(scheduler, now)) and stands >= (end or OPEN):
            warn(f"{_title(scheduler)}: {_told(scheduler)}; it stays so")
        else:
            chosen.append(scheduler)
    told = f" until {format_time(end)} ({ago(format_time(end), now)})" if end else " until they are resumed"
    _ask(f"Suspend all of them{told}?", chosen, yes=yes or dry_run)
    annotations = {
        PAUSED_BY_ANNOTATION: who_am_i(cluster.kubectl),
        PAUSED_REASON_ANNOTATION: reason,
        PAUSED_SINCE_ANNOTATION: format_time(now),
    }
    spec = {"suspendUntil": format_time(end)} if end else {"suspend": True}
    _change(cluster, chosen, _Change(spec=spec, annotations=annotations, suspended=True, now=now), dry_run=dry_run)


def resume_all(cluster: Cluster, *, now: datetime, yes: bool, dry_run: bool) -> None:
    """Let all regions tick again that are not paused by themselves. Raises PluginError."""
    chosen = []
    for scheduler in cluster.schedulers():
        if end_of(scheduler, now) is None and not _condition(scheduler, SUSPENDED):
            warn(f"{_title(scheduler)} is not suspended")
        else:
            click.echo(f"{_title(scheduler)}: {_told(scheduler)}", err=not (yes or dry_run))
            chosen.append(scheduler)
    _ask("Resume all of them?", chosen, yes=yes or dry_run)
    spec, annotations = {"suspend": False, "suspendUntil": None}, dict.fromkeys(ANNOTATIONS)
    _change(cluster, chosen, _Change(spec=spec, annotations=annotations, suspended=False, now=now), dry_run=dry_run)


def end_of(scheduler: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return when the suspension ends that the spec asks for: OPEN without an end.

    None: it asks for none, or its end cannot be read; then nobody may rely on it.
    """
    spec = scheduler.get("spec", {})
    if spec.get("suspend"):
        return OPEN
    try:
        end = read_time(spec.get("suspendUntil"))
    except ValueError:
        return None
    return end if end and end > now else None


def _is_past(text: str | None, now: datetime) -> bool:
    try:
        moment = read_time(text)
    except ValueError:
        return False
    return moment is not None and moment <= now


def _ask(question: str, schedulers: Sequence[Mapping[str, Any]], *, yes: bool) -> None:
    if yes or not schedulers:
        return
    for scheduler in schedulers:
        active = scheduler.get("status", {}).get("regions", {}).get("active", 0)
        warn(f"{_title(scheduler)}: {active:,} active regions")
    confirm(question)


def _change(cluster: Cluster, schedulers: Sequence[Mapping[str, Any]], change: _Change, *, dry_run: bool) -> None:
    """Change RegionSchedulers, each of them before any is waited for: one that is refused or ignored stops no other.

    Raises PluginError, which says what was done and what was not.
    """
    verb = "suspended" if change.suspended else "resumed"
    written, refused = [], []
    for scheduler in schedulers:
        try:
            written.append(_write(cluster, scheduler, change, dry_run=dry_run))
        except PluginError as error:
            if len(schedulers) == 1:
                raise
            refused.append(_title(scheduler))
            warn("\n".join(filter(None, (f"{_title(scheduler)}: {error.message}", error.remedy))))
    for scheduler in written * dry_run:
        click.echo(f"{_title(scheduler)} {verb} (server dry run)")
    late = [] if dry_run else _wait(cluster, written, suspended=change.suspended)
    followed = [title for title in map(_title, written) if title not in late]
    if refused or late:
        parts = {
            "not changed": refused,
            f"the spec is changed, and after {HEARD_SECONDS} s the operator has not followed": late,
            f"{len(followed)} of {len(schedulers)} were {verb}": followed,
        }
        raise PluginError(
            "; ".join(f"{words}: {', '.join(titles)}" for words, titles in parts.items() if titles),
            "see whether the operator runs: kubectl region doctor"
            if late
            else "mend what is said of each one; the same command does the rest",
        )


def _write(cluster: Cluster, shown: Mapping[str, Any], change: _Change, *, dry_run: bool) -> Mapping[str, Any]:
    """Change a RegionScheduler, and return it. Raises PluginError, also if its suspension is not the one `shown`.

    The operator's status changes the version too. So after a conflict the change is tried again, if only that changed.
    """
    where, flags = ("-n", shown["metadata"]["namespace"]), [f"--field-manager={FIELD_MANAGER}"]
    flags += ["--dry-run=server"] * dry_run
    found = shown
    for _ in range(ATTEMPTS):
        metadata = {"annotations": change.annotations, "resourceVersion": found["metadata"]["resourceVersion"]}
        patch = json.dumps({"metadata": metadata, "spec": change.spec_for(found)})
        what = ("patch", "regionscheduler", SCHEDULER, *where, "--type=merge", "-p", patch, *flags)
        try:
            changed: dict[str, Any] = cluster.kubectl.json(*what)
        except KubectlError as error:
            if error.reason != "Conflict":
                raise
        else:
            return changed
        found = cluster.kubectl.json("get", "regionscheduler", SCHEDULER, *where)
        if _asked(found) != _asked(shown):
            raise PluginError(
                "the suspension was changed meanwhile, and nothing is written",
                f"look again: kubectl region status {' '.join(where)}; then give the same command again",
            )
    raise PluginError(f"it has changed {ATTEMPTS} times meanwhile, and nothing is written", "give the command again")


def _asked(scheduler: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what the spec asks for, and who says so."""
    spec, annotations = scheduler.get("spec", {}), scheduler["metadata"].get("annotations", {})
    return bool(spec.get("suspend")), spec.get("suspendUntil"), *map(annotations.get, ANNOTATIONS)


def _wait(cluster: Cluster, changed: Sequence[Mapping[str, Any]], *, suspended: bool) -> list[str]:
    """Wait for the operators, and say how far each is and what it says at last. Return the names of those left."""
    waiting = {_title(scheduler): scheduler["metadata"]["generation"] for scheduler in changed}
    told: dict[str, str] = {}
    while waiting:
        progress = poll(lambda: _look(cluster, waiting, suspended=suspended), seconds=HEARD_SECONDS)
        news = {title: text for title, text in progress.items() if text not in (NOT_BEGUN, told.get(title))}
        if not news:
            break
        for title, text in news.items():
            warn(f"{title}: {printable(text)}")
        told |= news
    return list(waiting)


def _look(cluster: Cluster, waiting: dict[str, int], *, suspended: bool) -> dict[str, str]:
    """Take those whose operator has followed out of `waiting`, which has generations by name.

    Return how far the others are.
    """
    progress = dict.fromkeys(waiting, NOT_BEGUN)
    try:
        seen = [found for found in cluster.schedulers() if _title(found) in waiting]
    except PluginError as error:
        return dict.fromkeys(waiting, error.message)
    for found in seen:
        title, status = _title(found), found.get("status", {})
        heard = status.get("observedGeneration", -1) >= waiting[title]
        if heard and bool(_condition(found, SUSPENDED)) == suspended:
            told = _condition(found, SUSPENDED if suspended else "Ready").get("message", "")
            click.echo(printable(f"{title}: {told}"))
            del waiting[title], progress[title]
        else:
            progress[title] = _condition(found, "Reconciling").get("message") or NOT_BEGUN
    return progress


def _told(scheduler: Mapping[str, Any]) -> str:
    """Return what the operator says of a suspension; before it has looked, what the spec says."""
    told = _condition(scheduler, SUSPENDED).get("message")
    return printable(told or "the spec suspends all regions, and no operator has followed yet")


def _condition(scheduler: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    conditions = scheduler.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def _title(scheduler: Mapping[str, Any]) -> str:
    return printable(f"{scheduler['metadata']['namespace']}/{scheduler['metadata']['name']}")
