"""Makes the HTML page of a view, by the template of its kind. Pure: what a page says is in the view.

A template escapes all that it prints, and texts that people or programs wrote stand in an element of their own
(`bdi`), with their invisible characters made visible: so no text can be markup, nor turn around what stands beside it.
Pages have no script and no style of their own; `static` has one file of each.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from region_operator.console import time_words
from region_operator.console.forecast_picture import draw_forecast
from region_operator.console.heat_map import WORST_FIRST, draw_strip, legend_sample, say_row
from region_operator.console.page_links import link, same_page, tick_link
from region_operator.console.page_parts import parts_of
from region_operator.console.views import RegionState, Trouble
from region_operator.regions.row_values import printable
from region_tick.contract import Reason

if TYPE_CHECKING:
    from region_operator.console.region_views import View
    from region_operator.console.request_views import RequestContext
    from region_operator.console.views import Forecast

STATIC = Path(__file__).with_name("static")
"""The folder of the files beside the pages: the style sheet, the script, the icon. Their address is `static/NAME`."""
_TEMPLATES = Path(__file__).with_name("templates")
_SECTIONS = (("Overview", ""), ("Regions", "regions"), ("Ledger", "ledger"), ("Plan", "plan"), ("Forecast", "forecast"))
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_LONGEST = 2000
_LONGEST_ERROR = 20_000
_FILTERS = tuple(dict.fromkeys([*map(str, RegionState), *map(str, Trouble)]))


def render(view: View, context: RequestContext) -> str:
    """Return the page of a view, a whole HTML document."""
    kind = type(view).__name__
    template = _environment().get_template(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower() + ".html")
    return template.render(
        view=view,
        now=getattr(view, "now", None),
        root=context.root,
        path=context.path,
        query=context.query,
        section=context.path.partition("/")[0],
        link=partial(link, context),
        same_page=partial(same_page, context),
        tick_link=partial(tick_link, context),
        **parts_of(view, context),
    )


def forecast_svg(view: Forecast) -> str:
    """Return the picture of a forecast as a file, which takes the width that its page gives it."""
    return draw_forecast(view.forecast, file_width="100%")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "iso": time_words.iso,
        "time": time_words.say_time,
        "minute": time_words.say_minute,
        "distance": time_words.say_distance,
        "seconds": time_words.say_seconds,
        "count": "{:,}".format,
        "tenths": "{:.1f}".format,
        "shown": partial(printable, limit=_LONGEST),
        "cut": lambda text, limit: printable(text, limit=limit),
        "lines": _printable_lines,
        "with_code": _with_code,
        "with_times": _with_times,
        "sentence": lambda text: text[:1].upper() + text[1:],
    }
    environment.globals |= {
        "static": _static_address,
        "sections": _SECTIONS,
        "states": WORST_FIRST,
        "final_states": tuple(state for state in WORST_FIRST if state.final),
        "known_reasons": tuple(Reason),
        "region_filters": _FILTERS,
        "troubles": ",".join(Trouble),
        "draw_strip": draw_strip,
        "legend_sample": legend_sample,
        "say_row": say_row,
    }
    return environment


@cache
def _static_address(name: str) -> str:
    """Return the address of a file beside the pages, below the overview. Another content has another address."""
    return f"static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def _with_code(text: str) -> Markup:
    """Escape a text, and show as code what stands between two backticks."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped


def _with_times(text: str) -> Markup:
    """Escape a text, and mark the times in it, so that no line breaks within one."""
    marked = _TIME.sub(r'<time datetime="\g<0>">\g<0></time>', str(escape(text)))
    return Markup(marked)  # noqa: S704 - it is escaped


def _printable_lines(text: str) -> str:
    """Make a text of several lines fit for a page, such as a traceback."""
    return "\n".join(printable(line, limit=_LONGEST) for line in text[:_LONGEST_ERROR].splitlines())
