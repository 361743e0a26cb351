"""Reads and renders a Lease, and decides what a candidate for the leadership does after a look at the Lease.

Pure: no client, no clock. A Lease is over when the Lease has not changed for LEASE_SECONDS of our own clock. The times
and the duration in a Lease are written for people, and never believed: another machine's clock may differ, and anybody
can edit the fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

API_VERSION = "coordination.k8s.io/v1"
NAME = "region-operator"

LAST_SCHEDULER_ANNOTATION = "region-tick.dev/last-scheduler"
"""On the Lease: the uid of the last RegionScheduler that the operator followed here. A person takes it off to have the
operator make a RegionScheduler anew."""

LEASE_SECONDS = 15
"""How long other processes wait for a renewal before taking the Lease.

A release must wait at least as long as the previous release lets a leader write. With less, a roll-out has two leaders.
"""

RELEASED_SECONDS = 1
"""The duration in a Lease that was given back. Nobody needs to wait for a released Lease."""


class Step(StrEnum):
    """What to do after a look at the Lease."""

    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What a look at the Lease found.

    `version` is the resourceVersion and changes with every write. `holder` is the holder's identity, empty without a
    holder. `released` says whether the last holder gave the Lease back.
    """

    version: str
    holder: str
    released: bool

    @classmethod
    def from_object(cls, body: dict[str, Any]) -> Self:
        """Read the API server's object. Every field of a Lease's spec is optional."""
        spec = body.get("spec", {})
        holder = spec.get("holderIdentity", "")
        return cls(
            version=body["metadata"]["resourceVersion"],
            holder=holder,
            released=not holder and spec.get("leaseDurationSeconds") == RELEASED_SECONDS,
        )


def decide(record: LeaseRecord | None, *, identity: str, observed_since: float, now: float) -> Step:
    """Decide the next step by a Lease that has not changed since `observed_since`.

    `observed_since` and `now` are seconds of our own clock. `observed_since` is -inf if nobody can have led before.
    A missing Lease and a Lease without a holder have to last for LEASE_SECONDS too. Somebody may have deleted or
    emptied the Lease, and the leader may not have looked since. Only a released Lease is free at once.
    """
    if record and record.holder == identity:
        return Step.RENEW
    if now - observed_since < LEASE_SECONDS and not (record and record.released):
        return Step.WAIT
    return Step.TAKE if record else Step.CREATE


def held(lease: dict[str, Any] | None, *, identity: str, now: datetime) -> dict[str, Any]:
    """Return the Lease as held by `identity`, renewed at `now`. `lease` is None if no Lease exists yet."""
    lease = lease or {"apiVersion": API_VERSION, "kind": "Lease", "metadata": {"name": NAME}}
    spec = lease.get("spec", {})
    new = spec | {"holderIdentity": identity, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": _microtime(now)}
    if spec.get("holderIdentity") != identity:
        new |= {"acquireTime": _microtime(now), "leaseTransitions": spec.get("leaseTransitions", -1) + 1}
    return lease | {"spec": new}


def remembering(lease: dict[str, Any], uid: str) -> dict[str, Any]:
    """Return the Lease with the uid of the last RegionScheduler, held by whom it was."""
    meta = lease["metadata"]
    return lease | {"metadata": meta | {"annotations": meta.get("annotations", {}) | {LAST_SCHEDULER_ANNOTATION: uid}}}


def last_scheduler(lease: dict[str, Any]) -> str:
    """Return the uid that `remembering` wrote, "" if there is none."""
    uid: str = lease.get("metadata", {}).get("annotations", {}).get(LAST_SCHEDULER_ANNOTATION, "")
    return uid


def lease_path(namespace: str) -> str:
    """Return the API server's path of a namespace's Lease."""
    return f"{leases_path(namespace)}/{NAME}"


def leases_path(namespace: str) -> str:
    """Return the API server's path of a namespace's Leases."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/leases"


def released(lease: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return the Lease without a holder, as client-go releases (tools/leaderelection/leaderelection.go, release)."""
    moment = _microtime(now)
    nobody = {
        "holderIdentity": "",
        "leaseDurationSeconds": RELEASED_SECONDS,
        "acquireTime": moment,
        "renewTime": moment,
    }
    return lease | {"spec": lease["spec"] | nobody}


def _microtime(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
