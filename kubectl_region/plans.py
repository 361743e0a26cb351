"""The commands `diff` and `approve`: what the operator would change, and what its guards hold back."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from kubectl_region.cluster import APPROVAL_ANNOTATION, FIELD_MANAGER, SCHEDULER
from kubectl_region.commands import is_unwritten
from kubectl_region.console import ask_each
from kubectl_region.errors import PluginError
from kubectl_region.holds import Hold, holds_of
from kubectl_region.kubectl import KubectlError
from kubectl_region.moments import age_of
from kubectl_region.options import output_option, with_cluster
from kubectl_region.output import gather, print_data, printable, printable_data, table, warn
from kubectl_region.questions import confirm
from kubectl_region.waiting import HEARD_SECONDS, poll

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from kubectl_region.cluster import Cluster

SAME, DIFFERENT, ERROR = 0, 1, 2
"""The exit codes of `diff`, which are those of kubectl diff."""
FRESH_SECONDS = 5
"""Up to which age a plan is shown as what would happen now."""
ATTEMPTS = 3
"""How often to write an approval if somebody changes the RegionScheduler in between."""


class DiffCommand(click.Command):
    """Ends with ERROR wherever other commands end with 1: that code says that something differs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Whatever keeps it from its answer is an error, also what nobody has thought of."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.show()
        except BrokenPipeError:
            sys.stdout = sys.stderr  # else Python tries once more at its end, and has an exit code of its own for that
        except Exception as error:  # a traceback ends with 1 too
            if is_unwritten(error):
                raise
            import traceback

            traceback.print_exc()
        sys.exit(ERROR)


@click.command(cls=DiffCommand)
@output_option()
@with_cluster
def diff(cluster: Cluster, output: str | None) -> None:
    """Say what the operator would change now, and change nothing.

    Exit code 0: nothing; 1: something, held changes included; more than 1: it cannot be told.
    """
    answers = ask_each(cluster, lambda console: console.get("plan"))
    if output:
        print_data(gather(answers, everywhere=cluster.everywhere), output)
    else:
        for namespace, answer in printable_data(answers).items():
            if cluster.everywhere:
                click.echo(f"{namespace}:")
            click.echo("\n".join(plan_text(answer["plan"])))
            if age := age_of(answer, fresh_seconds=FRESH_SECONDS):
                click.echo(age)
    if not cluster.is_whole:
        sys.exit(ERROR)
    plans = [answer["plan"] for answer in answers.values()]
    sys.exit(DIFFERENT if any(plan["changes"] or plan["quota"] is not None for plan in plans) else SAME)


