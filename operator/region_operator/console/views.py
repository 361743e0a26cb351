"""What the console shows, as values: one class for each kind of answer.

The pages and the JSON are made from these values and from nothing else, so both always say the same. The JSON has the
same names in camelCase (`as_json`). Times are timezone-aware UTC, durations are seconds, and None means unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from region_operator.console.request_views import Error as Error
from region_operator.console.request_views import ErrorReason as ErrorReason
from region_operator.console.request_views import RequestContext as RequestContext

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from region_tick.contract import State

API_VERSION = "console.region-tick.dev/v1"


class RegionState(StrEnum):
    """What the operator does with a region now."""

    TICKING = "ticking"
    """Its CronJob makes a Job at each of its minutes."""
    PAUSED = "paused"
    """A person paused this one region, by an annotation of its CronJob or by hand."""
    SUSPENDED = "suspended"
    """spec.suspend or spec.suspendUntil stops all regions."""
    QUARANTINED = "quarantined"
    """Its row cannot be scheduled as it is."""
    HELD = "held"
    """A guard holds what the table asks for this region."""
    PENDING = "pending"
    """The row is active, and the region has no CronJob yet."""
    INACTIVE = "inactive"
    """The row says that the region does not tick."""


class Trouble(StrEnum):
    """Why a region needs a look, the worst first."""

    QUARANTINED = "quarantined"
    """Its row cannot be scheduled as it is."""
    HELD = "held"
    """A guard holds what the table asks for this region."""
    PENDING = "pending"
    """It is active, and has had no CronJob for longer than the operator takes from one look to the next."""
    FAILING = "failing"
    """Its last ticks failed."""
    MISSED = "missed"
    """Its last ticks should have run, and did not."""
    LATE = "late"
    """Its last success is older than its schedule lets it be."""
    PAUSED = "paused"
    """It is paused for long, or for longer than whoever paused it said."""


class Source(StrEnum):
    """Where a step of a tick's chain was seen."""

    SCHEDULE = "schedule"
    """Which schedule made the tick expected, or who started it by hand."""
    CRONJOB = "cronjob"
    """The region's CronJob."""
    JOB = "job"
    """The tick's Job."""
    POD = "pod"
    """A pod of the Job."""
    EVENT = "event"
    """An Event of Kubernetes about the Job or a pod."""
    CLAIM = "claim"
    """An attempt took the tick."""
    ATTEMPT = "attempt"
    """How the latest attempt ended."""
    LEDGER = "ledger"
    """What the tick's row says in the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition of the RegionScheduler, as the API server has it."""

    type: str
    status: str
    reason: str
    message: str
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Whether all is well. The status is True, False or Unknown."""

    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """Whom the console shows: the RegionScheduler and its table. `suspended`: all its regions are, or are to be.

    `shard` is the part of the table that it has, counted from 0: "0 of 4"; None: it has the whole table.
    """

    namespace: str
    name: str
    table: str
    suspended: bool
    shard: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCounts:
    """How many regions are active, how many of these are in which state, and how many fail or are late."""

    active: int
    ticking: int
    paused: int
    suspended: int
    quarantined: int
    held: int
    pending: int
    failing: int
    missed: int
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCount:
    """How many ticks ended in a state for a reason; `reason` is "other" for those that handlers made up."""

    state: State
    reason: str
    ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TickCounts:
    """What became of the table's ticks that ended within `window`, e.g. "24h": those of all shards, if it has shards.

    Every state has its key.
    """

    window: str
    by_state: Mapping[State, int]
    by_reason: tuple[ReasonCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """A region that needs a look: why, since when, and what to do."""

    code: str
    region_id: str
    kind: Trouble
    text: str
    since: datetime | None
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastSummary:
    """Whether the ticks of the next 24 hours fit, in a sentence. `fits` is None while nobody has counted."""

    fits: bool | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerProgress:
    """Up to when every tick of the RegionScheduler's regions has its row, and how long ago that is. `standstill` says
    what may be wrong, and what to do, if that is too long ago.
    """

    accounted_until: datetime | None
    lag_seconds: float | None
    standstill: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Changes that a guard holds, and the command that approves them. `regions` are at most 200 codes of `count`."""

    kind: str
    count: int
    approval: str
    command: str
    text: str
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedLog:
    """The last log lines that a failed attempt left in the tick's row: the latest attempt, or an earlier one."""

    attempt: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Of what runs: the console's release, the operator's image, and the newest migration of the database."""

    console: str
    operator: str | None
    schema_revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All on one page. `attention` has 50 of `attention_total`: the worst of each kind of trouble, then the worst."""

    now: datetime
    scheduler: Scheduler
    ready: Ready
    conditions: tuple[Condition, ...]
    regions: RegionCounts
    ticks: TickCounts
    attention: tuple[Attention, ...]
    attention_total: int
    forecast: ForecastSummary
    ledger: LedgerProgress
    holds: tuple[Hold, ...]
    versions: Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Whether the ticks fit. `forecast` is the output of `region-operator forecast --output json`."""

    now: datetime
    made_at: datetime
    text: str
    forecast: Mapping[str, Any]
