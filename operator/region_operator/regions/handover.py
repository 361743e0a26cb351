"""Decides which slots of a table this installation goes by, and how a slot gets another owner. Pure.

A slot has one owner, an installation, in the table region_tick.slot_owner.

| the slot's owner                                  | this installation wants the slot | does not want the slot      |
|---------------------------------------------------|----------------------------------|-----------------------------|
| nobody                                            | takes the slot at once           | nothing                     |
| this installation                                 | keeps the slot                   | keeps and offers the slot   |
| another, who offers the slot to shards            | a shard takes over               | nothing, or lets go         |
| another, whom a person named in an annotation     | takes over                       | nothing, or lets go         |
| another                                           | is refused, or lets go           | nothing, or lets go         |

While a guard holds changes of an owner, the owner offers nothing: shards that each take a part would each let some of
the held changes through.

To take over is to announce oneself as the successor, to make all CronJobs, and only then to become the owner, by
compare-and-set on the slot's epoch. Until then the former owner keeps its CronJobs, so no region is ever without one.
Letting go is to delete one's own CronJobs of a slot that an owner who is alive has taken over. Nobody takes a slot by
himself, however silent its owner is: a network that is cut looks like a death.

The SQL is left to `slot_owners`, and what a claim does with a slot's owner to `region_tick.statements`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from region_operator.regions.slots import ALL_SLOTS, Slots
from region_operator.scheduler import KIND, TAKE_OVER_ANNOTATION, Scheduler, format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, timedelta

MAX_NAMED_OWNERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotOwner:
    """The owner of a slot, since when, and how often the slot changed hands: a row of region_tick.slot_owner."""

    installation: str
    since: datetime
    epoch: int
    offered: bool = False
    successor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What an installation last told of itself: a row of region_tick.installation.

    `silent` says that the installation has missed its last looks. `took_over` are the names of the take-over annotation
    that was carried out.
    """

    namespace: str
    seen_at: datetime
    silent: bool
    took_over: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the database says about the owners of a table. `now` is the database's time.

    An installation that never owned a slot is missing in `installations`.
    """

    source: str
    now: datetime
    owners: Mapping[int, SlotOwner]
    installations: Mapping[str, Installation]


@dataclass(frozen=True, slots=True)
class RegionElsewhere:
    """A region whose CronJob another installation has: a row of region_tick.region_schedule. `cron` is in UTC."""

    region_id: str
    cron: str
    suspended: bool


def nobody(source: str, now: datetime) -> Standing:
    """Return the standing of a table whose slots have no owners, or none that are known."""
    return Standing(source=source, now=now, owners={}, installations={})


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotHandover:
    """What is to be done about each slot, for the installation `me`.

    `free`, `announce` and `withdraw` are to be written before anything else, and so is `forget`: the take-over that was
    carried out is no longer asked for. `offer` and `keep` are to be written when the guards have decided. `taking`
    become owned when their CronJobs are made. `refused` are wanted and owned by others. `let_go` have another owner who
    is alive. `withheld` would be offered if no guard held changes.
    """

    me: str
    standing: Standing
    owned: Slots
    free: Slots
    offer: Slots
    keep: Slots
    announce: Slots
    withdraw: Slots
    forget: bool
    taking: Slots
    refused: Slots
    let_go: Slots
    withheld: Slots = frozenset()

    @property
    def slots(self) -> Slots:
        """The slots whose regions get CronJobs here."""
        return self.owned | self.free | self.taking

    @property
    def offered(self) -> Slots:
        """The slots that wait for another shard."""
        return frozenset(slot for slot in self.owned if self.standing.owners[slot].offered)

    @property
    def to_write(self) -> bool:
        """Whether something is to be written before anything else."""
        return bool(self.free or self.announce or self.withdraw or self.forget)

    def while_holding(self) -> SlotHandover:
        """Return what is to be done while a guard holds changes: no slot is offered, and none stays offered."""
        unwanted = (self.offered | self.offer) - self.keep
        return replace(self, offer=frozenset(), keep=self.offered, withheld=unwanted)

    def let_go_in(self, slot: int, *, start_deadline: timedelta) -> timedelta:
        """Return when a CronJob of a slot to let go may be deleted, at once if not positive.

        The last tick of the former owner starts as late as `start_deadline` after the slot changed hands. The new
        owner's CronJob makes up for no tick from before it was made.
        """
        return self.standing.owners[slot].since + start_deadline - self.standing.now


def decide(standing: Standing, scheduler: Scheduler, *, wanted: Slots) -> SlotHandover:
    """Decide for each slot of the table that `scheduler` names. `wanted` are the slots of its shard."""
    me = scheduler.installation
    known = standing.installations.get(me)
    carried_out = known.took_over if known else frozenset()
    named = scheduler.take_over if scheduler.take_over != carried_out else frozenset()
    shard = scheduler.spec.source.shard is not None
    others = {slot: owner for slot, owner in standing.owners.items() if owner.installation != me}
    owned = standing.owners.keys() - others.keys()
    taking = {
        slot
        for slot, owner in others.items()
        if slot in wanted and (owner.installation in named or (shard and owner.offered))
    }
    alive = {name for name, installation in standing.installations.items() if not installation.silent}

    def such(slots: Iterable[int], has: Callable[[SlotOwner], bool]) -> Slots:
        return frozenset(slot for slot in slots if has(standing.owners[slot]))

    return SlotHandover(
        me=me,
        standing=standing,
        owned=frozenset(owned),
        free=wanted - standing.owners.keys(),
        offer=such(owned - wanted, lambda owner: not owner.offered),
        keep=such(owned & wanted, lambda owner: owner.offered),
        announce=such(taking, lambda owner: owner.successor != me),
        withdraw=such(others.keys() - taking, lambda owner: owner.successor == me),
        forget=bool(carried_out) and scheduler.take_over != carried_out,
        taking=frozenset(taking),
        refused=(wanted & others.keys()) - taking,
        let_go=such(others.keys() - taking, lambda owner: owner.installation in alive),
    )


def explain_refusal(handover: SlotHandover, scheduler: Scheduler) -> str:
    """Say who owns the slots that are refused, and how a person takes them over; "" if none is refused.

    The text stays the same as long as nothing changes.
    """
    if not handover.refused:
        return ""
    owners = {handover.standing.owners[slot].installation for slot in handover.refused}
    parts = [_describe(handover, name) for name in sorted(owners)]
    named = "; ".join(parts[:MAX_NAMED_OWNERS]) + (
        f"; and {len(parts) - MAX_NAMED_OWNERS} more" if parts[MAX_NAMED_OWNERS:] else ""
    )
    part = "all is" if handover.refused == ALL_SLOTS else f"{len(handover.refused)} of {len(ALL_SLOTS)} slots are"
    text = f"of {handover.standing.source} {part} owned elsewhere, so nothing is done there: {named}"
    if scheduler.take_over:
        text += f"; {_why_not(scheduler, owners)}"
    return f"{text}; to take over: {take_over_command(scheduler, owners)}"


def explain_takeover(handover: SlotHandover) -> str:
    """Say whose slots are about to be taken over; "" if none."""
    if not handover.taking:
        return ""
    owners = {handover.standing.owners[slot].installation for slot in handover.taking}
    return f"{len(handover.taking)} of {len(ALL_SLOTS)} slots are taken over from {', '.join(sorted(owners))}"


def explain_offer(handover: SlotHandover) -> str:
    """Say how many slots other shards may take over, and how many a guard keeps; "" if all are wanted here."""
    offered = (handover.offered | handover.offer) - handover.keep
    texts = {
        "offered to other shards": len(offered),
        "not offered to other shards while changes are held": len(handover.withheld),
    }
    return "; ".join(f"{count} of {len(ALL_SLOTS)} slots are {what}" for what, count in texts.items() if count)


def take_over_command(scheduler: Scheduler, owners: Iterable[str]) -> str:
    """Return the kubectl command by which a person lets an installation take over."""
    return (
        f"kubectl annotate {KIND.lower()} {scheduler.name} -n {scheduler.namespace} --overwrite"
        f" {TAKE_OVER_ANNOTATION}={','.join(sorted(owners))}"
    )


def _describe(handover: SlotHandover, name: str) -> str:
    owners = handover.standing.owners
    since = min(owners[slot].since for slot in handover.refused if owners[slot].installation == name)
    text = f"{name} is the owner since {format_time(since)}"
    if not (known := handover.standing.installations.get(name)):
        return text
    text += f" from namespace {known.namespace}"
    return f"{text} and is silent since {format_time(known.seen_at)}" if known.silent else f"{text} and is alive"


def _why_not(scheduler: Scheduler, owners: Iterable[str]) -> str:
    named = ",".join(sorted(scheduler.take_over))
    if scheduler.take_over.isdisjoint(owners):
        return f'the annotation {TAKE_OVER_ANNOTATION} names "{named}", which owns none of this'
    return f'the take-over from "{named}" was carried out already: remove the annotation before you set it again'
