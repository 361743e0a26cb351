"""The conditions of a RegionScheduler and the reasons of Ready, as users see them. When which is true: `status`."""

from __future__ import annotations

from enum import StrEnum

from region_operator.plan.changes import Guarded


class ConditionType(StrEnum):
    """The conditions of a RegionScheduler."""

    READY = "Ready"
    """Always present. True: the last reconcile came to its end. The reasons of Ready are below."""
    RECONCILING = "Reconciling"
    """Present while a long plan is carried out, or something is left for the next reconcile. The reason is
    `Unfinished`."""
    STALLED = "Stalled"
    """Present while only an edit of the RegionScheduler helps. The reason is that of Ready."""
    HELD = "DeletionsHeld"
    """Present while the deletion guard holds deletions. The reason is `TooMany`; the message says how to approve."""
    QUARANTINES_HELD = "QuarantinesHeld"
    """Present while the deletion guard keeps regions with bad rows running. The reason is `TooMany`."""
    SLOWDOWNS_HELD = "SlowdownsHeld"
    """Present while the deletion guard keeps regions at schedules that tick more often. The reason is `TooMany`."""
    SPEEDUPS_HELD = "SpeedupsHeld"
    """Present while regions wait to tick far more often, because ticks would be lost. The reason is `TooMany`."""
    CREATIONS_HELD = "CreationsHeld"
    """Present while too many new regions wait for an approval. The reason is `TooMany`."""
    SUSPENDED = "Suspended"
    """Present while all regions are suspended, since lastTransitionTime. The reason is the field of the spec that
    suspends them, `Suspend` or `SuspendUntil`; the message says by whom, until when and why."""
    OVERCOMMITTED = "Overcommitted"
    """Present while ticks of the next 24 hours will be lost, by the forecast. The reason is `TicksLost`; the message
    names the worst minutes and says what would be enough."""
    DEAF = "EditsUnheard"
    """Present while edits of the table show at the refresh interval only. The reason is `NoNotifications`; the message
    says why, and what to do."""
    CLOCK_SKEW = "ClockSkew"
    """Present while database and API server are over 10 s apart (`ClocksDiffer`). The message says what follows."""


HELD = {
    Guarded.DELETION: ConditionType.HELD,
    Guarded.QUARANTINE: ConditionType.QUARANTINES_HELD,
    Guarded.SLOWDOWN: ConditionType.SLOWDOWNS_HELD,
    Guarded.SPEEDUP: ConditionType.SPEEDUPS_HELD,
    Guarded.CREATION: ConditionType.CREATIONS_HELD,
}
"""The condition of each kind of hold."""


class ReadyReason(StrEnum):
    """Why a RegionScheduler is ready or not ready."""

    IN_SYNC = "InSync"
    """Ready is True: every active row has its CronJob, and nothing else is to be said."""
    QUARANTINED = "RegionsQuarantined"
    """Ready is True: some rows cannot be scheduled, and all others are in sync."""
    QUOTA_TAKEN = "QuotaTaken"
    """Ready is True: another ResourceQuota has our name, so the number of ticks at once is not limited."""
    ALTERED = "CronJobsAltered"
    """Ready is True: an admission policy or webhook changes the CronJobs as they are written."""
    HELD = "DeletionsHeld"
    """Ready is True: the deletion guard holds deletions, and all else is in sync."""
    WAITING = "RegionsWaiting"
    """Ready is False: rows have the codes of regions whose deletion is held, and wait for the codes."""
    QUARANTINES_HELD = "QuarantinesHeld"
    """Ready is False: too many rows are bad, so their regions run on as they last were."""
    SLOWDOWNS_HELD = "SlowdownsHeld"
    """Ready is False: too many regions would tick far less often, so they keep their schedules."""
    SPEEDUPS_HELD = "SpeedupsHeld"
    """Ready is False: too many regions would tick far more often, and ticks would be lost."""
    CREATIONS_HELD = "CreationsHeld"
    """Ready is False: too many new regions wait for an approval."""
    TOO_MANY_REGIONS = "TooManyRegions"
    """Ready is False: regions are not created, because there would be more than spec.maxRegions."""
    SUSPENDED = "Suspended"
    """Ready is True: spec.suspend or spec.suspendUntil suspends all regions."""
    INVALID_SPEC = "InvalidSpec"
    """The spec cannot be followed, and only an edit of the RegionScheduler helps. If the API server refuses a CronJob
    with spec.tick, rows go on with the last good spec.tick."""
    DATABASE_NOT_CONFIGURED = "DatabaseNotConfigured"
    """There is no database URL, or the URL cannot be used."""
    DATABASE_UNAVAILABLE = "DatabaseUnavailable"
    """The database does not answer, or refuses connections."""
    SCHEMA_MISMATCH = "SchemaMismatch"
    """The operator's own schema is missing, of another release, or damaged."""
    SOURCE_UNREADABLE = "SourceUnreadable"
    """The region table cannot be read: it is missing, lacks a column, or refuses the right."""
    SOURCE_SLOW = "SourceSlow"
    """Reading the region table takes too long."""
    SOURCE_TAKEN = "SourceTaken"
    """Another installation owns the region table, or a part of what the spec wants. The message says who, since when,
    and how a person takes over."""
    APPLY_FAILED = "ApplyFailed"
    """The API server refused a change or did not answer."""
    FORBIDDEN = "Forbidden"
    """The operator lacks a right in Kubernetes. The message says which."""
    THROTTLED = "Throttled"
    """The API server has no time for the operator's requests."""
    OUTDATED_CRD = "OutdatedCustomResourceDefinition"
    """The CustomResourceDefinition is of an older release."""
    TIMED_OUT = "TimedOut"
    """The reconcile took longer than it may, and starts again."""
    INTERNAL = "InternalError"
    """An error of the operator itself. The log has the traceback."""


STALLED = frozenset({ReadyReason.INVALID_SPEC})
"""The problems that only an edit of the RegionScheduler can solve."""


NOT_FOLLOWED = frozenset(
    {
        ReadyReason.WAITING,
        ReadyReason.QUARANTINES_HELD,
        ReadyReason.SLOWDOWNS_HELD,
        ReadyReason.SPEEDUPS_HELD,
        ReadyReason.CREATIONS_HELD,
        ReadyReason.TOO_MANY_REGIONS,
        ReadyReason.INVALID_SPEC,
        ReadyReason.SOURCE_TAKEN,
    }
)
"""The reasons of a reconcile that came to its end, and left the cluster apart from the table or the spec."""
