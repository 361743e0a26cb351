"""How answers look: tables as kubectl's, JSON, YAML, and colours where a person looks on.

A text that is not the plugin's own goes through `printable` before it is shown: upstreams, rows and annotations have
words that would steer a terminal. JSON and YAML have them exactly.

A colour never says what the words do not. There is none if the output is no terminal, or NO_COLOR is set
to anything (no-color.org).
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

SHOWN = 20
"""How many things are named in one line."""
CODE_LIMIT = 80
"""How many characters of a code a table shows. Only a code that cannot tick has more."""
GAP = 3
"""How many blanks stand between two columns, as in kubectl's tables."""

_COLOURS = {
    **dict.fromkeys(("failed", "missed", "failing", "quarantined", "False", "FAIL"), "red"),
    **dict.fromkeys(("held", "late", "paused", "suspended", "skipped", "interrupted", "pending", "WARN"), "yellow"),
    **dict.fromkeys(("succeeded", "ticking", "True", "ok"), "green"),
    "running": "cyan",
}


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text as one line that a terminal shows and does not obey: what cannot be seen is an escape.

    `lines`: the text keeps its lines. Those below the first are indented, so that none looks like the plugin's own.
    """
    if lines:
        return "\n  ".join(map(printable, text.splitlines()))
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def cut(text: str, limit: int = CODE_LIMIT) -> str:
    """Return a text as `printable` has it, cut to as much as a line for people has room for."""
    text = printable(text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def printable_data(data: Any) -> Any:
    """Return a value of JSON with each text in it, keys too, as `printable` has it."""
    if isinstance(data, dict):
        return type(data)({printable_data(key): printable_data(value) for key, value in data.items()})
    if isinstance(data, list):
        return [printable_data(item) for item in data]
    return printable(data) if isinstance(data, str) else data


def list_some(names: Sequence[str], total: int) -> str:
    """Name as many of `total` things as a person reads in one line. `names` are all of them, or the first ones."""
    shown = names[:SHOWN]
    return ", ".join(shown) + (f" and {total - len(shown)} more" if total > len(shown) else "")


def paint(text: str) -> str:
    """Colour a word by what it means. The text may have blanks around it."""
    colour = _COLOURS.get(text.strip())
    return click.style(text, fg=colour) if colour and _in_colours() else text


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, painted: Collection[str] = ()) -> str:
    """Return columns below their headers, each cell printable. Columns of the headers in `painted` are coloured."""
    rows = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    return "\n".join(
        "".join(_pieces(line, widths, [header in painted and line is not headers for header in headers])).rstrip()
        for line in (headers, *rows)
    )


def _pieces(line: Sequence[str], widths: Sequence[int], painted: Sequence[bool]) -> Iterator[str]:
    for cell, width, is_painted in zip(line, widths, painted, strict=True):
        yield (paint(cell) if is_painted else cell) + " " * (width - len(cell) + GAP)


def print_data(data: object, form: str) -> None:
    """Print as json or yaml."""
    import json

    if form == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(as_yaml(data)))


def as_yaml(data: Any) -> Iterator[str]:
    """Yield the lines of a value of JSON as YAML. Every text is quoted as in JSON, which YAML reads as it is."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _entry(f"{_scalar(key)}:", value)
    elif isinstance(data, list) and data:
        for item in data:
            first, *others = as_yaml(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        yield _scalar(data)


def _entry(head: str, value: object) -> Iterator[str]:
    lines = list(as_yaml(value))
    if isinstance(value, (dict, list)) and value:
        yield head
        yield from (f"  {line}" for line in lines)
    else:
        yield f"{head} {lines[0]}"


def _scalar(value: object) -> str:
    """Write a value of one line. What YAML takes for something else, or does not take, is written in its own way."""
    import json

    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", text)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)


def gather(answers: Mapping[str, Any], *, everywhere: bool) -> Any:
    """Return the answers by namespace as one value for JSON: the only one as it is, several as a list."""
    if not everywhere:
        return next(iter(answers.values()))
    return {"kind": "List", "items": [{"namespace": namespace} | answer for namespace, answer in answers.items()]}


def warn(text: str) -> None:
    """Print a message on stderr."""
    click.echo(printable(text, lines=True), err=True)


def _in_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
