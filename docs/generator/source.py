"""Reads texts that Python does not keep, from the source: the docstrings under attributes and constants."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

CHECKOUT = Path(__file__).parents[2]


class MissingTextError(Exception):
    """A thing has no text that says what the thing is; the message says where to write the text."""


class Texts:
    """The docstrings under the attributes of a module's classes, and under the module's constants."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._texts = read_texts(inspect.getsource(module))

    def of(self, owner: type | None, name: str) -> str:
        """Return the text of a class's attribute, or of a constant where `owner` is None. Raises MissingTextError."""
        scope = owner.__name__ if owner else ""
        text = self._texts.get(scope, {}).get(name)
        if not text:
            raise MissingTextError(
                f"{path_of(self._module)}: {'.'.join(filter(None, (scope, name)))} has no text for docs/reference:"
                " write a docstring on the line below the name, then run make reference"
            )
        return text


def read_texts(source: str) -> Mapping[str, Mapping[str, str]]:
    """Return the docstrings by class and attribute; the class of a constant is "". A text is one line."""
    texts: defaultdict[str, dict[str, str]] = defaultdict(dict)
    tree = ast.parse(source)
    scopes: list[tuple[str, Sequence[ast.stmt]]] = [("", tree.body)]
    scopes += [(node.name, node.body) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for scope, body in scopes:
        for statement, following in pairwise(body):
            match following:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    texts[scope].update((name, " ".join(text.split())) for name in _names(statement))
    return texts


def constants(module: ModuleType, *suffixes: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a module's own constants whose names end so, as they stand in the source."""
    for statement in ast.parse(inspect.getsource(module)).body:
        for name in _names(statement):
            if name.endswith(suffixes):
                yield name, getattr(module, name)


def path_of(module: ModuleType) -> str:
    """Return a module's file, from the checkout on."""
    return str(Path(inspect.getfile(module)).relative_to(CHECKOUT))


def summary(text: str) -> str:
    """Return how a docstring begins: up to the first mark that ends a clause."""
    line = " ".join(text.split())
    ends = [place for mark in (". ", ": ", "; ") if (place := line.find(mark)) >= 0]
    return line[: min(ends)] if ends else line.removesuffix(".")


def _names(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.Assign(targets=targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
