"""The page of the exit codes of the three programs."""

from __future__ import annotations

import ast
import os
from collections import defaultdict
from typing import TYPE_CHECKING

import region_worker.__main__ as worker
from docs.generator.log_events import OPERATOR, sources_of
from docs.generator.markdown import code, codes, join, section, table, wrap
from docs.generator.source import Texts
from region_operator import commands
from region_tick import contract
from region_tick.contract import PERMANENT, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator


def exit_codes_page() -> str:
    """Return the page without its head."""
    return join(
        "Exit codes are those of `sysexits.h`, where that has one.",
        section(
            "A tick",
            wrap(
                "Any other exit code, such as 137 of a process that was killed, is retried up to the Job's"
                " `backoffLimit`."
            ),
            table(("code", "name", "retried", "meaning"), _tick()),
        ),
        section(
            "The operator: by command",
            "A command or option that does not exist gives 64.",
            table(("command", "what it does", "exit codes"), _commands()),
        ),
        section(
            "The operator: by code",
            table(("code", "name", "set in"), _operator()),
        ),
        section("The worker", wrap(worker.__doc__ or "")),
    )


def _tick() -> Iterator[tuple[str, ...]]:
    texts = Texts(contract)
    for exit_code in ExitCode:
        retried = "no" if exit_code in (ExitCode.FINAL, *PERMANENT) else "yes"
        yield str(int(exit_code)), code(exit_code.name), retried, texts.of(ExitCode, exit_code.name)


def _commands() -> Iterator[tuple[str, ...]]:
    for name, command in commands.main.commands.items():
        paragraphs = [" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n")]
        about_codes = [text for text in paragraphs if "Exit code" in text]
        sentences = " ".join(about_codes).partition("Exit code")
        rest = " ".join([text for text in paragraphs if text not in about_codes] + [sentences[0]])
        yield code(f"region-operator {name}"), rest.strip(), sentences[2].strip()


def _operator() -> Iterator[tuple[str, ...]]:
    """Yield what the source names: `os.EX_USAGE` and the like, and the constants EX_* of `commands`."""
    ours = {name: value for name, value in vars(commands).items() if name.startswith("EX_")}
    used: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    for module, tree in sources_of(OPERATOR).items():
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id="os"), attr=name) if name.startswith("EX_"):
                    used[getattr(os, name), name].add(module)
                case ast.Name(id=name, ctx=ast.Load()) if name in ours:
                    used[ours[name], name].add(module)
    for (exit_code, name), modules in sorted(used.items()):
        yield str(exit_code), code(name), codes(sorted(modules))
