"""The contract between operator and tick: names, exit codes, states, and how a Job's name says which tick it is.

The operator writes these values into CronJobs, and the tick reads the values in its pod. Operator and tick have no
other way to talk, except by the database. This module imports the standard library only, because every tick pays for
every import.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

VERSION = "0.1.0"
"""The version of the whole release: of the package, the images and the manifests."""

SCHEMA = "region_tick"
"""The Postgres schema with the project's own tables."""
MADE_FOR_TESTS = "made by region_tick.testing: no migration can go on from these tables"
"""The comment on a schema that tests of handlers made."""

DATABASE_SECRET = "region-tick-database"  # noqa: S105 - the Secret's name, not a secret
"""The Secret in the operator's namespace that holds the database's URL under the key DATABASE_URL. Ticks read the same
Secret, unless spec.tick.databaseSecret names another one."""

CHANGES_CHANNEL = "region_tick_changes"
"""NOTIFY channel for changes of a region table. The payload is the table's qualified name, `public.region_index`."""

LATENESS_TOLERANCE_SECONDS = 15
"""How long after the CronJob's startingDeadlineSeconds a tick's first claim is still in time: a pod starts slowly."""

TICK_AT_LABEL = "region-tick.dev/tick-at"
"""On the Job and the pod of a rerun: the time of the tick that is run again, e.g. `20261130T0105Z`."""
RERUN_BY_ANNOTATION = "region-tick.dev/rerun-by"
"""On the Job of a rerun: who asked for the rerun, in their own words."""

TERMINATION_GRACE_SECONDS = 15
"""The terminationGracePeriodSeconds of a tick's pod: the time for the handler to end and for the row to be written."""


class Variable(StrEnum):
    """The environment variables of a tick's pod."""

    DATABASE_URL = "DATABASE_URL"
    """The database's URL, from the Secret that `spec.tick.databaseSecret` names."""
    CRONJOB_NAME = "CRONJOB_NAME"
    """The CronJob's name. A Job of another name is a manual run."""
    JOB_NAME = "JOB_NAME"
    """The Job's name. Its end tells the tick's scheduled minute."""
    JOB_UID = "JOB_UID"
    """The Job's uid, the identity of a manual run."""
    POD_NAME = "POD_NAME"
    """The pod's name, for job_run and the log."""
    NODE_NAME = "NODE_NAME"
    """The node's name, for job_run."""
    SOURCE = "TICK_SOURCE"
    """The region table's qualified name, e.g. `public.region_index`."""
    INSTALLATION = "TICK_INSTALLATION"
    """The installation that made the CronJob. A tick is refused if another installation owns the region."""
    HANDLER = "TICK_HANDLER"
    """The handler: a built-in name, a registered name, or `module:function`."""
    TIMEOUT_SECONDS = "TICK_TIMEOUT_SECONDS"
    """How long one attempt may take, in whole seconds."""
    START_DEADLINE_SECONDS = "TICK_START_DEADLINE_SECONDS"
    """How late the tick may start, in whole seconds after the scheduled minute."""
    MAX_WINDOW_SECONDS = "TICK_MAX_WINDOW_SECONDS"
    """How much time a tick's window may cover, in whole seconds. Empty: any time."""
    FAILED_LOG_LINES = "TICK_FAILED_LOG_LINES"
    """How many of its last log lines a failed attempt leaves in job_run. Empty: none."""
    REGION_ID = "REGION_ID"
    """The region's id."""
    REGION_CODE = "REGION_CODE"
    """The region's code."""
    REGION_NAME = "REGION_NAME"
    """The region's name."""
    REGION_BBOX = "REGION_BBOX"
    """The bounding box as min_lon,min_lat,max_lon,max_lat. Empty: the region has none."""
    REGION_CRON = "REGION_CRON"
    """The cron expression that the tick belongs to, as the region's row has it."""
    REGION_PARAMS = "REGION_PARAMS"
    """The region's parameters, a JSON object. Empty: the region has none."""
    RERUN_OF = "TICK_RERUN_OF"
    """The time of the tick that this Job runs again, e.g. `2026-11-30T01:05:00Z`. Only a rerun's Job has it."""
    RERUN_BY = "TICK_RERUN_BY"
    """Who asked for the rerun, in their own words: nobody checks it. Only a rerun's Job has it."""


OF_RERUNS = (Variable.RERUN_OF, Variable.RERUN_BY)
"""The variables that no CronJob has: whoever makes the Job of a rerun adds them."""


class ExitCode(IntEnum):
    """The exit codes of a tick, after sysexits.h. Kubernetes retries any other code, up to the Job's backoffLimit."""

    FINAL = 0
    """The tick has its final row, and never runs again."""
    USAGE = 64
    """The command was called in a wrong way."""
    DATA = 65
    """The handler said that another attempt would fail too."""
    SOFTWARE = 70
    """The handler has an error that another attempt would meet too."""
    AGAIN = 75
    """The attempt ended without a success, and another attempt may succeed."""
    NOT_PERMITTED = 77
    """The database refused a right that the tick needs, or the region belongs to another installation."""
    CONFIGURATION = 78
    """A variable or the handler's name cannot be used, or there is no such tick to run again. The log says which."""


