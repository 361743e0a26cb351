"""What happened while random faults were caused, as values: all moments in seconds of Unix time, of one machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from tests.faults.course import Deed, Lane, Table

AFTERMATH_SECONDS = 50.0
"""How long after its end a fault may still be why something fails: a database that froze is given up after 45 s."""

_AGENT = re.compile(r"region-operator/\S+ \((?P<identity>.+)\)")


@dataclass(frozen=True, slots=True)
class TableState:
    """Rows that could be read from `since`, when the statement that made them was sent, until `until`, when the next
    had been answered.
    """

    since: float
    until: float
    rows: Table


@dataclass(frozen=True, slots=True)
class Span:
    """A deed from its beginning to the end of its undoing."""

    begin: float
    end: float
    lane: Lane
    deed: Deed
    note: str = ""

    def touches(self, begin: float, end: float) -> bool:
        """Tell whether it lasted at some moment from `begin` to `end`."""
        return self.begin <= end and self.end >= begin

    def __str__(self) -> str:
        return f"{self.lane} {self.deed}" + (f" {self.note}" if self.note else "")


@dataclass(frozen=True, slots=True)
class Process:
    """An operator's process from its start to its end; `asked` is when it was told to stop or killed, if it was."""

    lane: Lane
    identity: str
    started: float
    ended: float
    code: int
    asked: float | None = None
    strays: tuple[str, ...] = ()
    """What it wrote that is no line of the log."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Regions, by the values of their label, whose deletion a person approved."""

    at: float
    regions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Write:
    """A write request as the API server recorded it; `identity` is the operator's, empty where it was another's."""

    received: float
    answered: float
    identity: str
    verb: str
    resource: str
    subresource: str
    name: str
    code: int

    @classmethod
    def from_audit(cls, line: Mapping[str, Any]) -> Write:
        """Read an Event of audit.k8s.io/v1."""
        agent = _AGENT.fullmatch(line["userAgent"])
        target = line["objectRef"]
        return cls(
            received=_seconds(line["requestReceivedTimestamp"]),
            answered=_seconds(line["stageTimestamp"]),
            identity=agent["identity"] if agent else "",
            verb=line["verb"],
            resource=target["resource"],
            subresource=target.get("subresource", ""),
            name=target.get("name", ""),
            code=line.get("responseStatus", {}).get("code", 0),
        )

    @property
    def done(self) -> bool:
        """Whether it changed what it was sent to."""
        return 200 <= self.code <= 299

    @property
    def by_operator(self) -> bool:
        """Whether an operator sent it, to something else than the Lease."""
        return bool(self.identity) and self.resource != "leases"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an operator's log."""

    at: float
    identity: str
    level: str
    event: str
    body: Mapping[str, Any]

    @classmethod
    def from_log(cls, identity: str, body: Mapping[str, Any]) -> Line:
        """Read a line that region_tick.logs wrote."""
        return cls(_seconds(body["ts"]), identity, body["level"], body["event"], body)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of job_run that says of a tick that it never began (skipped or missed), and when that was written down."""

    job: str
    at: float


@dataclass(frozen=True, slots=True)
class History:
    """All of it. `quiet` is from when to when everything was healed, cluster and table were equal and nobody was told
    to stop, None where that never was; `cronjobs` and `scheduler` are what stood at the end.
    """

    table: tuple[TableState, ...]
    spans: tuple[Span, ...]
    processes: tuple[Process, ...]
    approvals: tuple[Approval, ...]
    writes: tuple[Write, ...]
    lines: tuple[Line, ...]
    cronjobs: tuple[Mapping[str, Any], ...]
    scheduler: Mapping[str, Any]
    refusals: tuple[Refusal, ...] = ()
    quiet: tuple[float, float] | None = None

    @property
    def terms(self) -> list[Write]:
        """Return the writes by which operators took, kept or released the Lease."""
        return [write for write in self.writes if write.resource == "leases" and write.done and write.identity]

    def holders(self, moment: float) -> set[str]:
        """Return who may hold the Lease at a moment: who wrote it last, and who is about to."""
        before = [write for write in self.terms if write.answered <= moment]
        about_to = {write.identity for write in self.terms if write.received <= moment <= write.answered}
        return about_to | ({max(before, key=lambda write: write.answered).identity} if before else set())

    def explains(self, identity: str, at: float, lanes: Set[Lane]) -> bool:
        """Tell whether what was done to an operator or in some lanes may be why something failed at a moment."""
        own = self.lane_of(identity)
        return any(
            span.touches(at - AFTERMATH_SECONDS, at) and (span.lane in lanes or span.lane is own) for span in self.spans
        )

    def lane_of(self, identity: str) -> Lane | None:
        """Return the lane of an operator's process."""
        return next((process.lane for process in self.processes if process.identity == identity), None)


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept, and the moment when that shows."""

    at: float
    message: str


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
