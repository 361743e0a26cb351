"""Asks a person before something is changed."""

from __future__ import annotations

import sys

import click

from kubectl_region.errors import PluginError


def confirm(question: str) -> None:
    """Ask, and go on after a yes only. Raises click.Abort after a no, and PluginError if there is nobody to answer.

    The question is on stderr, as what it is about has to be: a person who writes the output into a file sees it too.
    Raises KeyboardInterrupt after Ctrl-C, of which click makes the same as of the end of the input.
    """
    try:
        is_yes = click.confirm(question, err=True)
    except click.Abort as error:
        is_interrupted = isinstance(error.__context__, KeyboardInterrupt)
        if sys.stdin.isatty() and not is_interrupted:
            raise
        click.echo(err=True)
        if is_interrupted:
            raise KeyboardInterrupt from None
        raise PluginError(f"nobody answered: {question}", "-y goes on without a question") from None
    if not is_yes:
        raise click.Abort
