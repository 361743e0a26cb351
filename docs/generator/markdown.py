"""Pieces of Markdown: tables, code and wrapped text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH = 100
"""The longest line of a paragraph. A row of a table is one line, however long."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a row's texts are escaped and put on one line."""
    lines = [head, ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def code(text: object) -> str:
    """Return a text as code; nothing for an empty text."""
    return f"`{text}`" if str(text) else ""


def codes(texts: Iterable[object]) -> str:
    """Return texts as code, with commas between."""
    return ", ".join(code(text) for text in texts)


def wrap(text: str) -> str:
    """Return a paragraph in short lines; links and code are never broken inside a word."""
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def section(title: str, *parts: str) -> str:
    """Return a section with its heading of the second level."""
    return join(f"## {title}", *parts)


def join(*parts: str) -> str:
    """Return the parts that are not empty, with an empty line between."""
    return "\n\n".join(part.strip("\n") for part in parts if part)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
