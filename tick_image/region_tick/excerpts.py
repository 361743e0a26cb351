"""Cuts a long text to the parts that are wanted, and keeps a margin around each part.

A secret may begin or end outside of a part. The margin holds the rest of the secret, so that the secret is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    Span = tuple[int, int]
    """Where a part of a text begins and ends."""

MARGIN = 4096
"""How many characters around a part are kept."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A piece of a text, and the parts of the piece that are wanted."""

    text: str
    parts: tuple[Span, ...]


def excerpts(text: str, parts: Iterable[Span]) -> list[Excerpt]:
    """Return pieces of a text that hold the parts and their margins. Parts that are near each other are in one piece.

    The parts are in their order and do not overlap.
    """
    groups: list[list[Span]] = []
    for part in parts:
        if groups and part[0] - groups[-1][-1][1] <= 2 * MARGIN:
            groups[-1].append(part)
        else:
            groups.append([part])
    return [_excerpt(text, group) for group in groups]


def _excerpt(text: str, group: list[Span]) -> Excerpt:
    first = max(0, group[0][0] - MARGIN)
    return Excerpt(text[first : group[-1][1] + MARGIN], tuple((start - first, end - first) for start, end in group))
