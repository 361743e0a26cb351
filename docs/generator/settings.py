"""The page of the environment variables: of the operator, of a tick's pod, of the handler `poll`, of the worker."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from docs.generator.markdown import code, codes, join, section, table, wrap
from docs.generator.source import Texts
from region_operator import settings
from region_operator.console import settings as console_settings
from region_operator.console.settings import ConsoleSettings
from region_tick import contract, poll_settings
from region_tick.contract import VERSION, Variable
from region_tick.poll_settings import PollSettingError, PollSettings
from region_worker import settings as worker_settings
from region_worker.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic.fields import FieldInfo

_TYPES: Mapping[object, str] = {
    bool: "`true` or `false`",
    int: "whole number",
    str: "text",
    Path: "path",
    SecretStr: "text, secret",
}


def settings_page() -> str:
    """Return the page without its head."""
    return join(
        section(
            "The operator",
            "The operator's process reads these variables once, at its start.",
            table(("variable", "type", "default", "limits", "meaning"), _operator()),
        ),
        section(
            "The console",
            wrap(
                "The console reads `DATABASE_URL`, `DATABASE_URL_FILE`, `DATABASE_SECRET`, `POD_NAMESPACE`,"
                " `TICK_IMAGE`, `INSTALLATION` and `LOG_LEVEL` as the operator does, and this variable."
                " [`console.md`](../console.md) explains the console."
            ),
            table(("variable", "type", "default", "limits", "meaning"), _console()),
        ),
        section(
            "A tick's pod",
            wrap(
                "The operator writes these variables into each CronJob. A handler may read them; set them yourself only"
                " where you run the tick image by hand. Variables of your own come from `spec.tick.env` and `envFrom`."
            ),
            table(("variable", "meaning"), _tick()),
        ),
        section(
            "The handler `poll`",
            wrap(
                "A tick's pod gets these variables by `spec.tick.env` and `envFrom`, a worker's pod by its Deployment."
                " [`polling.md`](../polling.md) explains them."
            ),
            table(("variable", "default", "limits", "meaning"), _poll()),
        ),
        section(
            "The worker",
            wrap(
                "A worker also reads the variables of the handler `poll`. [`queue.md`](../queue.md) explains workers."
            ),
            table(("variable", "meaning"), _worker()),
        ),
    )


def _operator() -> Iterator[tuple[str, ...]]:
    return _rows(settings.Settings, Texts(settings), settings.Settings.model_fields)


def _console() -> Iterator[tuple[str, ...]]:
    own = [name for name in ConsoleSettings.model_fields if name not in settings.Settings.model_fields]
    return _rows(ConsoleSettings, Texts(console_settings), own)


def _rows(kind: type[settings.Settings], texts: Texts, names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    for name in names:
        field = kind.model_fields[name]
        variable = field.validation_alias if isinstance(field.validation_alias, str) else name.upper()
        meaning = texts.of(kind, name)
        yield code(variable), _type(field.annotation), _default(field), _limits(field), meaning


def _type(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + codes(get_args(annotation))
    [kind] = [part for part in get_args(annotation) or (annotation,) if part is not type(None)]
    return _TYPES[kind]


def _default(field: FieldInfo) -> str:
    if field.default in (None, PydanticUndefined):
        return ""
    text = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    return code(text.replace(VERSION, "VERSION"))


def _limits(field: FieldInfo) -> str:
    least = [f"at least {limit.ge}" for limit in field.metadata if isinstance(limit, Ge)]
    most = [f"at most {limit.le}" for limit in field.metadata if isinstance(limit, Le)]
    return ", ".join(least + most)


def _tick() -> Iterator[tuple[str, ...]]:
    texts = Texts(contract)
    for variable in Variable:
        yield code(variable), texts.of(Variable, variable.name)


def _poll() -> Iterator[tuple[str, ...]]:
    texts = Texts(poll_settings)
    variables = read_variables(PollSettings)
    for field in fields(PollSettings):
        default = "" if field.default in (None, MISSING, ()) else code(field.default)
        variable = variables[field.name]
        yield code(variable), default, _poll_limits(variable), texts.of(PollSettings, field.name)


def _poll_limits(variable: str) -> str:
    """Return what a message about a bad value says to write instead."""
    try:
        PollSettings.read({variable: "\N{SNOWMAN}"})
    except PollSettingError as error:
        return str(error).rpartition(": write ")[2] if ": write " in str(error) else ""
    return ""


def _worker() -> Iterator[tuple[str, ...]]:
    texts = Texts(worker_settings)
    for name, variable in read_variables(WorkerSettings).items():
        yield code(variable), texts.of(WorkerSettings, name)


def read_variables(settings_class: type[PollSettings | WorkerSettings]) -> dict[str, str]:
    """Return which variable each field is read from, by the helper calls in `read`: `_url(variables, "NAME")`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(settings_class.read)))
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.keyword(arg=str(name), value=value):
                for call in ast.walk(value):
                    match call:
                        case ast.Call(args=[ast.Name(id="variables"), ast.Constant(value=str(variable)), *_]):
                            found[name] = variable
    return found
