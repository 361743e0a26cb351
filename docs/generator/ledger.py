"""The page of the ledger: the states of a `job_run` row, and the reasons for a state."""

from __future__ import annotations

from docs.generator.markdown import code, join, section, table, wrap
from docs.generator.source import Texts
from region_tick import contract
from region_tick.contract import Reason, State


def ledger_page() -> str:
    """Return the page without its head."""
    texts = Texts(contract)
    states = ((code(state), "yes" if state.final else "no", texts.of(State, state.name)) for state in State)
    reasons = ((code(reason), texts.of(Reason, reason.name)) for reason in Reason)
    return join(
        wrap(
            "Each tick has a row in `region_tick.job_run`, with a state and a reason; [`tables.md`](tables.md) has the"
            " other columns. A tick whose state is final never runs again. The ticks of a suspended region share one"
            " row of `region_tick.suspension`. The view `region_tick.runs` shows both."
        ),
        section("States", table(("state", "final", "meaning"), states)),
        section(
            "Reasons",
            wrap(
                "A handler may give a success a reason of its own. What Kubernetes or the database kept a tick from is"
                " written by the operator."
            ),
            table(("reason", "meaning"), reasons),
        ),
    )
