"""Where the names in a function get their values: from assignments, or from the calls of the function. Pure."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression stands: the functions around the expression, outermost first."""

    module: str
    functions: tuple[Function, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """An expression, where it stands."""

    expression: ast.expr
    scope: Scope


Site = dict[str, Value]
"""Names that are bound together: by one assignment, or by one call of the function that has them as parameters."""


def bound(node: ast.AST, scope: Scope) -> Iterator[Site]:
    """Yield the names that a statement or `:=` binds. What is added to a dictionary counts as one more value."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            yield {
                target.id: Value(value, scope)
                for target, value in zip(targets, values, strict=False)
                if isinstance(target, ast.Name)
            }
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name), slice=key)], value=value):
            yield {name: Value(ast.Dict(keys=[key], values=[value]), scope)}
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            | ast.AugAssign(target=ast.Name(id=name), value=ast.expr() as value)
            | ast.NamedExpr(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            yield {name: Value(value, scope)}


def arguments(function: Function, call: ast.Call, scope: Scope) -> Site:
    """Return the parameters of a function as a call gives them."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    positional = zip([name for name in names if name not in ("self", "cls")], call.args, strict=False)
    given = [*positional, *((keyword.arg, keyword.value) for keyword in call.keywords)]
    return {name: Value(value, scope) for name, value in given if name}


def defaults(function: Function, scope: Scope) -> Site:
    """Return the defaults of a function's parameters."""
    spec = function.args
    positional = [argument.arg for argument in (*spec.posonlyargs, *spec.args)]
    named = [
        *zip(positional[::-1], spec.defaults[::-1], strict=False),
        *zip([argument.arg for argument in spec.kwonlyargs], spec.kw_defaults, strict=True),
    ]
    return {name: Value(default, scope) for name, default in named if default}
