"""What a page shows beside its view's values: pictures, commands, orders, totals. Pure, a function for each kind.

Commands are for a shell, so each value in a command is quoted. The console itself changes nothing.
"""

from __future__ import annotations

import shlex
from collections import Counter
from datetime import datetime, timedelta
from functools import singledispatch
from typing import TYPE_CHECKING, Any, TypeAlias

from markupsafe import Markup

from region_operator.console import region_views, views
from region_operator.console.drawing import Box, draw_boxes
from region_operator.console.duration_picture import draw_durations, say_durations
from region_operator.console.forecast_picture import draw_forecast, say_forecast
from region_operator.console.heat_map import AXIS_PARTS, draw_heat_map
from region_operator.console.page_links import link, same_page, tick_link
from region_operator.console.time_words import iso, say_seconds, say_time
from region_operator.console.views import RegionState
from region_operator.plan.conditions import HELD, ConditionType
from region_operator.regions.region import TEXT_LIMITS
from region_operator.regions.row_values import printable
from region_tick.contract import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from region_operator.console.request_views import RequestContext

Parts: TypeAlias = "dict[str, Any]"

SORTS = (
    ("", "by code"),
    ("trouble", "what needs a look first"),
    ("state", "by state"),
    ("name", "by name"),
    ("next", "the next tick first"),
    ("lastSuccess", "the oldest success first"),
    ("late", "the latest first"),
)
_SHOWN_AT_ONCE = 10
"""How many regions that need a look are seen at once. The others are a click away, so that the counts stay in sight."""
_MOST_CHANGES = 500
_WORST_MINUTES = 20
_TOLD = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.SUSPENDED, *HELD.values())
"""Conditions of which the headline, the banner or a hold tells."""
_SUSPENDED = "the operator suspends all regions at its next reconcile"
_STOPPED = (RegionState.PAUSED, RegionState.SUSPENDED, RegionState.INACTIVE)
_SPANS = (("3 hours", "3h"), ("24 hours", ""), ("3 days", "3d"), ("7 days", "7d"), ("30 days", "30d"))
_RARE = ("suspended", "pending")
_UNFORTUNATE = "failed, was missed or was skipped"
_BACKFILL = "backfill --from 24h --state missed,failed,skipped"
"""An outage of the database leaves skipped ticks too: of regions that found no slot, or whose tick before still waited.
Ticks that a suspension skipped are not among them.
"""
_ALARMS = {
    **dict.fromkeys(("failing", "quarantined"), "alarm"),
    **dict.fromkeys(("missed", "late", "held", "paused", "suspended"), "warn"),
}


@singledispatch
def parts_of(_view: object, _context: RequestContext) -> Parts:
    """Return what the template of a view's kind uses beside the view, by name."""
    return {}


@parts_of.register(views.Overview)
def _overview(view: views.Overview, _context: RequestContext) -> Parts:
    total = view.attention_total
    headline = f"{total:,} region{'s' * (total != 1)} need{'s' * (total == 1)} a look" if total else "All is well"
    if not total and (view.ready.status != "True" or view.scheduler.suspended):
        headline = "All regions are suspended" if view.scheduler.suspended else "Not ready"
    elif not total and (others := [each.type for each in view.conditions if each.type not in _TOLD]):
        headline = f"No region needs a look, but the RegionScheduler does: {', '.join(others)}"
    elif not total and not view.regions.active:
        headline = "No region is active"
    if view.ledger.standstill:
        headline = (
            f"{headline}, and the ledger stands still" if headline != "All is well" else "The ledger stands still"
        )
    tiles = [("active", "", view.regions.active, "")]
    for state in ("ticking", "failing", "missed", "late", "quarantined", "held", "paused", *_RARE):
        count = getattr(view.regions, state)
        if count or state not in _RARE:
            tiles.append((state, state, count, _ALARMS.get(state, "") if count else "none"))
    unfortunate = [each for each in view.ticks.by_reason if each.state not in (State.SUCCEEDED, State.RUNNING)]
    return {
        "headline": headline,
        "suspended": next(
            (each.message for each in view.conditions if each.type == ConditionType.SUSPENDED), _SUSPENDED
        ),
        "tiles": tiles,
        "reasons": sorted(unfortunate, key=lambda each: -each.ticks),
        "shown_at_once": _SHOWN_AT_ONCE,
    }


@parts_of.register(region_views.RegionList)
def _region_list(view: region_views.RegionList, context: RequestContext) -> Parts:
    def order(key: str, title: str) -> Markup:
        """Return a column's title, as a link that orders the list by the column."""
        mark = Markup(' aria-current="true"') if (context.query.get("sort") or "") == key else ""
        return Markup('<a href="{}"{}>{}</a>').format(same_page(context, sort=key, page=""), mark, title)

    commands = list(_bulk_commands([item.code for item in view.items if _is_plain(item.code)], context.namespace))
    return {"sorts": SORTS, "order": order, "stopped": _STOPPED, "commands": commands}


