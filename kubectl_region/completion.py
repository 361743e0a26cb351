"""Completes words in a shell: commands, options, and the codes of regions.

kubectl starts the program `kubectl_complete-region` with the words of the command line, and reads a word and its
description on each line, and a directive on the last (cobra, ShellCompDirectiveNoFileComp). A completion that fails
prints nothing: a shell is no place for errors.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from kubectl_region.cluster import Cluster
from kubectl_region.commands import COMMANDS, load, output_with_room
from kubectl_region.console import Console
from kubectl_region.errors import PluginError
from kubectl_region.holds import KINDS
from kubectl_region.kubectl import Kubectl
from kubectl_region.output import printable
from region_tick.contract import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NO_FILES = ":4"
LIMIT_SECONDS = 5
STATES = {
    "list": (
        *("ticking", "paused", "suspended", "quarantined", "held", "pending", "inactive"),
        "failing",
        "missed",
        "late",
    ),
    "runs": tuple(State),
}
"""What --state may name: of regions, and of ticks."""
PROGRAM = "kubectl_complete-region"
SCRIPT = f"""\
#!/bin/sh
# Save this as {PROGRAM}, executable, in a folder of your PATH; kubectl's own completion starts it.
exec kubectl-region completion --words -- "$@"
"""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--words", "complete", is_flag=True, hidden=True)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def completion(complete: bool, words: tuple[str, ...]) -> None:
    """Print the program that completes words in your shell.

    pip has installed that program already, beside kubectl-region. It works where kubectl's own completion does:
    source <(kubectl completion bash).
    """
    click.echo("\n".join(answer(words)) if complete else SCRIPT, nl=complete)


def main() -> None:
    """Run the program `kubectl_complete-region`."""
    with output_with_room():
        print("\n".join(answer(sys.argv[1:])))


def answer(words: Sequence[str]) -> Iterator[str]:
    """Yield what kubectl reads for the words of a command line. The last word may be unfinished."""
    *before, last = words or [""]
    try:
        found = list(_complete(before, last))
    except PluginError:
        found = []
    shown = [(printable(word), printable(text)) for word, text in found]
    yield from (f"{word}\t{text}".rstrip() for word, text in shown if word.startswith(printable(last)))
    yield NO_FILES


def _complete(before: Sequence[str], last: str) -> Iterator[tuple[str, str]]:
    """Yield words that may follow, with their descriptions."""
    name = next((word for word in before if word in COMMANDS), None)
    if name is None:
        yield from ((name, place.help) for name, place in COMMANDS.items())
        return
    command = load(name)
    options = {text: param for param in command.params if isinstance(param, click.Option) for text in param.opts}
    asked = options.get(before[-1])
    if asked and not asked.is_flag:
        states = STATES.get(name, ()) if before[-1] == "--state" else ()
        choices = asked.type.choices if isinstance(asked.type, click.Choice) else states
        yield from ((str(choice), "") for choice in choices)
    elif last.startswith("-"):
        yield from ((text, param.help or "") for text, param in options.items() if text.startswith("--"))
    else:
        argument = next((param for param in command.params if isinstance(param, click.Argument)), None)
        if argument and argument.name == "kind":
            yield from ((kind, "") for kind in KINDS)
        elif argument and (argument.nargs == -1 or not _has_positional(before[before.index(name) + 1 :], options)):
            yield from _codes(cluster_of(before), last)


def _has_positional(words: Sequence[str], options: dict[str, click.Option]) -> bool:
    """Whether the words after a command hold an argument already."""
    takes_value = [bool(word in options and not options[word].is_flag) for word in words]
    return any(not word.startswith("-") and not (index and takes_value[index - 1]) for index, word in enumerate(words))


def cluster_of(words: Sequence[str]) -> Cluster:
    """Return the cluster that the words of a command line name."""
    values = {}
    for word, value in zip(words, [*words[1:], ""], strict=True):
        name, equals, inline = word.partition("=")
        values[name] = inline if equals else value
    flags = [f"{name}={values[name]}" for name in ("--context", "--kubeconfig") if name in values]
    kubectl = Kubectl((*flags, f"--request-timeout={LIMIT_SECONDS}s"), LIMIT_SECONDS)
    return Cluster(kubectl, values.get("-n") or values.get("--namespace"))


def _codes(cluster: Cluster, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield codes of regions: of the console, which has them by prefix, or else of the CronJobs."""
    try:
        regions = Console(cluster, cluster.namespaces[0]).get("regions", code=prefix)["items"]
        yield from ((region["code"], region["name"]) for region in regions)
    except PluginError:
        yield from ((cronjob.code, "") for cronjob in cluster.cronjobs())
