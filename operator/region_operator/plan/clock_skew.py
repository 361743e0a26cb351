"""Says what a difference between the database's clock and the API server's does to ticks. Pure.

The CronJob controller starts ticks by the cluster's clock. Claims, leases and the ledger go by the database's clock. A
small difference is covered by the tolerance of a claim. A large one makes ticks late that are not, or the reverse.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from region_tick.contract import LATENESS_TOLERANCE_SECONDS

if TYPE_CHECKING:
    from region_operator.runtime.remote_clock import Skew

LIMIT_SECONDS = 10
"""A skew beyond this is reported. It uses up most of LATENESS_TOLERANCE_SECONDS."""

_UNITS = ((2 * 86_400, 86_400, "days"), (2 * 3600, 3600, "h"), (120, 60, "min"))
_DAY_SECONDS = 86_400
_REMEDY = "Set both clocks right, e.g. by NTP"


def explain_skew(skew: Skew | None) -> str:
    """Return what a skew does to ticks, for people. Return "" up to LIMIT_SECONDS, or if the skew is unknown.

    The skew is positive if the database's clock is ahead. The message changes only with the skew, not with its error.
    """
    if skew is None or skew.at_least <= LIMIT_SECONDS:
        return ""
    much, ahead = _in_words(abs(skew.seconds)), skew.seconds > 0
    what = f"the database's clock is {much} {'ahead of' if ahead else 'behind'} the API server's (± {_error(skew)} s)"
    if skew.at_least > _DAY_SECONDS:
        effect = "every tick counts as a manual run at the database's minute, and no scheduled tick is on record as run"
    elif ahead:
        effect = (
            f"a tick is skipped as late if it starts later than startDeadline + {LATENESS_TOLERANCE_SECONDS} s - {much}"
            " after its minute, and the ledger may record a tick as missed that would still start"
        )
    else:
        effect = f"a tick may start {much} later than its startDeadline allows, and is recorded as missed {much} later"
    return f"{what}: {effect}. {_REMEDY}"


def _error(skew: Skew) -> int:
    return max(1, math.ceil(skew.error))


def _in_words(seconds: float) -> str:
    for least, unit, name in _UNITS:
        if seconds >= least:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
