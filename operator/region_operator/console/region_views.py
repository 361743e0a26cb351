"""What the console shows of regions and their ticks, as values. See `views`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from region_operator.console.views import Error, Forecast, Overview

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from region_operator.console.views import FailedLog, Hold, RegionState, Source, Trouble
    from region_tick.contract import State


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTick:
    """The latest tick of a region that is due."""

    tick_at: datetime
    state: State
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRow:
    """A region in a list.

    `schedule` is what its CronJob has, `written` what its row says. `next` is the next tick; None: none is to come.
    `late_by_intervals`: how many of its intervals its last success is older than one, 0 where it is not. `recent` are
    the states of its last 10 ticks, the newest first. `why` says what is wrong, or is None.
    """

    code: str
    region_id: str
    name: str
    schedule: str | None
    written: str
    active: bool
    state: RegionState
    troubles: tuple[Trouble, ...]
    next: datetime | None
    last_tick: LastTick | None
    last_success: datetime | None
    late_by_intervals: float | None
    recent: tuple[State, ...]
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionList:
    """A page of regions. `page` counts from 1."""

    now: datetime
    items: tuple[RegionRow, ...]
    page: int
    pages: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TickRow:
    """A tick, as job_run has it. `manual_uid` is "" for a scheduled tick. `rerun_by` is who had it run again."""

    tick_at: datetime
    manual_uid: str
    state: State
    reason: str | None
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    start_delay_seconds: float | None
    handler: str | None
    job_name: str | None
    pod: str | None
    node: str | None
    exit_code: int | None
    counts: Mapping[str, Any] | None
    error_class: str | None
    error_message: str | None
    window_start: datetime | None
    window_end: datetime | None
    rerun_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The creators that a region polls, or its tasks in the queue: how many, and how many of them fail or wait."""

    total: int
    failing: int
    waiting: int
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """Who last wrote fields of a CronJob, and when, as its managedFields say."""

    manager: str
    time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CronJobView:
    """A region's CronJob. `suspended_by` says what suspends it, and who; None: nothing does, or nobody knows."""

    name: str
    uid: str
    suspended: bool
    suspended_by: str | None
    changed_by: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who paused a region, why, since when and until when. None: unknown; of `until`: until somebody resumes it."""

    by: str | None
    reason: str | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Region(RegionRow):
    """All about one region.

    `row` are the columns of its row, as text. `words` is its schedule in English. `next_ticks` are at most 5, `ticks`
    at most 50, the newest first. `tasks` is None too if to count them takes long. `remedy` says what to do about `why`.
    """

    now: datetime
    row: Mapping[str, str | None]
    words: str
    next_ticks: tuple[datetime, ...]
    ticks: tuple[TickRow, ...]
    creators: Members | None
    tasks: Members | None
    cron_job: CronJobView | None
    pause: Pause | None
    remedy: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TickList:
    """Ticks of a region, the newest first. `next` goes into `before` to get the older ones; None: there are none.

    The ledger may still lack ticks after `counted_until`; None: no operator counts the region's ticks. `gone` says that
    no active row has the code now; None if one has.
    """

    now: datetime
    code: str
    region_id: str
    items: tuple[TickRow, ...]
    next: str | None
    counted_until: datetime | None
    gone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of the chain: what was seen, where and when, and whether it is as it should be."""

    at: datetime | None
    source: Source
    text: str
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(TickRow):
    """A tick, and why: `chain` in order of time, `summary` in a sentence.

    `remedy` is None if nothing is to be done. `logs` is the command that shows the logs; None if no pod is left.
    """

    now: datetime
    code: str
    region_id: str
    chain: tuple[Step, ...]
    summary: str
    remedy: str | None
    logs: str | None
    failed_log: FailedLog | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """A region's ticks over time, a value for each column: the worst state, None where no tick was, and how many."""

    code: str
    region_id: str
    buckets: tuple[State | None, ...]
    ticks: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Regions over time. `columns` are the beginnings of at most 288 equal spans of `bucket_seconds`."""

    now: datetime
    from_: datetime
    until: datetime
    bucket_seconds: float
    columns: tuple[datetime, ...]
    rows: tuple[LedgerRow, ...]
    page: int
    pages: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTick:
    """When a region ticks next."""

    code: str
    region_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTicks:
    """The next ticks of all regions, the soonest first."""

    now: datetime
    items: tuple[NextTick, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the operator would do. `plan` is the output of `region-operator plan --output json`, made at `made_at`."""

    now: datetime
    made_at: datetime
    plan: Mapping[str, Any]
    holds: tuple[Hold, ...]


View: TypeAlias = Overview | RegionList | Ledger | Region | TickList | Tick | NextTicks | Plan | Forecast | Error
"""What a page shows. The name of the class is the `kind` of the JSON."""
