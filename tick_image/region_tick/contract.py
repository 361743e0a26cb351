"""What the operator and the tick agree on: names, codes and the shape of a tick's identity.

The operator writes these into CronJobs, the tick reads them in its pod; they never talk otherwise. Standard library
only, because the tick pays for every import at each start.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

VERSION = "0.1.0"
"""The version of the whole release: package, images and manifests."""

SCHEMA = "region_tick"
"""The Postgres schema that holds our own tables."""

DATABASE_SECRET = "region-tick-database"  # noqa: S105 - the Secret's name, not a secret
"""The Secret, in the operator's namespace, whose key DATABASE_URL holds the database's URL."""

CHANGES_CHANNEL = "region_tick_changes"
"""NOTIFY channel of a changed region table; the payload is the table's qualified name, e.g. `public.region_index`."""

RUNS_CHANNEL = "region_tick_runs"
"""NOTIFY channel of a tick that ended; the payload is its Job's name."""

LATENESS_TOLERANCE_SECONDS = 15
"""How much longer than the CronJob's startingDeadlineSeconds a tick may take to its first claim: pods start slowly."""

TERMINATION_GRACE_SECONDS = 15
"""The terminationGracePeriodSeconds of a tick's pod: in it the handler ends and the row is written."""


class Variable(StrEnum):
    """The environment variables of a tick's pod."""

    DATABASE_URL = "DATABASE_URL"
    CRONJOB_NAME = "CRONJOB_NAME"
    JOB_NAME = "JOB_NAME"
    JOB_UID = "JOB_UID"
    POD_NAME = "POD_NAME"
    NODE_NAME = "NODE_NAME"
    SOURCE = "TICK_SOURCE"
    HANDLER = "TICK_HANDLER"
    TIMEOUT_SECONDS = "TICK_TIMEOUT_SECONDS"
    START_DEADLINE_SECONDS = "TICK_START_DEADLINE_SECONDS"
    REGION_ID = "REGION_ID"
    REGION_CODE = "REGION_CODE"
    REGION_NAME = "REGION_NAME"
    REGION_BBOX = "REGION_BBOX"
    REGION_CRON = "REGION_CRON"


class ExitCode(IntEnum):
    """How a tick ends, in the words of sysexits.h. What is not listed is retried up to the Job's backoffLimit."""

    FINAL = 0
    USAGE = 64
    DATA = 65
    SOFTWARE = 70
    AGAIN = 75
    NOT_PERMITTED = 77
    CONFIGURATION = 78


PERMANENT = (ExitCode.USAGE, ExitCode.DATA, ExitCode.SOFTWARE, ExitCode.NOT_PERMITTED, ExitCode.CONFIGURATION)
"""Exit codes that a retry cannot mend: the Job's podFailurePolicy ends the Job at once."""


class State(StrEnum):
    """The state of a job_run row."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSED = "missed"

    @property
    def final(self) -> bool:
        """Whether a tick in this state never runs again."""
        return self not in (State.RUNNING, State.INTERRUPTED)


class Reason(StrEnum):
    """Why a job_run row is in its state; a handler may give a success a reason of its own."""

    OK = "ok"
    LATE = "late"
    ERROR = "error"
    TIMEOUT = "timeout"
    TERMINATED = "terminated"
    LEASE_LOST = "lease lost"

    # From here on the operator's, about ticks that cannot tell any more.
    STILL_RUNNING = "still running"
    """The region's tick before was, and concurrencyPolicy is Forbid."""
    CAPACITY = "capacity"
    """The quota had no room for its pod."""
    CHANGED = "schedule changed"
    """The schedule ended (edited, deactivated) before the tick's Job was made."""
    SUSPENDED = "suspended"
    """The region was: by spec.suspend, the pause annotation, a quarantine or by hand."""
    NOT_CREATED = "not created"
    """The CronJob controller did not make its Job in time."""
    UNOBSERVED = "operator or cluster away"
    """It has no Job, and nobody was looking when it should have had one."""
    DELETED = "job deleted"
    REFUSED = "pod refused"
    """By an admission check other than the quota."""
    NO_NODE = "no node"
    """No node had room for its pod, or matched it."""
    NODE_LOST = "node lost"
    """Or drained, or its pod was evicted or preempted."""
    IMAGE = "image"
    """It could not be pulled."""
    NOT_STARTED = "pod not started"
    OUT_OF_MEMORY = "out of memory"
    DATABASE = "database away"
    """Its pod ran and could not write its row."""
    POD_FAILED = "pod failed"
    NOT_RECORDED = "not recorded"
    """Its Job succeeded and left no row: another image, or another database."""
    LOST = "lost"
    """It ended without a word."""


def job_name(cronjob: str, tick_at: datetime) -> str:
    """Return the name that the CronJob controller gives the Job of `tick_at` (utils.go, getTimeHashInMinutes).

    Raises ValueError for a naive `tick_at`: its minute would depend on the machine's zone.
    """
    if tick_at.tzinfo is None:
        raise ValueError(f"tick_at {tick_at.isoformat()} has no time zone: give it one, e.g. UTC")
    return f"{cronjob}-{int(tick_at.timestamp()) // 60}"


def tick_at_of(job: str, *, cronjob: str) -> datetime | None:
    """Read `tick_at` (UTC) from a Job's name, `<cronjob>-<minutes since 1970>`; None for any other: a manual run."""
    match = re.fullmatch(re.escape(cronjob) + r"-([1-9][0-9]{0,7})", job, re.ASCII)
    return datetime.fromtimestamp(int(match[1]) * 60, UTC) if match else None