PERMANENT = (ExitCode.USAGE, ExitCode.DATA, ExitCode.SOFTWARE, ExitCode.NOT_PERMITTED, ExitCode.CONFIGURATION)
"""Exit codes of errors that a retry cannot repair: the Job's podFailurePolicy fails the Job at once."""


class State(StrEnum):
    """The state of a job_run row."""

    RUNNING = "running"
    """An attempt has claimed the tick and holds the lease."""
    INTERRUPTED = "interrupted"
    """An attempt was stopped or failed, and another attempt may follow."""
    SUCCEEDED = "succeeded"
    """The handler came to its end."""
    FAILED = "failed"
    """The handler failed for good, or no attempt follows one that did not succeed."""
    SKIPPED = "skipped"
    """The tick was refused on purpose."""
    MISSED = "missed"
    """The tick should have run, and did not."""

    @property
    def final(self) -> bool:
        """Whether a tick in this state never runs again by itself. A person may run it again, unless it succeeded."""
        return self not in (State.RUNNING, State.INTERRUPTED)


class Reason(StrEnum):
    """Why a job_run row is in its state. A handler may give a success a reason that is not listed here."""

    OK = "ok"
    """The handler came to its end and gave no other reason."""
    LATE = "late"
    """The tick's first claim came after its start deadline."""
    ERROR = "error"
    """The handler raised an error."""
    TIMEOUT = "timeout"
    """The attempt took longer than it may."""
    TERMINATED = "terminated"
    """The pod was told to stop."""
    LEASE_LOST = "lease lost"
    """The attempt could not renew its lease in time."""
    DATABASE = "database away"
    """The tick's pod ran and could not write its row in time."""

    # The operator gives the reasons below to ticks that left no final row of their own.
    STILL_RUNNING = "still running"
    """The region's previous tick still ran, and concurrencyPolicy is Forbid."""
    CAPACITY = "capacity"
    """The quota had no room for the tick's pod."""
    CHANGED = "schedule changed"
    """The schedule ended (edited, deactivated) before the controller created the tick's Job."""
    SUSPENDED = "suspended"
    """The region was suspended: with all regions, or by the pause annotation, a quarantine or by hand."""
    NOT_CREATED = "not created"
    """The CronJob controller did not create the tick's Job in time."""
    UNOBSERVED = "operator or cluster away"
    """The tick has no Job, and no operator was watching when the Job was due."""
    DELETED = "job deleted"
    """The tick's Job was deleted before the Job ended."""
    REFUSED = "pod refused"
    """An admission check other than the quota refused the tick's pod."""
    NO_NODE = "no node"
    """No node had room for the tick's pod, or no node matched the pod."""
    NODE_LOST = "node lost"
    """The pod's node was lost or drained, or the pod was evicted or preempted."""
    IMAGE = "image"
    """The tick image could not be pulled."""
    NOT_STARTED = "pod not started"
    """The tick's pod did not start."""
    OUT_OF_MEMORY = "out of memory"
    """The tick's pod used more memory than its limit."""
    POD_FAILED = "pod failed"
    """The tick's pod failed."""
    NOT_RECORDED = "not recorded"
    """The tick's Job succeeded and left no row: the pod used another image or another database."""
    LOST = "lost"
    """The attempt's lease expired, the Job does not try again, and nothing tells why."""


_WHOLE_IN_POD_NAMES = 57
"""The longest name of a Job that is whole in its pods' names (k8s.io/apiserver/pkg/storage/names/generate.go)."""


def job_name(cronjob: str, tick_at: datetime) -> str:
    """Return the name that the CronJob controller gives to the Job of `tick_at` (utils.go, getTimeHashInMinutes).

    Raises ValueError for a naive `tick_at`, because its minute would depend on the machine's time zone.
    """
    if tick_at.tzinfo is None:
        raise ValueError(f"tick_at {tick_at.isoformat()} has no time zone: give it one, e.g. UTC")
    return f"{cronjob}-{int(tick_at.timestamp()) // 60}"


def rerun_job_name(cronjob: str, tick_at: datetime, *, attempt: int) -> str:
    """Return the name of the Job that runs the tick of `tick_at` again, as the row's attempt number `attempt`.

    The same rerun has the same name, so whoever begins it a second time finds its Job. No tick's own Job has such a
    name. The CronJob's name may lose characters in front of its last part, which is the hash of the region's id: a pod
    is named after the whole name of its Job only up to 57 characters. Raises ValueError for a naive `tick_at`.
    """
    end = f"-r{attempt}"
    last = cronjob.rfind("-") if "-" in cronjob else 0
    minutes = job_name("", tick_at)
    room = _WHOLE_IN_POD_NAMES - len(cronjob[last:]) - len(minutes) - len(end)
    return f"{cronjob[:last][: max(room, 1)].rstrip('-')}{cronjob[last:]}{minutes}{end}"


def tick_at_of(job: str, *, cronjob: str) -> datetime | None:
    """Read `tick_at` (UTC) from a Job's name, `<cronjob>-<minutes since 1970>`.

    Return None for any other name: the Job is a manual run.
    """
    match = re.fullmatch(re.escape(cronjob) + r"-([1-9][0-9]{0,7})", job, re.ASCII)
    return datetime.fromtimestamp(int(match[1]) * 60, UTC) if match else None
