"""Finds the calls of loggers in source files, and which keys each line may have. Pure: from source to values.

The keys are read from what is given as `extra`: dictionaries, unions of dictionaries, names that the function binds or
gets from its callers, and what called functions return. A key or an event that cannot be read becomes UNREADABLE.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docs.generator.bindings import Function, Scope, Site, Value, arguments, bound, defaults

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UNREADABLE = "..."
LEVELS = ("debug", "info", "warning", "error", "critical")
EXCEPTION_KEYS = ("error", "traceback")
"""The keys that `region_tick.logs` adds to a line about an exception."""


@dataclass(frozen=True, slots=True)
class LogCall:
    """An event that a module logs, at a level, with the keys that the line may have."""

    event: str
    level: str
    keys: tuple[str, ...]
    module: str


class LogCalls:
    """The calls of loggers in some modules. `spelled` gives the events of an expression that stands for several."""

    def __init__(self, trees: Mapping[str, ast.Module], *, spelled: Mapping[str, Sequence[str]]) -> None:
        self._spelled = spelled
        self._functions: defaultdict[str, list[tuple[Function, Scope]]] = defaultdict(list)
        self._classes: dict[str, ast.ClassDef] = {}
        self._calls: list[tuple[ast.Call, Scope]] = []
        for module, tree in trees.items():
            self._index(tree, Scope(module))

    def all(self) -> Iterator[LogCall]:
        """Yield the calls, in the order of the modules; a call that may log several events counts for each."""
        for call, scope in self._calls:
            match call.func:
                case ast.Attribute(value=ast.Name(id="log") | ast.Attribute(attr="log" | "_log"), attr=method) if (
                    method in (*LEVELS, "exception", "log")
                ):
                    yield from self._read(call, method, scope)

    def common_keys(self) -> list[str]:
        """Return the keys that `logs.configure` gives to every line."""
        keys: dict[str, None] = {}
        for call, scope in self._calls:
            match call.func:
                case ast.Attribute(value=ast.Name(id="logs"), attr="configure"):
                    if given := _keyword(call, "keys"):
                        keys |= dict.fromkeys(self._keys(Value(given, scope)))
        return list(keys)

    def _index(self, node: ast.AST, scope: Scope) -> None:
        for child in ast.iter_child_nodes(node):
            inner = scope
            match child:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._functions[child.name].append((child, scope))
                    inner = Scope(scope.module, (*scope.functions, child))
                case ast.ClassDef():
                    self._classes[child.name] = child
                case ast.Call():
                    self._calls.append((child, scope))
            self._index(child, inner)

    def _read(self, call: ast.Call, method: str, scope: Scope) -> Iterator[LogCall]:
        given = list(call.args)
        level = given.pop(0) if method == "log" else None
        for event, site in self._events(given[0], scope):
            levels = [{"exception": "error"}.get(method, method)] if level is None else self._levels(level, scope, site)
            extra = _keyword(call, "extra")
            keys = dict.fromkeys(self._keys(Value(extra, scope)) if extra else ())
            if method == "exception" or self._has_exception(_keyword(call, "exc_info"), site):
                keys |= dict.fromkeys(EXCEPTION_KEYS)
            for name in levels:
                yield LogCall(event, name, tuple(keys), scope.module)

    def _events(self, expression: ast.expr, scope: Scope) -> Iterator[tuple[str, Site]]:
        match expression:
            case ast.Constant(value=str(event)):
                yield event, {}
            case ast.Name(id=name):
                for site in self._sites(expression, scope):
                    for event, _ in self._events(site[name].expression, site[name].scope):
                        yield event, site
            case _:
                for event in self._spelled.get(ast.unparse(expression), [UNREADABLE]):
                    yield event, {}

    def _levels(self, expression: ast.expr, scope: Scope, site: Site) -> list[str]:
        match expression:
            case ast.IfExp(body=body, orelse=otherwise):
                return [*self._levels(body, scope, site), *self._levels(otherwise, scope, site)]
            case ast.Attribute(value=ast.Name(id="logging"), attr=name):
                return [name.lower()]
            case ast.Name(id=name):
                values = [site[name]] if name in site else [found[name] for found in self._sites(expression, scope)]
                return [level for value in values for level in self._levels(value.expression, value.scope, {})]
        return [UNREADABLE]

    def _has_exception(self, expression: ast.expr | None, site: Site) -> bool:
        if isinstance(expression, ast.Name) and expression.id in site:
            expression = site[expression.id].expression
        return expression is not None and not (isinstance(expression, ast.Constant) and not expression.value)

    def _keys(self, value: Value, seen: frozenset[tuple[str, Scope]] = frozenset()) -> Iterator[str]:
        """Yield the keys that a dictionary may have."""
        parts: list[Value] = []
        match value.expression:
            case ast.Constant(value=None):
                pass
            case ast.Dict(keys=names, values=values):
                for name, item in zip(names, values, strict=True):
                    if name is None:
                        yield from self._keys(Value(item, value.scope), seen)
                    else:
                        yield (
                            name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else UNREADABLE
                        )
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                parts = [Value(left, value.scope), Value(right, value.scope)]
            case ast.IfExp(body=left, orelse=right):
                parts = [Value(left, value.scope), Value(right, value.scope)]
            case ast.NamedExpr(value=of) | ast.Await(value=of) | ast.Call(func=ast.Name(id="dict"), args=[of]):
                parts = [Value(of, value.scope)]
            case ast.Call(func=ast.Name(id="asdict"), args=[of]):
                yield from self._fields(Value(of, value.scope))
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                parts = self._returns(name, value.scope.module)
                if not parts:
                    yield UNREADABLE
            case ast.Name(id=name) as used:
                if (name, value.scope) in seen:
                    return
                seen |= {(name, value.scope)}
                parts = [site[name] for site in self._sites(used, value.scope)]
                if not parts:
                    yield UNREADABLE
            case _:
                yield UNREADABLE
        for part in parts:
            yield from self._keys(part, seen)

    def _fields(self, value: Value) -> Iterator[str]:
        """Yield the fields of a dataclass's object, by the return type of the function that made the object."""
        match value.expression:
            case ast.Name(id=name) as used:
                for site in self._sites(used, value.scope):
                    yield from self._fields(site[name])
            case ast.Await(value=of):
                yield from self._fields(Value(of, value.scope))
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                for function, _ in self._named(name, value.scope.module):
                    kind = function.returns.id if isinstance(function.returns, ast.Name) else ""
                    for field in self._classes[kind].body if kind in self._classes else ():
                        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                            yield field.target.id
            case _:
                yield UNREADABLE

    def _returns(self, name: str, module: str) -> list[Value]:
        return [
            Value(node.value, Scope(scope.module, (*scope.functions, function)))
            for function, scope in self._named(name, module)
            for node in ast.walk(function)
            if isinstance(node, ast.Return) and node.value
        ]

    def _named(self, name: str, module: str) -> list[tuple[Function, Scope]]:
        """Return the functions of a name: those of the module itself, or else those of all modules."""
        found = self._functions.get(name, [])
        return [(function, scope) for function, scope in found if scope.module == module] or found

    def _sites(self, used: ast.Name, scope: Scope) -> list[Site]:
        """Return where a name is bound before its use, in the innermost function that binds the name."""
        for depth in range(len(scope.functions), 0, -1):
            within = Scope(scope.module, scope.functions[:depth])
            function = scope.functions[depth - 1]
            before = (node for node in ast.walk(function) if getattr(node, "lineno", 0) <= used.lineno)
            sites = [site for node in before for site in bound(node, within)]
            sites += self._callers(function, scope.module)
            if found := [site for site in sites if used.id in site]:
                return found
        return []

    def _callers(self, function: Function, module: str) -> list[Site]:
        """Return what a function's parameters are, for each of its calls, in its own module where there is one."""
        calls = [(call, scope) for call, scope in self._calls if _called(call) == function.name]
        calls = [(call, scope) for call, scope in calls if scope.module == module] or calls
        return [defaults(function, Scope(module)) | arguments(function, call, scope) for call, scope in calls]


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
