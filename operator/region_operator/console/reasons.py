"""What each reason of a tick means, what a person does about it, and what a CronJob's suspension is called. Pure.

This is the one place that has these texts.
"""

from __future__ import annotations

from dataclasses import dataclass

from region_operator.cronjobs.labels import SuspendedBy
from region_tick.contract import Reason


@dataclass(frozen=True, slots=True)
class Explanation:
    """`meaning` is the text of `contract.Reason`. `remedy` is None where nothing is to be done."""

    meaning: str
    remedy: str | None


REASONS = {
    Reason.OK: Explanation("The handler came to its end and gave no other reason.", None),
    Reason.LATE: Explanation(
        "The tick's first claim came after its start deadline.",
        "See why pods start late: `kubectl region forecast` says whether the ticks fit (spec.concurrency, or H in the"
        " schedules); a slow image pull shows in the pod's Events; spec.tick.startDeadline lets ticks start later."
        " After an outage of the database a retry is late too, and its row says for how long the pod waited:"
        " `kubectl region backfill CODE --from 2h --state missed,failed,skipped` runs again what an outage cost.",
    ),
    Reason.ERROR: Explanation(
        "The handler raised an error.",
        "Read the error and the pod's log. Once the cause is mended, run the tick again if its work is missed.",
    ),
    Reason.TIMEOUT: Explanation(
        "The attempt took longer than it may.",
        "Give the region more time (spec.tick.timeout, or the row's own timeout), or less to do at once"
        " (spec.tick.maxWindow).",
    ),
    Reason.TERMINATED: Explanation(
        "The pod was told to stop.",
        "A drained node or a deleted pod: the pod's Events say which. The Job tries again as often as"
        " spec.tick.retries says.",
    ),
    Reason.LEASE_LOST: Explanation(
        "The attempt could not renew its lease in time.",
        "See whether the pod could reach the database all the time, and whether it got its CPU"
        " (spec.tick.resources.requests).",
    ),
    Reason.STILL_RUNNING: Explanation(
        "The region's previous tick still ran, and concurrencyPolicy is Forbid.",
        "See what became of the tick before it, and why that took so long; if that is usual, write a rarer schedule.",
    ),
    Reason.CAPACITY: Explanation(
        "The quota had no room for the tick's pod.",
        "See whether the ticks fit: `kubectl region forecast` says what would be enough, a larger spec.concurrency, or"
        " H in the schedules, which spreads the minutes. If they fit, other ticks held their slots for too long: the"
        " ledger of that minute shows which ones took long or failed.",
    ),
    Reason.CHANGED: Explanation(
        "The schedule ended (edited, deactivated) before the controller created the tick's Job.",
        "Nothing: the next tick follows the new schedule.",
    ),
    Reason.SUSPENDED: Explanation(
        "The region was suspended: with all regions, or by the pause annotation, a quarantine or by hand.",
        "If the region is to tick, end what suspends it: `kubectl region resume --all` a suspension of all, `kubectl"
        " region resume` a pause, a mended row a quarantine. The region's page says which it is now, and since when.",
    ),
    Reason.NOT_CREATED: Explanation(
        "The CronJob controller did not create the tick's Job in time.",
        "See that kube-controller-manager runs and keeps up: docs/scale.md says how many Jobs it starts a second. The"
        " CronJob's Events say what it could not do.",
    ),
    Reason.UNOBSERVED: Explanation(
        "The tick has no Job, and no operator was watching when the Job was due.",
        "See when operator and cluster were away: restarts of the operator's pods, its Lease, the nodes.",
    ),
    Reason.DELETED: Explanation(
        "The tick's Job was deleted before the Job ended.",
        "The API server's audit log says who deleted the Job. Run the tick again if its work is missed.",
    ),
    Reason.REFUSED: Explanation(
        "An admission check other than the quota refused the tick's pod.",
        "The Event says which check: mend spec.tick, or let the policy allow the ticks' pods.",
    ),
    Reason.NO_NODE: Explanation(
        "No node had room for the tick's pod, or no node matched the pod.",
        "Add nodes, or ask for less: spec.tick.resources.requests, nodeSelector, affinity, tolerations.",
    ),
    Reason.NODE_LOST: Explanation(
        "The pod's node was lost or drained, or the pod was evicted or preempted.",
        "Nothing for this tick. Where nodes come and go, give ticks more spec.tick.retries.",
    ),
    Reason.IMAGE: Explanation(
        "The tick image could not be pulled.",
        "See that the image exists and may be pulled: spec.tick.image, spec.tick.imagePullSecrets, the registry.",
    ),
    Reason.NOT_STARTED: Explanation(
        "The tick's pod did not start.",
        "The pod's Events say why: a missing Secret or ConfigMap, a volume, or a node without time.",
    ),
    Reason.OUT_OF_MEMORY: Explanation(
        "The tick's pod used more memory than its limit.",
        "Raise spec.tick.resources.limits.memory, or give the handler less to do at once (spec.tick.maxWindow).",
    ),
    Reason.DATABASE: Explanation(
        "The tick's pod ran and could not write its row in time.",
        "See that the ticks' pods reach the database: the Secret, NetworkPolicies, the number of connections that"
        " Postgres allows. Once they do, `kubectl region backfill CODE --from 2h --state missed,failed,skipped` runs"
        " again what an outage cost, also ticks that were skipped behind those that waited.",
    ),
    Reason.POD_FAILED: Explanation("The tick's pod failed.", "Read the pod's log and its exit code (docs/reference)."),
    Reason.NOT_RECORDED: Explanation(
        "The tick's Job succeeded and left no row: the pod used another image or another database.",
        "See that spec.tick.image is a tick image of this release, and that spec.tick.databaseSecret names the database"
        " of the operator.",
    ),
    Reason.LOST: Explanation(
        "The attempt's lease expired, the Job does not try again, and nothing tells why.",
        "See the Events of the node and of the pod at that time. Run the tick again if its work is missed.",
    ),
}
_MADE_UP = Explanation("The handler gave this reason itself.", None)


def explain_reason(reason: str | None) -> Explanation:
    """Return what a row's reason means; of one that a handler made up, that it did."""
    return REASONS[Reason(reason)] if reason in tuple(Reason) else _MADE_UP


def say_suspended_by(stored: str | None) -> str | None:
    """Put into words what suspended a CronJob. `stored` is a text of `ledger.suspended_by`."""
    return "with all regions, by spec.suspend or spec.suspendUntil" if stored == SuspendedBy.SPEC else stored
