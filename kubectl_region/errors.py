"""What ends a command: a message on stderr, perhaps with a remedy, and an exit code."""

from __future__ import annotations

import click


class PluginError(click.ClickException):
    """A command could not do what it should. `remedy` says what to do; "" if the message says all."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def show(self, file: object = None) -> None:
        """Print message and remedy, as kubectl prints its errors. `file` is click's, and not used."""
        del file
        click.echo(f"error: {self.message}", err=True)
        if self.remedy:
            click.echo(f"what to do: {self.remedy}", err=True)


class NotFoundError(PluginError):
    """There is no such region, tick or object."""
