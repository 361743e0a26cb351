"""The page of what a RegionScheduler says of itself, and why a CronJob is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs.generator.markdown import code, join, section, table, wrap
from docs.generator.source import Texts
from region_operator.kube import events
from region_operator.kube.events import EventReason
from region_operator.plan import changes, conditions
from region_operator.plan.changes import ChangeReason
from region_operator.plan.conditions import ConditionType, ReadyReason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum
    from types import ModuleType


def status_page() -> str:
    """Return the page without its head."""
    return join(
        section("Conditions", table(("condition", "meaning"), _rows(conditions, ConditionType))),
        section("Reasons of Ready", table(("reason", "meaning"), _rows(conditions, ReadyReason))),
        section(
            "Events",
            "Each Event is a Warning on the RegionScheduler, when something begins.",
            table(("reason", "meaning"), _rows(events, EventReason)),
        ),
        section(
            "Changes of CronJobs",
            wrap(
                "Why a CronJob is written or deleted: the event of the line in the log, and the label `reason` of"
                " `region_operator_cronjob_changes_total`."
            ),
            table(("reason", "meaning"), _rows(changes, ChangeReason)),
        ),
    )


def _rows(module: ModuleType, reasons: type[StrEnum]) -> Iterator[tuple[str, str]]:
    texts = Texts(module)
    for reason in reasons:
        yield code(reason), texts.of(reasons, reason.name)
