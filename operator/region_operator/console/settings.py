"""Reads the console's settings from the environment: those of the operator that matter here, and its port."""

from __future__ import annotations

from pydantic import Field

from region_operator.settings import Settings


class ConsoleSettings(Settings):
    """The settings of the console. Raises pydantic.ValidationError, which names the variable."""

    console_port: int = Field(default=8080, ge=0, le=65535)
    """The port of the pages. 0: any free port, which the event `console` names."""
