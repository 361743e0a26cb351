"""The command `kubectl region`: which commands there are, and where each one is.

A command's module is imported when the command is called, because a plugin is started for each look: what is not
needed is not imported. So the table below has the first line of each command's help, too.

Exit codes: 0 done; 1 not done, and stderr says why; 2 a wrong command line; 74 the output has no room; 130 interrupted
by Ctrl-C. `diff` has those of kubectl diff: 0 no difference, 1 differences, more than 1 an error. `doctor` has 1 if a
check fails.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell has it."""
UNWRITTEN = 74
"""The exit code of an output that cannot be written: EX_IOERR of sysexits.h."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a disk says that is full or broken, or a limit. A broken pipe is none of them: click ends quietly then."""


class Place(NamedTuple):
    """Where a command is: `module:function`, and the first line of its help."""

    where: str
    help: str


COMMANDS = {
    "status": Place("status:status", "Show on one screen what is wrong, why, and what to do."),
    "list": Place("regions:list_regions", "List the regions."),
    "get": Place("regions:get", "Show all about one region."),
    "runs": Place("ticks:runs", "List the ticks of a region, the newest first."),
    "why": Place("ticks:why", "Say why a tick became what it is, step by step."),
    "next": Place("regions:next_ticks", "Say when regions tick next."),
    "logs": Place("jobs:logs", "Show the log of a tick."),
    "diff": Place("plans:diff", "Say what the operator would change now, and change nothing."),
    "approve": Place("plans:approve", "Approve what a guard holds."),
    "pause": Place("pauses:pause", "Stop regions until they are resumed."),
    "resume": Place("pauses:resume", "Let paused regions tick again."),
    "trigger": Place("jobs:trigger", "Run a region now, once, by hand."),
    "rerun": Place("rerun:rerun", "Run one tick again that did not succeed, and wait until it is done."),
    "backfill": Place("rerun:backfill", "Run all ticks of a time again that did not succeed, and wait for them."),
    "forecast": Place("forecasts:forecast", "Say whether the ticks of the next 24 hours fit."),
    "doctor": Place("doctor:doctor", "Check what the operator, the console and you need."),
    "completion": Place("completion:completion", "Print the program that completes words in your shell."),
    "version": Place("versions:version", "Print the versions of plugin, console, operator and schema."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command. Return None if there is none of that name."""
        del ctx
        return load(cmd_name) if cmd_name in COMMANDS else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and end the process as Ctrl-C ends kubectl's."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in COMMANDS.items()])


def load(name: str) -> click.Command:
    """Import the command of a name."""
    module, _, function = COMMANDS[name].where.partition(":")
    command: click.Command = getattr(import_module(f"kubectl_region.{module}"), function)
    return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """See and steer the regions of Region tick.

    What is known about regions and ticks comes from the console, by the API server and with your own rights. What
    changes something is done by kubectl, as you. Flags stand behind the command: kubectl region list -n NAMESPACE.
    """


def main() -> None:
    """Run the command of the command line. The output is UTF-8 whatever the locale, as kubectl's is."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    with output_with_room():
        group(prog_name="kubectl region")


@contextmanager
def output_with_room() -> Iterator[None]:
    """End the process with one line of error if what is printed within cannot be written."""
    try:
        try:
            yield
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except OSError as error:
        if not is_unwritten(error):
            raise
        with suppress(OSError):
            click.echo(f"error: the output cannot be written: {error.strerror}", err=True)
        os._exit(UNWRITTEN)  # an orderly exit would try to write once more, and complain in words of its own


def is_unwritten(error: Exception) -> bool:
    """Tell whether an error says that the output cannot be written. The plugin writes nothing else."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM
