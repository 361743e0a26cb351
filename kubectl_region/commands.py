"""The command `kubectl region`: which commands there are, and where each one is.

A command's module is imported when the command is called, because a plugin is started for each look: what is not
needed is not imported. So the table below has the first line of each command's help, too.

Exit codes: 0 done; 1 not done, and stderr says why; 2 a wrong command line; 130 interrupted by Ctrl-C. `diff` has those
of kubectl diff: 0 no difference, 1 differences, more than 1 an error. `doctor` has 1 if a check fails.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any, NamedTuple

import click

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell has it."""


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
    group(prog_name="kubectl region")
