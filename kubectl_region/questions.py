"""Asks a person before something is changed."""

from __future__ import annotations

import sys

import click

from kubectl_region.errors import PluginError


def confirm(question: str) -> None:
    """Ask, and go on after a yes only. Raises click.Abort after a no, and PluginError if there is nobody to answer.

    The question is on stderr: a person who writes the output into a file sees it too.
    """
    try:
        is_yes = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise PluginError(f"nobody answered: {question}", "-y goes on without a question") from None
    if not is_yes:
        raise click.Abort
