"""What the console shows, as values: one class for each kind of answer.

The pages and the JSON are made from these values and from nothing else, so both always say the same. The JSON has the
same names in camelCase (`as_json`). Times are timezone-aware UTC, durations are seconds, and None means unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING

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
    """spec.suspend stops all regions."""
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
    HELD = "held"
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
    CRONJOB = "cronjob"
    JOB = "job"
    POD = "pod"
    EVENT = "event"
    CLAIM = "claim"
    ATTEMPT = "attempt"
    LEDGER = "ledger"


class ErrorReason(StrEnum):
    """Why a request has no answer."""

    BAD_PARAMETER = "BadParameter"
    NOT_FOUND = "NotFound"
    METHOD_NOT_ALLOWED = "MethodNotAllowed"
    DATABASE_UNAVAILABLE = "DatabaseUnavailable"
    CLUSTER_UNAVAILABLE = "ClusterUnavailable"
    NO_SCHEDULER = "NoRegionScheduler"
    TOO_SLOW = "TooSlow"
    INTERNAL = "Internal"

    @property
    def status(self) -> HTTPStatus:
        """The answer's HTTP status."""
        return _STATUS[self]


_STATUS = {
    ErrorReason.BAD_PARAMETER: HTTPStatus.BAD_REQUEST,
    ErrorReason.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorReason.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ErrorReason.DATABASE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorReason.CLUSTER_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorReason.NO_SCHEDULER: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorReason.TOO_SLOW: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorReason.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """What a page must know of its request.

    `path` has no leading slash, and its codes are decoded. `root` leads from the page to the overview: "" or "../" as
    often as needed; every link begins with it. `query` are the parameters as they came, each once.
    """

    path: str
    root: str
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """A request that has no answer. `message` names the value, `remedy` says what to do."""

    reason: ErrorReason
    message: str
    remedy: str


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
    """Whom the console shows: the RegionScheduler and its table. `suspended` is its spec.suspend."""

    namespace: str
    name: str
    table: str
    suspended: bool


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
    """What became of the ticks that ended within `window`, e.g. "24h". Every state has its key."""

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
    """Up to when every tick has its row, and how long ago that is."""

    accounted_until: datetime | None
    lag_seconds: float | None


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
class Versions:
    """Of what runs: the console's release, the operator's image, and the newest migration of the database."""

    console: str
    operator: str | None
    schema_revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All on one page. `attention` has the worst 50 of `attention_total`."""

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
