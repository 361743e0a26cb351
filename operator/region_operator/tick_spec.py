"""spec.tick as values: the settings of every tick's Job and pod.

Kubernetes' own fields keep Kubernetes' names and stay unparsed. What they may hold is left to the schema in `crds` and
to the API server.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from region_operator.durations import Duration  # noqa: TC001 - pydantic needs the type
from region_tick.contract import DATABASE_SECRET

_UNPRIVILEGED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


class Model(BaseModel):
    """A part of a RegionScheduler. Unknown fields are ignored, because a newer CRD may have more fields."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class ExtraMetadata(Model):
    """Labels and annotations beside the operator's own."""

    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class TickSpec(Model):
    """The settings of every tick's Job and pod.

    Without `image` the tick image of the operator's release is used. Without `start_deadline` the schedule decides.
    Without `max_window` a tick's window has any length. A Job is kept for `ttl` after its end. The fields from `env` on
    go into the pod as they are; the schema keeps what the operator sets itself out of them.
    """

    image: str | None = None
    handler: str = "poke"
    database_secret: str = DATABASE_SECRET
    timeout: Duration = timedelta(minutes=10)
    retries: int = 2
    start_deadline: Duration | None = None
    max_window: Duration | None = None
    failed_log_lines: int = 0
    failed_jobs_history_limit: int = 1
    ttl: Duration = timedelta(hours=24)
    env: list[dict[str, Any]] = Field(default_factory=list)
    env_from: list[dict[str, Any]] = Field(default_factory=list)
    resources: dict[str, Any] = Field(default_factory=dict)
    volumes: list[dict[str, Any]] = Field(default_factory=list)
    volume_mounts: list[dict[str, Any]] = Field(default_factory=list)
    init_containers: list[dict[str, Any]] = Field(default_factory=list)
    image_pull_secrets: list[dict[str, Any]] = Field(default_factory=list)
    image_pull_policy: str | None = None
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[dict[str, Any]] = Field(default_factory=list)
    affinity: dict[str, Any] = Field(default_factory=dict)
    topology_spread_constraints: list[dict[str, Any]] = Field(default_factory=list)
    security_context: dict[str, Any] = Field(default_factory=lambda: dict(_UNPRIVILEGED))
    host_aliases: list[dict[str, Any]] = Field(default_factory=list)
    job_metadata: ExtraMetadata = ExtraMetadata()
    pod_metadata: ExtraMetadata = ExtraMetadata()
    service_account_name: str | None = None
