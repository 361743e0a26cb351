"""What ends a command: a message on stderr, perhaps with a remedy, and an exit code."""

from __future__ import annotations

import click

from kubectl_region.output import warn


class PluginError(click.ClickException):
    """A command could not do what it should. `remedy` says what to do; "" if the message says all."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def show(self, file: object = None) -> None:
        """Print message and remedy, as kubectl prints its errors. `file` is click's, and not used."""
        del file
        warn(f"error: {self.message}")
        if self.remedy:
            warn(f"what to do: {self.remedy}")


class NotFoundError(PluginError):
    """There is no such region, tick or object."""
