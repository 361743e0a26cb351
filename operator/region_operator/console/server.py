"""Serves the console by HTTP: reads only, sets no cookie, and lets a browser load nothing from elsewhere.

Authentication is Kubernetes' own: people reach the console through the API server, or by a port-forward. What a page
shows is left to `answers` and `region_answers`, how it looks to `pages`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from region_operator.console import answers, region_answers
from region_operator.console.as_json import as_json
from region_operator.console.cached import Cached, MadeOfLatest
from region_operator.console.metrics import REQUESTS
from region_operator.console.not_found import NotFoundError
from region_operator.console.pages import forecast_svg, render
from region_operator.console.parameters import BadParameterError, Parameters
from region_operator.console.problems import explain_problem
from region_operator.console.region_queries import read_revision
from region_operator.console.routes import PARAMETERS, Form, Page, Place, choose_form, find_page
from region_operator.console.sight import FRESH_PLAN_SECONDS, STALE_SECONDS
from region_operator.console.views import Error, ErrorReason, Forecast, Overview, RequestContext

if TYPE_CHECKING:
    from region_operator.console.region_views import View
    from region_operator.console.sight import Sight

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Accept, Accept-Encoding",
}
"""What every answer has. With no-referrer, no code of a region reaches another server by a link in an error's text."""

OVERVIEW_SECONDS, STALE_OVERVIEW_SECONDS = 1.0, 5.0
"""How old the overview may be, and how old while a newer one is under way: everybody has it open, and refreshes it."""

FOR_EVER = "public, max-age=31536000, immutable"
STATIC = Path(__file__).with_name("static")
LONG_PATH = 2000
"""How many bytes the path and the query of a request may have, as the command serves the console."""
IN_BODY = "body"
"""The value of the parameter `errors` that asks for status 200: `kubectl get --raw` drops the body of an error."""

_CONTENT_TYPES = {Form.HTML: "text/html", Form.JSON: "application/json", Form.SVG: "image/svg+xml"}


def make_app(sight: Sight) -> web.Application:
    """Return the application. The caller opens and closes `sight`."""
    console = _Console(sight)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", console.serve)
    return app


