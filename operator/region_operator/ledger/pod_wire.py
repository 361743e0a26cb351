"""The parts of a pod's and an Event's JSON that the ledger reads, as types. Pure.

As in `cronjobs.wire`: what no type names is skipped. Kubernetes writes some empty fields of an Event as null.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from region_operator.cronjobs.wire import Condition  # noqa: TC001 - msgspec reads the annotations


class Waiting(Struct):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class Terminated(Struct, rename="camel"):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""


class ContainerState(Struct):
    """The state of a container. A running container has neither field."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct, rename="camel"):
    """What the kubelet says of a container."""

    name: str
    state: ContainerState = field(default_factory=ContainerState)
    last_state: ContainerState = field(default_factory=ContainerState)


class PodStatus(Struct, rename="camel"):
    """A pod's status."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []
    init_container_statuses: list[ContainerStatus] = []


class PodMeta(Struct, rename="camel"):
    """A pod's metadata."""

    name: str = ""
    creation_timestamp: str = ""
    labels: dict[str, str] = {}


class Pod(Struct):
    """A pod."""

    metadata: PodMeta = field(default_factory=PodMeta)
    status: PodStatus = field(default_factory=PodStatus)


class EventMeta(Struct, rename="camel"):
    """An Event's metadata."""

    creation_timestamp: str = ""


class InvolvedObject(Struct):
    """What an Event is about."""

    name: str = ""


class Event(Struct, rename="camel"):
    """An Event."""

    metadata: EventMeta = field(default_factory=EventMeta)
    involved_object: InvolvedObject = field(default_factory=InvolvedObject)
    reason: str = ""
    message: str = ""
    count: int | None = None
    last_timestamp: str | None = None


decode_pod = msgspec.json.Decoder(Pod).decode
decode_event = msgspec.json.Decoder(Event).decode
