"""Simulated installations that share a table of four regions: their database, clusters, operators and ticks.

Every region ticks each minute and has a slot of its own. An operator reconciles in small steps, with nothing but what
it has read before, and may end between any two of them. The clusters go on without their operators: a controller makes
the Job of a minute at once or as late as the start deadline allows, and a pod claims its tick at once or later. Time
passes in seconds; nothing sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from region_operator.plan.handed_over import divide
from region_operator.regions.handover import Installation, SlotHandover, SlotOwner, Standing, decide
from region_operator.regions.slots import Slots, slots_of_shard
from region_tick.contract import LATENESS_TOLERANCE_SECONDS
from tests.harness.examples import live_cronjob, scheduler

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.scheduler import Shard

SOURCE = "public.region_index"
SLOTS: Slots = frozenset(range(4))
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
START_DEADLINE = timedelta(seconds=30)
LAST_CLAIM = START_DEADLINE + timedelta(seconds=LATENESS_TOLERANCE_SECONDS)
SILENT_AFTER = timedelta(seconds=120)
BEGAN = datetime(2026, 11, 24, 9, 59, 10, tzinfo=UTC)


@dataclass(slots=True)
class Known:
    """A row of region_tick.installation."""

    seen_at: datetime
    took_over: frozenset[str] = frozenset()


@dataclass(slots=True)
class SimulatedDatabase:
    """The rows, and the statements of `slot_owners` and of the claim, each as one step."""

    now: datetime = BEGAN
    owners: dict[int, SlotOwner] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)
    done: dict[tuple[int, datetime], str] = field(default_factory=dict)

    def read(self) -> Standing:
        installations = {
            name: Installation(
                namespace=name,
                seen_at=row.seen_at,
                silent=self.now - row.seen_at > SILENT_AFTER,
                took_over=row.took_over,
            )
            for name, row in self.known.items()
        }
        return Standing(source=SOURCE, now=self.now, owners=dict(self.owners), installations=installations)

    def write(self, handover: SlotHandover) -> None:
        """Write what a handover marks, where the rows are still as it expects."""
        me = handover.me
        for slot in handover.free - self.owners.keys():
            self.owners[slot] = SlotOwner(installation=me, since=self.now, epoch=1)
        for slot, owner in [*self.owners.items()]:
            if slot in handover.announce and owner.epoch == handover.standing.owners[slot].epoch:
                self.owners[slot] = replace(owner, successor=me)
            elif slot in handover.withdraw and owner.installation != me and owner.successor == me:
                self.owners[slot] = replace(owner, successor=None)
        if handover.forget:
            self.known[me].took_over = frozenset()

    def write_offers(self, handover: SlotHandover) -> None:
        for slot in handover.offer | handover.keep:
            if self.owners[slot].installation == handover.me:
                self.owners[slot] = replace(self.owners[slot], offered=slot in handover.offer)

    def see(self, me: str) -> None:
        self.known.setdefault(me, Known(self.now)).seen_at = self.now

    def take_over(self, handover: SlotHandover, named: frozenset[str]) -> None:
        read = handover.standing.owners
        free = {
            slot
            for slot in handover.taking
            if self.owners[slot].epoch == read[slot].epoch
            and (self.owners[slot].offered or read[slot].installation in named)
        }
        self.see(handover.me)
        if named & {read[slot].installation for slot in handover.taking} and free == handover.taking:
            self.known[handover.me].took_over = named
        for slot in free:
            epoch = read[slot].epoch + 1
            self.owners[slot] = SlotOwner(installation=handover.me, since=self.now, epoch=epoch)

    def claim(self, slot: int, tick_at: datetime, installation: str) -> None:
        owner = self.owners[slot]
        refused = installation not in (owner.installation, owner.successor) and owner.since < tick_at
        if not refused:
            self.done.setdefault((slot, tick_at), installation)


@dataclass(frozen=True, slots=True)
class Due:
    """A tick that is due in a cluster, before its Job is made (`job`), or before its pod has claimed it."""

    cronjob: LiveCronJob
    slot: int
    tick_at: datetime
    job: bool = False


@dataclass(slots=True)
class SimulatedInstallation:
    """A cluster with an operator, its RegionScheduler's shard, and the annotation that a person set."""

    name: str
    database: SimulatedDatabase
    shard: Shard | None = None
    take_over: frozenset[str] = frozenset()
    holding: bool = False
    """Whether a guard holds changes."""
    cronjobs: dict[int, tuple[LiveCronJob, datetime]] = field(default_factory=dict)
    """By slot, each with the moment of its creation."""
    due: list[Due] = field(default_factory=list)
    handover: SlotHandover | None = None
    reconciling: Generator[None, None, None] | None = None

    def step(self) -> bool:
        """Do the next step, of a new reconcile if none is on the way. Return whether the reconcile goes on."""
        self.reconciling = self.reconciling or self._reconcile()
        if next(self.reconciling, self) is self:
            self.reconciling = None
        return self.reconciling is not None

    def crash(self) -> None:
        self.reconciling = None

    def reconcile(self) -> None:
        while self.step():
            pass

    def _read(self) -> SlotHandover:
        wanted = slots_of_shard(self.shard) & SLOTS
        names = {"installation": self.name, "take_over": self.take_over}
        spec = {"shard": self.shard.model_dump()} if self.shard else {}
        self.handover = decide(self.database.read(), scheduler(source=spec).model_copy(update=names), wanted=wanted)
        return self.handover

    def _reconcile(self) -> Generator[None, None, None]:
        """Do as `slot_owners.settle`, the plan, the apply and `slot_owners.take_over` do, step by step."""
        named = self.take_over
        handover = self._read()
        yield
        for _ in range(3):
            if handover.to_write:
                self.database.write(handover)
                yield
                handover = self._read()
                yield
        handover = replace(handover, free=frozenset())
        if handover.slots:
            self.database.see(self.name)
            yield
        offers = handover.while_holding() if self.holding else handover
        if offers.offer or offers.keep:
            self.database.write_offers(offers)
            yield
        division = divide([cronjob for cronjob, _ in self.cronjobs.values()], handover)
        stands = {cronjob.uid for cronjob in division.current}
        for slot in sorted(handover.slots - {slot for slot in SLOTS if str(slot) in stands}):
            self.cronjobs[slot] = (self._cronjob(slot), self.database.now)
            yield
        for delete in division.handed_over:
            del self.cronjobs[int(delete.live.uid)]
            yield
        if handover.taking:
            self.database.take_over(handover, named)

    def _cronjob(self, slot: int) -> LiveCronJob:
        return replace(
            live_cronjob(f"r-{slot}", uid=str(slot)),
            ours=True,
            key=f"{slot:02x}",
            told_source=SOURCE,
            told_installation=self.name,
            start_deadline_seconds=int(START_DEADLINE.total_seconds()),
        )

    def make_jobs(self, *, until: datetime) -> None:
        """Make the Jobs of ticks that were due until then, where the CronJob still stands."""
        stands = {id(cronjob) for cronjob, _ in self.cronjobs.values()}
        self.due = [
            tick if tick.job or tick.tick_at > until else replace(tick, job=True)
            for tick in self.due
            if tick.job or tick.tick_at > until or id(tick.cronjob) in stands
        ]

    def claim(self, *, until: datetime) -> None:
        """Let the pods claim the ticks that were due until then."""
        for tick in self.due:
            if tick.job and tick.tick_at <= until:
                self.database.claim(tick.slot, tick.tick_at, self.name)
        self.due = [tick for tick in self.due if not (tick.job and tick.tick_at <= until)]

    def pass_second(self) -> None:
        """Do what can wait no longer, and begin what is due by the database's time."""
        now = self.database.now
        self.make_jobs(until=now - START_DEADLINE)
        self.claim(until=now - LAST_CLAIM)
        if now.second == 0:
            made = ((slot, cronjob) for slot, (cronjob, created) in self.cronjobs.items() if created < now)
            self.due += [Due(cronjob, slot, now) for slot, cronjob in made]


def pass_time(database: SimulatedDatabase, installations: Iterable[SimulatedInstallation], *, seconds: int) -> None:
    """Let time pass in all clusters."""
    for _ in range(seconds):
        database.now += SECOND
        for installation in installations:
            installation.pass_second()
