"""The picture of the operator's packages, from the layers that import-linter checks."""

from __future__ import annotations

import ast
import textwrap
import tomllib
from typing import TYPE_CHECKING

from docs.generator.markdown import WIDTH, wrap
from docs.generator.source import CHECKOUT, summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = "region_operator"
BEGIN = "<!-- packages: begin (make reference) -->"
END = "<!-- packages: end -->"
_LEGEND = wrap(
    "Lines with a `|` are the layers inside a package. Modules of one such line, and packages beside each other, import"
    " nothing of each other."
)


def packages_picture() -> str:
    """Return the picture: a line may import the lines below it, in the whole and inside each package."""
    layers = _read_layers()
    return "\n".join(("```text", *draw(layers), "```", "", _LEGEND))


def fill_markers(page: str, picture: str) -> str | None:
    """Return a page with the picture between its markers; None for a page without markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{picture}\n{end}{after}" if begin and end else None


def draw(layers: dict[str, Sequence[Sequence[str]]]) -> Iterator[str]:
    """Yield the lines of the picture: the layers of the root, each with its package's own layers beside it."""
    names = [name for layer in layers[ROOT] for name in layer]
    width = max(map(len, names)) + 3
    for layer in layers[ROOT]:
        for name in layer:
            beside = f" (beside {layer[0]}, not below)" if name != layer[0] else ""
            yield from textwrap.wrap(f"{name:{width}}{_subject(name)}{beside}", WIDTH, subsequent_indent=" " * width)
            for inner in layers.get(f"{ROOT}.{name}", ()):
                yield " " * width + "| " + ", ".join(inner)


def _read_layers() -> dict[str, Sequence[Sequence[str]]]:
    """Return the layers by container; modules of one layer know nothing of each other."""
    pyproject = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    return {
        container: [layer.split(" | ") for layer in contract["layers"]]
        for contract in contracts
        if contract["type"] == "layers"
        for container in contract["containers"]
    }


def _subject(name: str) -> str:
    path = CHECKOUT / "operator" / ROOT / name
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return summary(ast.get_docstring(ast.parse(file.read_text())) or "")
