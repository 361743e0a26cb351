"""The page of the ledger: the states of a `job_run` row, and the reasons for a state, with what to do about each."""

from __future__ import annotations

from docs.generator.markdown import code, join, section, table, wrap
from docs.generator.source import Texts
from region_operator.console.reasons import REASONS
from region_tick import contract
from region_tick.contract import State


def ledger_page() -> str:
    """Return the page without its head."""
    texts = Texts(contract)
    states = ((code(state), "yes" if state.final else "no", texts.of(State, state.name)) for state in State)
    reasons = ((code(reason), each.meaning, each.remedy or "Nothing.") for reason, each in REASONS.items())
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
                "A handler may give a success a reason of its own. The operator writes the row of a tick that"
                " Kubernetes or the database kept from writing its own. `kubectl region why CODE TICK` and the console"
                " say the same of a tick, with what was seen of it."
            ),
            table(("reason", "meaning", "what to do"), reasons),
        ),
    )
