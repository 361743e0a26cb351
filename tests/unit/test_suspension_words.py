"""All texts for people: two fields suspend all regions, so a text that names one of them as the cause names the other.

Who reads of spec.suspend alone sets it to false, and nothing happens while a moment stands in spec.suspendUntil.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CODE = ("operator/region_operator", "kubectl_region", "tick_image/region_tick")
ONE_FIELD = re.compile(r"(?<!set )(?<!sets )(?<!until )spec\.suspend\b")
"""The field as a cause. Where a text says to set the field, the other field need not be named."""


def texts_of_pages() -> Iterator[tuple[str, str]]:
    """Yield the paragraphs, list items and rows of tables of all pages that people write."""
    for path in CHECKOUT.glob("docs/*.md"):
        yield from ((path.name, text) for text in re.split(r"\n\n|\n(?=[|-])", path.read_text()))


def texts_of_code() -> Iterator[tuple[str, str]]:
    """Yield all texts with a space, docstrings too: many are in docs/reference."""
    for folder in CODE:
        for path in (CHECKOUT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                    yield path.name, node.value


@pytest.mark.parametrize("texts", [texts_of_pages, texts_of_code])
def test_what_suspends_all_regions_is_one_of_two_fields(texts: Callable[[], Iterator[tuple[str, str]]]) -> None:
    found = [(name, " ".join(text.replace("`", "").split())) for name, text in texts()]
    assert any("suspendUntil" in text for _, text in found), "the texts are read"
    assert [(name, text) for name, text in found if ONE_FIELD.search(text) and "suspendUntil" not in text] == []
