"""A Lease as a value, and what a process that could lead does after a look at it.

Pure: no client, no clock. The times and the duration in a Lease are written for people and never believed: another
machine's say nothing here, and anybody can edit them. That a Lease is over is told by how long it has not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

API_VERSION = "coordination.k8s.io/v1"
NAME = "region-operator"

LEASE_SECONDS = 15
"""How long others wait for a renewal before they take the Lease. A release that waits less than the one before it lets
a leader keep its time would have two of them during its roll-out."""

RELEASED_SECONDS = 1
"""The duration of a Lease that was given back: nobody needs to wait for it."""


class Step(StrEnum):
    """What is to be done after a look at the Lease."""

    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What a look at the Lease found: `version` changes whenever anything of it does, `holder` is empty where it has
    none, `released` is whether the last one gave it back.
    """

    version: str
    holder: str
    released: bool

    @classmethod
    def from_object(cls, body: dict[str, Any]) -> Self:
        """Read the API server's object. Each field of its spec is optional there."""
        spec = body.get("spec", {})
        holder = spec.get("holderIdentity", "")
        return cls(
            version=body["metadata"]["resourceVersion"],
            holder=holder,
            released=not holder and spec.get("leaseDurationSeconds") == RELEASED_SECONDS,
        )


def decide(record: LeaseRecord | None, *, identity: str, observed_since: float, now: float) -> Step:
    """Decide by a Lease that is as it was since `observed_since`, in seconds of our own clock; -inf where nobody
    can have led before.

    That there is none, or one without a holder, has to last too: somebody may have deleted or emptied it under a leader
    that has not looked since.
    """
    if record and record.holder == identity:
        return Step.RENEW
    if now - observed_since < LEASE_SECONDS and not (record and record.released):
        return Step.WAIT
    return Step.TAKE if record else Step.CREATE


def held(lease: dict[str, Any] | None, *, identity: str, now: datetime) -> dict[str, Any]:
    """Return the Lease, None where there is none yet, as one that `identity` holds from `now`."""
    lease = lease or {"apiVersion": API_VERSION, "kind": "Lease", "metadata": {"name": NAME}}
    spec = lease.get("spec", {})
    new = spec | {"holderIdentity": identity, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": _microtime(now)}
    if spec.get("holderIdentity") != identity:
        new |= {"acquireTime": _microtime(now), "leaseTransitions": spec.get("leaseTransitions", -1) + 1}
    return lease | {"spec": new}


def released(lease: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return the Lease as nobody's, the way client-go does it (tools/leaderelection/leaderelection.go, release)."""
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