def plan_text(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a plan: the changes, the notes and the counts."""
    changes = plan["changes"]
    rows = [[line["action"], line["code"] or line["regionId"], line["schedule"], line["reason"]] for line in changes]
    if plan["quota"] is not None:
        rows.append(["quota", "", "", f"at most {plan['quota']} ticks at once"])
    changed = {line["regionId"] for line in changes}
    rows += [
        ["quarantined", row["code"] or row["regionId"], "", row["reason"]]
        for row in plan["quarantined"]
        if row["regionId"] not in changed
    ]
    if rows:
        yield table(["ACTION", "CODE", "SCHEDULE", "WHY"], rows)
    yield from plan["notes"]
    counts = [f"{count} to {action}" for action, count in Counter(line["action"] for line in changes).items()]
    yield ", ".join([*counts, f"{plan['unchanged']} unchanged", f"{len(plan['quarantined'])} quarantined"])


@click.command()
@click.argument("kind", required=False)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be approved, and approve nothing.")
@with_cluster
def approve(cluster: Cluster, kind: str | None, yes: bool, dry_run: bool) -> None:
    """Approve what a guard holds.

    KIND is deletion, quarantine, slowdown, speedup or creation; without it, all that is held. An approval is of exactly
    the regions that are shown: what comes later is held anew, and nothing is approved if others are held before you
    have answered. Of a hold that has shrunk meanwhile, the rest is approved.
    """
    held = [(scheduler, hold) for scheduler in cluster.schedulers() for hold in holds_of(scheduler)]
    asked = [(scheduler, hold) for scheduler, hold in held if kind in (None, hold.kind)]
    if not asked:
        others = ", ".join(sorted({hold.kind for _, hold in held}))
        raise PluginError(f"no {kind or 'change'} is held" + (f"; held are: {others}" if others else ""))
    codes = {cronjob.key: cronjob.code for cronjob in cluster.cronjobs()}
    is_asked = not (yes or dry_run)
    for scheduler, hold in asked:
        click.echo("\n".join(hold_text(scheduler["metadata"]["namespace"], hold, codes)), err=is_asked)
    if dry_run:
        return
    if is_asked:
        confirm(f"Approve {'these' if len(asked) > 1 else 'this'}?")
    for namespace in dict.fromkeys(scheduler["metadata"]["namespace"] for scheduler, _ in asked):
        _approve(cluster, namespace, [hold for one, hold in asked if one["metadata"]["namespace"] == namespace])


def hold_text(namespace: str, hold: Hold, codes: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that say what a hold holds. `codes` are the codes of region keys."""
    yield f"{namespace}: {len(hold.regions)} {hold.kind}s held since {hold.since}, approval {hold.approval}"
    known = sorted(codes[key] for key in hold.regions if key in codes)
    if known:
        yield printable(f"  {', '.join(known)}")
    if new := len(hold.regions) - len(known):
        yield f"  {new} regions without a CronJob: kubectl region diff -n {namespace} names them"
    if hold.text:
        yield printable(f"  {hold.text}")


def _approve(cluster: Cluster, namespace: str, shown: Sequence[Hold]) -> None:
    """Write the approvals of the holds that were shown, and wait until the operator has heard them.

    Raises PluginError if other changes are held than were shown.
    """
    _write(cluster, namespace, shown)
    kinds = {hold.kind for hold in shown}
    still = poll(lambda: _held(cluster, namespace, kinds), seconds=HEARD_SECONDS)
    for hold in shown:
        if still.get(hold.kind) == hold.approval:
            warn(f"{namespace}: the {hold.kind}s are approved, and the operator has not taken that up yet")
        elif hold.kind not in still:
            click.echo(f"{namespace}: the {hold.kind}s are approved")
    if changed := [hold.kind for hold in shown if still.get(hold.kind, hold.approval) != hold.approval]:
        raise _changed(namespace, changed, "others are held now than those that you approved")
    if still:
        raise PluginError(
            f"{namespace}: still held after {HEARD_SECONDS} s", "see whether the operator runs: kubectl region doctor"
        )


def _write(cluster: Cluster, namespace: str, shown: Sequence[Hold]) -> None:
    """Write the approvals of holds, if all of them stand and hold no more than was shown. Raises PluginError."""
    for left in reversed(range(ATTEMPTS)):
        scheduler = _scheduler(cluster, namespace)
        standing = {hold.approval: set(hold.regions) for hold in holds_of(scheduler)}
        same = {hold.kind for hold in shown if (now := standing.get(hold.approval)) and now.issubset(hold.regions)}
        if changed := [hold.kind for hold in shown if hold.kind not in same]:
            raise _changed(namespace, changed, "nothing was approved there")
        value = approvals_with(scheduler, [hold.approval for hold in shown])
        version = f"--resource-version={scheduler['metadata']['resourceVersion']}"
        words = (f"{APPROVAL_ANNOTATION}={value}", "--overwrite", version, f"--field-manager={FIELD_MANAGER}")
        try:
            cluster.kubectl("annotate", "regionscheduler", SCHEDULER, "-n", namespace, *words)
            return
        except KubectlError as error:
            if error.reason != "Conflict" or not left:
                raise


def _changed(namespace: str, kinds: Sequence[str], what: str) -> PluginError:
    """Return the error that says that a hold is not the one that was shown."""
    text = f"{namespace}: the hold of {', '.join(f'{kind}s' for kind in kinds)} has changed: {what}"
    return PluginError(text, f"look again: kubectl region approve --dry-run -n {namespace}")


def approvals_with(scheduler: Mapping[str, Any], approvals: Sequence[str]) -> str:
    """Return the annotation's new value: the approvals, and those that it has of holds that stand."""
    standing = {hold.approval for hold in holds_of(scheduler)}
    before = scheduler["metadata"].get("annotations", {}).get(APPROVAL_ANNOTATION, "").split(",")
    kept = [approval for approval in map(str.strip, before) if approval in standing]
    return ",".join(dict.fromkeys([*kept, *approvals]))


def _held(cluster: Cluster, namespace: str, kinds: Collection[str]) -> dict[str, str]:
    """Return the approvals of what is held now, by kind, of these kinds."""
    return {hold.kind: hold.approval for hold in holds_of(_scheduler(cluster, namespace)) if hold.kind in kinds}


def _scheduler(cluster: Cluster, namespace: str) -> dict[str, Any]:
    scheduler: dict[str, Any] = cluster.kubectl.json("get", "regionscheduler", SCHEDULER, "-n", namespace)
    return scheduler
