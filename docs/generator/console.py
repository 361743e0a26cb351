"""The page of the console's JSON: its pages with their parameters, and the fields of each kind."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from docs.generator.markdown import code, codes, join, section, table, wrap
from docs.generator.source import Texts
from region_operator.console import region_views, request_views, routes, views
from region_operator.console.as_json import camel_case
from region_operator.console.lists import Filter, Sort
from region_operator.console.routes import PARAMETERS, Page
from region_tick.contract import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

_HIDDEN = (views.RequestContext,)
_ENUMS = (views.RegionState, views.Trouble, views.Source, views.ErrorReason)
_WORDS = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "datetime": "time",
    "None": "null",
    "Any": "any value",
}


def console_page() -> str:
    """Return the page without its head."""
    texts = Texts(routes)
    pages = ((code(page.value or "/"), texts.of(Page, page.name), codes(PARAMETERS[page])) for page in Page)
    filters = {
        "state (regions)": Filter,
        "state (ledger, ticks)": State,
        "sort": Sort,
    }
    return join(
        wrap(
            "`region-operator console` answers each page as JSON with `?format=json`, or with the header `Accept:"
            f" application/json`. Every answer has `apiVersion`, which is `{views.API_VERSION}`, and `kind`. Within v1"
            " fields are added, and none is renamed or taken away. Times are ISO 8601 in UTC, what is unknown is null,"
            " and no key is missing. A region's code in a path is percent-encoded. Times in parameters are ISO 8601, or"
            " how long ago, such as `90m`, `6h`, `7d`. With `errors=body` an error has the status 200, and its kind"
            " `Error` alone tells: `kubectl get --raw` drops the body of any other status."
        ),
        table(("path", "kind", "parameters"), pages),
        table(
            ("parameter", "values"),
            ((code(name), codes(member.value for member in kind)) for name, kind in filters.items()),
        ),
        *(section(kind.__name__, wrap(_about(kind)), table(("field", "type"), _fields(kind))) for kind in _kinds()),
        *(section(kind.__name__, wrap(_about(kind)), table(("value", "meaning"), _members(kind))) for kind in _ENUMS),
    )


def _kinds() -> Iterator[type[Any]]:
    for module in (views, region_views, request_views):
        for kind in vars(module).values():
            own = isinstance(kind, type) and kind.__module__ == module.__name__ and kind not in _HIDDEN
            if own and isinstance(kind, type) and is_dataclass(kind):
                yield kind


def _about(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())


def _fields(kind: type[Any]) -> Iterator[tuple[str, str]]:
    for field in fields(kind):
        yield code(camel_case(field.name)), describe(str(field.type))


def describe(annotation: str) -> str:
    """Say a field's type: "tuple[TickRow, ...]" as "list of TickRow", "float | None" as "number or null"."""
    if " | " in annotation and "[" not in annotation.partition(" | ")[0]:
        return " or ".join(map(describe, annotation.split(" | ")))
    name, bracket, inner = annotation.partition("[")
    if not bracket:
        return _WORDS.get(name, name)
    if annotation.endswith(" | None"):
        return f"{describe(annotation.removesuffix(' | None'))} or null"
    inner = inner.removesuffix("]")
    if name == "tuple":
        return f"list of {describe(inner.removesuffix(', ...'))}"
    return f"{describe(inner.rpartition(', ')[2])} by {describe(inner.partition(', ')[0])}"


def _members(kind: type[StrEnum]) -> Iterator[tuple[str, str]]:
    texts = Texts(sys.modules[kind.__module__])
    for member in kind:
        yield code(member.value), texts.of(kind, member.name)
