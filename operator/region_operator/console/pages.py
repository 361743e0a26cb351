"""Renders a view as HTML: the same values as the JSON, for people."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

from region_operator.console.as_json import as_json

if TYPE_CHECKING:
    from region_operator.console.region_views import Forecast, View
    from region_operator.console.views import RequestContext


def render(view: View, context: RequestContext) -> str:
    """Return a page."""
    text = escape(json.dumps(as_json(view), indent=1, ensure_ascii=False))
    title = escape(f"{type(view).__name__} {context.path}")
    return (
        f'<!doctype html><html lang="en"><title>{title}</title><a href="{context.root or "./"}">overview</a><pre>{text}'
    )


def forecast_svg(view: Forecast) -> str:
    """Return the picture of a forecast."""
    return f'<svg xmlns="http://www.w3.org/2000/svg"><title>{escape(view.text)}</title></svg>'
