"""Decides which regions may tick far more often: the guard against a mistake that multiplies the ticks of many. Pure.

| the plan lets regions tick more than ten times more often | outcome                                            |
|------------------------------------------------------------|----------------------------------------------------|
| at most as many as may stop                                | allowed                                            |
| more, and all ticks of the table fit                       | allowed                                            |
| more, and ticks would be lost                              | held until they fit, or a person approves          |
| any, while a hold lasts and ticks would be lost            | held: the speedup joins the hold                   |

Whether ticks would be lost is the forecast of the table as it is wanted, and left to `forecast`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from region_operator.plan.changes import Guarded
from region_operator.plan.guard_memory import NONE, RegionKeys, put, update_hold

if TYPE_CHECKING:
    from datetime import datetime

    from region_operator.plan.changes import Plan
    from region_operator.plan.deletion_guard import Decision

KIND = Guarded.SPEEDUP


def needs_forecast(decision: Decision) -> bool:
    """Tell whether a decision depends on the forecast: many speedups, or some that are held or approved."""
    state = decision.state
    return KIND in state.holds or KIND in state.approved or len(_asked(decision.plan)) > decision.allowance


def guard_speedups(decision: Decision, *, overcommitted: bool, approval: str, now: datetime) -> Decision:
    """Decide on the speedups of a decision's plan. `overcommitted` says that ticks of the wanted table will be lost."""
    plan, state = decision.plan, decision.state
    asked = _asked(plan)
    approved = state.is_approved(KIND, approval) & asked
    unapproved = asked - approved
    hold = state.holds.get(KIND)
    named = hold.regions & unapproved if hold else NONE
    held = unapproved if overcommitted and (named or len(unapproved) > decision.allowance) else NONE
    hold = update_hold(hold if named else None, held, KIND, now.replace(microsecond=0))
    changes = tuple(write for write in plan.writes if write.guarded is KIND and write.key in held)
    writes = tuple(write for write in plan.writes if write.guarded is not KIND or write.key not in held)
    return replace(
        decision,
        plan=replace(plan, writes=(*writes, *(change.replacement for change in changes if change.replacement))),
        held=(*decision.held, *changes),
        state=replace(state, holds=put(state.holds, KIND, hold), approved=put(state.approved, KIND, approved)),
    )


def _asked(plan: Plan) -> RegionKeys:
    return frozenset(write.key for write in plan.writes if write.guarded is KIND)
