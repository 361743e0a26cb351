"""The alerts, as values. Each has a page of the same name in docs/runbooks.

An alert tells of ticks that do not come, of what will keep them from coming, or of what waits for a person. None is
about a Job or a pod that failed: a retry may have succeeded since. No name begins with Kube, Job or CronJob, because
many routes send such alerts to those who run the cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from docs.monitoring.expressions import burns, condition, failed_lately, gone, greatest, share_of_ticks

_SUSPENDED_SINCE = 'region_operator_condition_since_timestamp_seconds{type="Suspended"}'
_STATUS = "kubectl get rsched -n {{ $labels.namespace }} -o wide shows it, kubectl describe says more."


class Severity(StrEnum):
    """How soon somebody must look."""

    CRITICAL = "critical"
    """Now: ticks do not come, or nobody would notice if they did not."""
    WARNING = "warning"
    """Today: some ticks do not come, or a person must decide."""
    INFO = "info"
    """When there is time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert. `lasts` is for how long `expr` must hold before the alert fires, "" for at once."""

    name: str
    severity: Severity
    expr: str
    lasts: str
    summary: str
    description: str


ALERTS = (
    Alert(
        name="RegionTickOperatorGone",
        severity=Severity.CRITICAL,
        expr=f"absent(last_over_time(region_operator_build_info[6d23h55m]))\nor ({gone('region_operator_build_info')})",
        lasts="5m",
        summary="No operator of Region tick can be scraped",
        description="CronJobs go on ticking as they are, but edits of the table show no more, and no tick is accounted"
        " for. Namespace: {{ $labels.namespace }}.",
    ),
    Alert(
        name="RegionTickNoLeader",
        severity=Severity.CRITICAL,
        expr=f"{greatest('region_operator_leader')} == 0",
        lasts="3m",
        summary="No operator leads in {{ $labels.namespace }}",
        description="Operators run, but none has the Lease. CronJobs go on ticking as they are; edits show no more.",
    ),
    Alert(
        name="RegionTickFreshnessBurnsFast",
        severity=Severity.CRITICAL,
        expr=f"({burns(14.4, '1h', '5m')})\nor ({burns(6, '6h', '30m')})",
        lasts="2m",
        summary="Many regions of {{ $labels.namespace }} have not succeeded for several ticks",
        description="{{ $value | humanizePercentage }} of the regions were later than spec.objective allows. At this"
        " pace the objective is missed within days.",
    ),
    Alert(
        name="RegionTickFreshnessBurnsSlowly",
        severity=Severity.WARNING,
        expr=f"({burns(3, '1d', '2h')})\nor ({burns(1, '3d', '6h')})",
        lasts="15m",
        summary="Some regions of {{ $labels.namespace }} keep missing spec.objective",
        description="{{ $value | humanizePercentage }} of the regions were later than spec.objective allows, for"
        " hours.",
    ),
    Alert(
        name="RegionTickMissed",
        severity=Severity.WARNING,
        expr=share_of_ticks("missed"),
        lasts="5m",
        summary="Ticks of {{ $labels.namespace }} are missed: {{ $labels.reason }}",
        description='{{ $value | printf "%.1f" }} % of the ticks of the last half hour were missed with the reason'
        ' "{{ $labels.reason }}".',
    ),
    Alert(
        name="RegionTickFailing",
        severity=Severity.WARNING,
        expr=share_of_ticks("failed"),
        lasts="5m",
        summary="Ticks of {{ $labels.namespace }} fail: {{ $labels.reason }}",
        description='{{ $value | printf "%.1f" }} % of the ticks of the last half hour failed with the reason'
        ' "{{ $labels.reason }}". region_tick.job_run has the error of each.',
    ),
    Alert(
        name="RegionTickDatabaseAway",
        severity=Severity.CRITICAL,
        expr=condition('type="Ready"', 'reason=~"DatabaseUnavailable|DatabaseNotConfigured"'),
        lasts="5m",
        summary="The operator of {{ $labels.namespace }} cannot reach the database: {{ $labels.reason }}",
        description=f"Nothing is deleted meanwhile; ticks that cannot reach the database do no work. {_STATUS}",
    ),
    Alert(
        name="RegionTickApiServerAway",
        severity=Severity.CRITICAL,
        expr=failed_lately(
            "region_operator_reconciles_total",
            'reason="ApiUnavailable"',
            'reason=~"Succeeded|Unfinished|SourceTaken"',
            "15m",
        ),
        lasts="5m",
        summary="The API server is partly away for the operator of {{ $labels.namespace }}",
        description="No reconcile of the last 15 minutes got its answers, while the operator keeps its Lease."
        " Edits of the table do not show. An API server that is wholly away leaves no leader: RegionTickNoLeader.",
    ),
    Alert(
        name="RegionTickForbidden",
        severity=Severity.WARNING,
        expr='sum by (namespace, method, code) (increase(region_operator_api_requests_total{code=~"401|403"}[15m]))'
        " > 0\n"
        f"""or {condition('reason="Forbidden"')}""",
        lasts="5m",
        summary="The API server refuses requests of the operator of {{ $labels.namespace }}",
        description="{{ $labels.method }} {{ $labels.code }} {{ $labels.reason }}: the operator lacks a right, or a"
        f" webhook or policy refuses what it writes. {_STATUS}",
    ),
    Alert(
        name="RegionTickSpecRefused",
        severity=Severity.WARNING,
        expr=condition('type="Stalled"'),
        lasts="5m",
        summary="The RegionScheduler of {{ $labels.namespace }} cannot be followed: {{ $labels.reason }}",
        description=f"Only an edit of the RegionScheduler helps; rows go on with the last good spec.tick. {_STATUS}",
    ),
    Alert(
        name="RegionTickNotReady",
        severity=Severity.WARNING,
        expr=condition(
            'type="Ready"',
            'status="False"',
            'reason!~"Database.*|SourceTaken|InvalidSpec|Forbidden|.*Held"',
        ),
        lasts="15m",
        summary="The cluster does not follow the table in {{ $labels.namespace }}: {{ $labels.reason }}",
        description=f"The condition Ready is False. {_STATUS}",
    ),
    Alert(
        name="RegionTickSourceTaken",
        severity=Severity.WARNING,
        expr=condition('type="Ready"', 'reason="SourceTaken"'),
        lasts="15m",
        summary="Another installation owns the table of {{ $labels.namespace }}",
        description=f"Nothing ticks from here that the other one owns. {_STATUS}",
    ),
    Alert(
        name="RegionTickHeld",
        severity=Severity.WARNING,
        expr=f"{greatest('region_operator_held_changes', 'kind')} > 0",
        lasts="10m",
        summary="Changes wait for an approval in {{ $labels.namespace }}: {{ $labels.kind }}",
        description="{{ $value }} changes of the kind {{ $labels.kind }} are held by a guard, until the rows are as"
        f" before or a person approves. {_STATUS}",
    ),
    Alert(
        name="RegionTickQuarantined",
        severity=Severity.WARNING,
        expr=greatest('region_operator_regions{state="quarantined"}') + " > 0",
        lasts="15m",
        summary="Rows of {{ $labels.namespace }} cannot be scheduled",
        description="{{ $value }} rows are quarantined. Their regions stand still, or with invalidSchedule KeepLast, or"
        f" while a guard holds the quarantine, tick on as they last did. {_STATUS}",
    ),
    Alert(
        name="RegionTickOvercommitted",
        severity=Severity.WARNING,
        expr=condition('type="Overcommitted"'),
        lasts="30m",
        summary="Ticks of the next 24 hours do not fit in {{ $labels.namespace }}",
        description=f"By the forecast, ticks will be lost. The condition Overcommitted says what would do. {_STATUS}",
    ),
    Alert(
        name="RegionTickLedgerStands",
        severity=Severity.WARNING,
        expr=f"time() - {greatest('region_operator_ledger_looked_until_timestamp_seconds')} > 900\n"
        f"""and {greatest('region_operator_regions{state="active"}')} > 0""",
        lasts="10m",
        summary="The ledger of {{ $labels.namespace }} does not move",
        description="No tick was accounted for during {{ $value | humanizeDuration }}. Ticks go on, but what is missed"
        " shows nowhere, not even in the other alerts.",
    ),
    Alert(
        name="RegionTickLedgerFails",
        severity=Severity.WARNING,
        expr="sum by (namespace) (increase(region_operator_ledger_failures_total[10m])) > 0\n"
        f"or ({greatest('region_operator_leader')} == 1\n"
        f"""and {greatest('region_operator_regions{state="active"}')} > 0\n"""
        f"unless {greatest('region_operator_objective_ratio')})",
        lasts="30m",
        summary="The ledger of {{ $labels.namespace }} fails again and again",
        description="What the metrics say of late regions and of ended ticks stands still, so the alerts about them"
        " stay silent.",
    ),
    Alert(
        name="RegionTickEditsUnheard",
        severity=Severity.WARNING,
        expr=condition('type="EditsUnheard"'),
        lasts="15m",
        summary="Edits of the table of {{ $labels.namespace }} show late",
        description=f"Nothing tells the operator of edits, so they show at spec.refreshInterval. {_STATUS}",
    ),
    Alert(
        name="RegionTickClockSkew",
        severity=Severity.WARNING,
        expr=condition('type="ClockSkew"'),
        lasts="15m",
        summary="Database and API server of {{ $labels.namespace }} disagree about the time",
        description=f"Ticks may be refused as late, or counted wrongly. {_STATUS}",
    ),
    Alert(
        name="RegionTickQueueStuck",
        severity=Severity.WARNING,
        expr=f"{greatest('region_worker_oldest_due_task_seconds')} > 900",
        lasts="5m",
        summary="Tasks of the queue of {{ $labels.namespace }} wait for {{ $value | humanizeDuration }}",
        description="Workers are too few, too slow, or stuck.",
    ),
    Alert(
        name="RegionTickWorkersGone",
        severity=Severity.WARNING,
        expr=gone("region_worker_queue_tasks"),
        lasts="5m",
        summary="No worker of {{ $labels.namespace }} can be scraped",
        description="There were workers within the last week. Tasks of the queue are not done.",
    ),
    Alert(
        name="RegionTickHeartbeatFails",
        severity=Severity.INFO,
        expr=failed_lately("region_operator_heartbeats_total", 'result="failed"', 'result="sent"', "2h"),
        lasts="",
        summary="The heartbeat of {{ $labels.namespace }} does not get out",
        description="Whoever waits for it outside will report that all is gone. The operator's log says why.",
    ),
    Alert(
        name="RegionTickForgottenPause",
        severity=Severity.INFO,
        expr=f"{greatest('region_operator_oldest_pause_seconds')} > 86400",
        lasts="",
        summary="A region of {{ $labels.namespace }} has been paused for {{ $value | humanizeDuration }}",
        description="Somebody set the annotation region-tick.dev/paused and may have forgotten it.",
    ),
    Alert(
        name="RegionTickSuspended",
        severity=Severity.INFO,
        expr=f"time() - {greatest(_SUSPENDED_SINCE)} > 86400",
        lasts="",
        summary="All regions of {{ $labels.namespace }} have been suspended for {{ $value | humanizeDuration }}",
        description=f"Somebody set spec.suspend or spec.suspendUntil, and may have forgotten it. {_STATUS}",
    ),
)