class _Console:
    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._overview = Cached(
            lambda: answers.overview(sight), fresh_seconds=OVERVIEW_SECONDS, stale_seconds=STALE_OVERVIEW_SECONDS
        )
        self._bodies: MadeOfLatest[bytes] = MadeOfLatest()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer any request. Every answer has HEADERS, and its time is counted by the status that it deserves."""
        began = time.monotonic()
        raw = request.raw_path.partition("?")[0]
        place = find_page(raw)
        if request.method not in ("GET", "HEAD"):
            response: web.StreamResponse = self._refuse_method(request, place)
        elif place is not None:
            response = await self._page(request, place)
        else:
            response = await self._other(request, raw.lstrip("/"))
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        page = place.page or "overview" if place else "other"
        REQUESTS.labels(page, str(response.status)).observe(time.monotonic() - began)
        if request.query.get("errors") == IN_BODY and response.content_type == _CONTENT_TYPES[Form.JSON]:
            response.set_status(HTTPStatus.OK)
        return response

    async def _page(self, request: web.Request, place: Place) -> web.Response:
        query = dict(request.query)
        form = choose_form(place.page, query, request.headers.get("Accept", ""))
        status = HTTPStatus.OK
        try:
            if form is None:
                allowed = "json or html" + ", or svg" * (place.page is Page.FORECAST)
                raise BadParameterError("format", query["format"], allowed)
            view: View = await self._answer(place, query, form)
        except Exception as error:
            view = explain_problem(error)
            status = view.reason.status
            if view.reason is ErrorReason.INTERNAL:
                log.exception("page failed", extra={"page": place.page.value})
            elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                log.warning("page failed", extra={"page": place.page.value, "error": str(error)})
        return self._respond(request, view, place, form or Form.HTML, status)

    async def _answer(self, place: Place, query: dict[str, str], form: Form) -> View:
        """Answer a page. Raises what `problems.explain_problem` explains."""
        parameters = Parameters(query, self._sight.now())
        parameters.expect(*PARAMETERS[place.page])
        sight = self._sight
        match place.page:
            case Page.OVERVIEW:
                return await self._overview.get()
            case Page.REGIONS:
                return await answers.regions(sight, parameters)
            case Page.LEDGER:
                return await answers.ledger(sight, parameters)
            case Page.NEXT:
                return await answers.coming(sight, parameters)
            case Page.PLAN:
                oldest = FRESH_PLAN_SECONDS if form is Form.JSON else STALE_SECONDS
                return await answers.plan(sight, oldest_seconds=oldest)
            case Page.FORECAST:
                return await answers.forecast(sight)
            case Page.REGION:
                return await region_answers.region(sight, place.code)
            case Page.TICKS:
                return await region_answers.ticks(sight, place.code, parameters)
            case Page.TICK:
                return await region_answers.tick(sight, place.code, place.tick_at, parameters)

    async def _other(self, request: web.Request, path: str) -> web.Response:
        """Answer what is no page: the probes, the metrics, and the files that the pages load."""
        match path.split("/"):
            case ["healthz"]:
                return web.Response(text="ok\n")
            case ["readyz"]:
                return await self._readiness()
            case ["metrics"]:
                return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
            case ["static", name] if name in _static_files():
                content = await asyncio.to_thread((STATIC / name).read_bytes)
                caching = FOR_EVER if "v" in request.query else "no-cache"
                kind = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}.get(Path(name).suffix)
                headers = {"Cache-Control": caching, "Content-Type": f"{kind or 'text/plain'}; charset=utf-8"}
                return _compressed(web.Response(body=content, headers=headers))
        known = ", ".join(page.value or "the overview" for page in Page)
        view = explain_problem(NotFoundError(f"there is no page {path[:80]!r}", f"there are {known}"))
        place = Place(Page.OVERVIEW, "../" * path.count("/"))
        form = choose_form(Page.OVERVIEW, request.query, request.headers.get("Accept", "")) or Form.HTML
        return self._respond(request, view, place, form, HTTPStatus.NOT_FOUND)

    async def _readiness(self) -> web.Response:
        """Say whether the database answers: without it, no page has anything to show."""
        try:
            async with self._sight.reader.reading() as connection:
                revision = await read_revision(connection)
        except Exception as error:
            problem = explain_problem(error)
            return web.Response(text=f"{problem.message}\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response(text=f"ok\nschema revision: {revision}\n")

    def _refuse_method(self, request: web.Request, place: Place | None) -> web.Response:
        view = Error(
            reason=ErrorReason.METHOD_NOT_ALLOWED,
            message=f"the console is read-only: {request.method[:20]} is not answered",
            remedy="use GET; `kubectl region` and kubectl make changes, with your own rights",
        )
        accept = request.headers.get("Accept", "")
        form = choose_form(Page.OVERVIEW, request.query, accept) or Form.HTML
        response = self._respond(request, view, place or Place(Page.OVERVIEW, ""), form, HTTPStatus.METHOD_NOT_ALLOWED)
        response.headers["Allow"] = "GET, HEAD"
        return response

    def _respond(self, request: web.Request, view: View, place: Place, form: Form, status: HTTPStatus) -> web.Response:
        """Return a view in a form. A picture of an error is none: it is answered as a page.

        All who look at the same overview get the same bytes. Its page differs by the parameters, which it repeats.
        """
        if form is Form.SVG and not isinstance(view, Forecast):
            form = Form.HTML
        kind = _CONTENT_TYPES[form]
        if isinstance(view, Overview) and (form is Form.JSON or request.query.keys() <= {"format"}):
            body = self._bodies.get(view, form, lambda: gzip.compress(self._text(request, view, place, form).encode()))
            response = web.Response(status=status, content_type=kind, charset="utf-8")
            return _with_packed(response, body, request)
        text = self._text(request, view, place, form)
        return _compressed(web.Response(text=text, status=status, content_type=kind, charset="utf-8"))

    def _text(self, request: web.Request, view: View, place: Place, form: Form) -> str:
        if form is Form.SVG and isinstance(view, Forecast):
            return forecast_svg(view)
        if form is Form.JSON:
            return json.dumps(as_json(view), ensure_ascii=False, separators=(",", ":"), default=str)
        path = "/".join(filter(None, (place.page.value.replace("{code}", place.code),)))
        context = RequestContext(
            namespace=self._sight.cluster.namespace,
            path=path.replace("{tickAt}", place.tick_at),
            root=place.root,
            query=dict(request.query),
        )
        return render(view, context)


def _with_packed(response: web.Response, body: bytes, request: web.Request) -> web.Response:
    """Give a response a body that is compressed already, as it is to whoever can unpack it."""
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response.body = body
        response.headers["Content-Encoding"] = "gzip"
    else:
        response.body = gzip.decompress(body)
    return response


def _compressed(response: web.Response) -> web.Response:
    response.enable_compression()
    return response


def _static_files() -> frozenset[str]:
    return frozenset(path.name for path in STATIC.iterdir()) if STATIC.is_dir() else frozenset()
