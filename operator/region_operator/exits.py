"""Reads the settings for a command, and ends a command with a message and an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn, TypeVar, overload

import click
from pydantic import ValidationError

from region_operator.settings import Settings

S = TypeVar("S", bound=Settings)


@overload
def read_settings(code: int = ...) -> Settings: ...
@overload
def read_settings(code: int = ..., *, kind: type[S]) -> S: ...
def read_settings(code: int = os.EX_CONFIG, *, kind: type[Settings] = Settings) -> Settings:
    """Return the settings of a kind, or end the process with `code` if the environment cannot be used."""
    try:
        return kind()
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors())
        give_up(code, f"the environment cannot be used: {problems}")


def give_up(code: int, message: str) -> NoReturn:
    """Print a message for people to stderr, and end the process with `code`."""
    click.echo(f"region-operator: {message}", err=True)
    sys.exit(code)
