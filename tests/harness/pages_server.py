"""Serves pages that are made of values, as the console does: below a long path, with its Content-Security-Policy.

For tests in a browser that need no database and no cluster. A test may change what a page shows while it is looked at.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from region_operator.console.pages import STATIC, forecast_svg, render
from region_operator.console.request_views import Error
from region_operator.console.views import Forecast
from tests.harness.console_values import context_of
from tests.harness.in_thread import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager

    from region_operator.console.region_views import View

PREFIX = "/api/v1/namespaces/region-tick/services/http:region-tick-console:http/proxy/"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)


class Pages:
    """The pages by their path below PREFIX. `asked` are the paths that were asked for."""

    def __init__(self, views: dict[str, View]) -> None:
        self.views = views
        self.asked: list[str] = []
        self.broken = False
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.asked.append(path)
        view = self.views.get(path)
        if view is None or self.broken:
            return web.Response(status=503, text="away")
        if isinstance(view, Forecast) and request.query.get("format") == "svg":
            return web.Response(
                text=forecast_svg(view), content_type="image/svg+xml", headers={"Content-Security-Policy": POLICY}
            )
        page = render(view, context_of(path, **request.query))
        status = view.reason.status if isinstance(view, Error) else 200
        headers = {"Content-Security-Policy": POLICY}
        return web.Response(text=page, status=status, content_type="text/html", headers=headers)


def serve_pages(views: dict[str, View]) -> AbstractContextManager[Pages]:
    """Serve views on a port of 127.0.0.1, from a thread, for a `with` block."""
    return in_thread(_serve(Pages(views)))


@asynccontextmanager
async def _serve(pages: Pages) -> AsyncIterator[Pages]:
    app = web.Application()
    app.router.add_static(f"{PREFIX}static/", STATIC)
    app.router.add_get(f"{PREFIX}{{path:.*}}", pages.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    pages.url = f"http://{host}:{port}{PREFIX}"
    yield pages
    await runner.cleanup()
