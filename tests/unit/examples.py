"""Values that the unit tests of several modules need."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from region_operator.crd import Scheduler
from region_operator.region import Bbox, Region

PARIS = Region(
    source="public.region_index",
    id="5f0c6c0e-6d7b-4d0b-9f5a-0c7d0f6b7a11",
    code="FR-75",
    name="Paris",
    bbox=Bbox(Decimal("2.224122"), Decimal("48.815573"), Decimal("2.469921"), Decimal("48.902145")),
    cron_schedule="*/5 * * * *",
)


def scheduler(*, status: dict[str, Any] | None = None, **spec: Any) -> Scheduler:
    """Return RegionScheduler `default` with the given fields of spec, named as users write them."""
    return Scheduler.from_object(
        {
            "metadata": {"name": "default", "namespace": "region-tick", "uid": "b1d4", "generation": 3},
            "spec": spec,
            "status": status or {},
        }
    )
