"""kubectl_region/commands.py: the list of commands, and what each has in common with the others."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from kubectl_region.commands import COMMANDS, group, load
from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

COMMON = {"--namespace", "--all-namespaces", "--context", "--kubeconfig", "--request-timeout"}
WITHOUT_CLUSTER = {"completion"}


def options(command: click.Command) -> AbstractSet[str]:
    return {text for param in command.params for text in param.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_has_the_first_line_of_each_help(name: str) -> None:
    command = load(name)
    assert (command.name, (command.help or "").splitlines()[0]) == (name, COMMANDS[name].help)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_CLUSTER])
def test_each_command_has_kubectls_own_options(name: str) -> None:
    assert options(load(name)) >= COMMON


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str) -> None:
    done = CliRunner().invoke(group, [name, "--help"])
    assert (done.exit_code, COMMANDS[name].help in done.output) == (0, True)
    assert all(param.help for param in load(name).params if isinstance(param, click.Option) and not param.hidden)


def test_the_list_of_commands_imports_none_of_them() -> None:
    code = (
        "import sys; from kubectl_region.commands import group;"
        "group(['--help'], standalone_mode=False);"
        "print([name for name in sys.modules if name.startswith('kubectl_region.')], 'subprocess' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "approve" in done.stdout
    assert done.stdout.splitlines()[-1] == "['kubectl_region.commands'] False"


def test_an_unknown_command_is_a_wrong_command_line() -> None:
    words = [sys.executable, "-m", "kubectl_region", "lsit"]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, "No such command 'lsit'" in done.stderr) == (2, True)
