"""Tells whether an admission policy changed what the operator wrote. Pure.

A policy changes a write on its way to the API server's store. The API server then names the writer as the owner of the
policy's value. So ownership, by which drift is found, does not show the change; only the value does. The operator does
not write again, because the policy would change that write too. What to say of an alteration is left to `plan.altered`.

Looked at are the fields that decide when and how often a region ticks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_operator.cronjobs.manifest_parts import CONCURRENCY_POLICY, TIME_ZONE

if TYPE_CHECKING:
    from region_operator.cronjobs.field_sets import FieldSet
    from region_operator.cronjobs.wire import CronJobSpec


def explain_alteration(spec: CronJobSpec, applied: FieldSet | None, *, cron: str | None, suspend: bool) -> str:
    """Say which fields of ours have other values than the operator wrote. Return "" if none has.

    `applied` has the fields of our apply entry: a field that is no longer ours was changed later, by somebody. `cron`
    is the schedule that was written, None if unknown; `suspend` is whether the operator suspended the CronJob.
    """
    ours = applied.below("spec") if applied else None
    if ours is None:
        return ""
    values: dict[str, tuple[str | bool, str | bool]] = {
        "schedule": (spec.schedule, spec.schedule if cron is None else cron),
        "timeZone": (spec.time_zone, TIME_ZONE),
        "concurrencyPolicy": (spec.concurrency_policy, CONCURRENCY_POLICY),
        "suspend": (bool(spec.suspend), suspend),
    }
    return ", ".join(
        f"{name} is {_text(stands)} instead of {_text(written)}"
        for name, (stands, written) in values.items()
        if stands != written and ours.below(name) is not None
    )


def _text(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'
