"""The page of the log's events: what each program logs, at which level, with which keys, and where in the code."""

from __future__ import annotations

import ast
from collections import defaultdict
from typing import TYPE_CHECKING

from docs.generator.log_calls import LEVELS, LogCall, LogCalls
from docs.generator.markdown import code, codes, join, section, table, wrap
from docs.generator.source import CHECKOUT
from region_operator.plan.changes import ChangeReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

OPERATOR, TICK, WORKER = "operator/region_operator", "tick_image/region_tick", "tick_image/region_worker"
_SPELLED = {"change.reason": [*ChangeReason]}


def log_events_page() -> str:
    """Return the page without its head."""
    return join(
        wrap(
            "A line of the log is one JSON object with the keys `ts`, `level` and `event`, then keys of the event. A"
            " line leaves out a key that does not fit the case. The tables show every key that a line may have."
        ),
        _section("The operator", OPERATOR),
        _section("A tick", TICK, "The worker logs the events of `poller` too."),
        _section("The worker", WORKER),
    )


def sources_of(folder: str) -> Mapping[str, ast.Module]:
    """Return the syntax trees of a package's modules, by dotted name without the package's own."""
    root = CHECKOUT / folder
    paths = sorted(path.relative_to(root).with_suffix("") for path in root.rglob("*.py"))
    return {".".join(path.parts): ast.parse((root / path).with_suffix(".py").read_text()) for path in paths}


def _section(title: str, folder: str, note: str = "") -> str:
    calls = LogCalls(sources_of(folder), spelled=_SPELLED)
    common = calls.common_keys()
    every = f"Every line has these keys too, as soon as they are known: {codes(common)}." if common else ""
    return section(title, wrap(f"{every} {note}"), table(("event", "level", "keys", "module"), _rows(calls.all())))


def _rows(calls: Iterable[LogCall]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each event of a module, with the levels and keys of all its calls."""
    events: defaultdict[tuple[str, str], list[LogCall]] = defaultdict(list)
    for call in calls:
        events[call.event, call.module].append(call)
    for (event, module), same in sorted(events.items()):
        levels = sorted({call.level for call in same}, key=LEVELS.index)
        keys = dict.fromkeys(key for call in same for key in call.keys)
        yield code(event), ", ".join(levels), codes(keys), code(module.removesuffix(".__init__"))