@parts_of.register(region_views.Ledger)
def _ledger(view: region_views.Ledger, context: RequestContext) -> Parts:
    given = {name: context.query.get(name) for name in ("state", "reason")}
    start, end = iso(view.from_), iso(view.until)
    links = [link(context, "regions", row.code, "ticks", since=start, before=end, **given) for row in view.rows]
    axis = [view.columns[part * len(view.columns) // AXIS_PARTS] for part in range(AXIS_PARTS)]
    format_ = "%H:%M" if axis[-1] - axis[0] < timedelta(days=1) else "%m-%d %H:%M"
    return {
        "picture": draw_heat_map([row.buckets for row in view.rows], links, columns=len(view.columns)),
        "axis": [f"{time:{format_}}" for time in axis],
        "spans": [(text, ago, {"from": ago, "until": ""}) for text, ago in _SPANS],
    }


@parts_of.register(region_views.Region)
def _region(view: region_views.Region, context: RequestContext) -> Parts:
    links = [tick_link(context, view.code, tick.tick_at, tick.manual_uid) for tick in view.ticks]
    return {
        "picture": draw_durations(view.ticks, links),
        "durations": say_durations(view.ticks),
        "commands": list(_commands_of(view, context.namespace)),
    }


@parts_of.register(region_views.Tick)
def _tick(view: region_views.Tick, _context: RequestContext) -> Parts:
    window = f"{_time(view.window_start)} to {_time(view.window_end)}" if view.window_end else ""
    counts = ", ".join(f"{name}: {value}" for name, value in (view.counts or {}).items())
    texts = {
        "Attempt": str(view.attempt),
        "Exit code": "" if view.exit_code is None else str(view.exit_code),
        "Started": _time(view.started_at),
        "Started after": _seconds(view.start_delay_seconds),
        "Finished": _time(view.finished_at),
        "Took": _seconds(view.duration_seconds),
        "Window": window,
        "Counts": counts,
        "Handler": view.handler,
        "Job": view.job_name,
        "Pod": view.pod,
        "Node": view.node,
        "Run by hand as": view.manual_uid,
    }
    return {"facts": [(name, printable(text, limit=2000)) for name, text in texts.items() if text]}


@parts_of.register(region_views.Plan)
def _plan(view: region_views.Plan, context: RequestContext) -> Parts:
    changes = view.plan["changes"]
    actions = Counter(change["action"] for change in changes)
    return {
        "changes": changes[:_MOST_CHANGES],
        "actions": actions.most_common(),
        "command": _command(context.namespace, "diff"),
    }


@parts_of.register(views.Forecast)
def _forecast(view: views.Forecast, _context: RequestContext) -> Parts:
    minutes = [minute for minute in view.forecast["minutes"] if minute["late"] or minute["lost"]]
    minutes.sort(key=lambda minute: (-minute["lost"], -minute["late"], -minute["due"]))
    worst = [{**minute, "at": datetime.fromisoformat(minute["at"])} for minute in minutes[:_WORST_MINUTES]]
    return {
        "picture": draw_forecast(view.forecast),
        "said": say_forecast(view.forecast),
        "worst": worst,
        "sample": _sample,
    }


def _bulk_commands(codes: Sequence[str], namespace: str) -> Iterator[tuple[str, str]]:
    """Yield the title and the text of what can be done with all regions of a page."""
    yield "Pause them", _command(namespace, "pause --reason '...'", codes)
    yield "Let them tick again", _command(namespace, "resume", codes)
    title = f"Show what {_UNFORTUNATE} in the last day; without --dry-run it runs again"
    yield title, _command(namespace, f"{_BACKFILL} --dry-run", codes)


def _commands_of(view: region_views.Region, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield the title and the text of what can be done with a region.

    Nothing, if its code is not plain, or if its row does not let it tick.
    """
    if not _is_plain(view.code) or view.state is RegionState.INACTIVE:
        return
    codes = [view.code]
    if view.state is RegionState.SUSPENDED:
        yield "Let all regions tick again", _command(namespace, "resume --all")
    if view.state is RegionState.PAUSED:
        yield "Let it tick again", _command(namespace, "resume", codes)
    else:
        yield "Pause it", _command(namespace, "pause --reason '...'", codes)
    yield "Run it now, and wait for the end", _command(namespace, "trigger --wait", codes)
    yield f"Run again what {_UNFORTUNATE} in the last day", _command(namespace, _BACKFILL, codes)


def _is_plain(code: str) -> bool:
    """Whether a code can be copied as it is seen, and is no longer than that of a CronJob."""
    return code.isprintable() and len(code) <= TEXT_LIMITS["code"]


def _command(namespace: str, words: str, codes: Sequence[str] = ()) -> str:
    """Return a command of the plugin. The codes stand behind `--`, because a code may begin like an option."""
    name, _, options = words.partition(" ")
    behind = ("--", *map(shlex.quote, codes)) if codes else ()
    return " ".join(filter(None, ("kubectl region", name, "-n", shlex.quote(namespace), options, *behind)))


def _sample(style: str) -> Markup:
    """Draw a bar of the forecast, for the legend."""
    gaps = [Box(0, y, 2, 1) for y in (2, 5, 8)] if style == "late" else []
    bar = draw_boxes(style, [Box(0, 0, 2, 10)])
    return Markup(
        '<svg class="sample" viewBox="0 0 2 10" preserveAspectRatio="none" aria-hidden="true">{}{}</svg>'
    ).format(bar, draw_boxes("gap", gaps))


def _time(time: datetime | None) -> str:
    return say_time(time) if time else ""


def _seconds(seconds: float | None) -> str:
    return say_seconds(seconds) if seconds is not None else ""
