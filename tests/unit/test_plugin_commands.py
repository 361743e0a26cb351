"""kubectl_region/commands.py: the list of commands, and what each has in common with the others."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from kubectl_region.commands import COMMANDS, group, load
from tests.harness.operator_process import CHECKOUT
from tests.harness.signals import heeded
from tests.harness.waiting import eventually
from tests.unit.plugin import ConsoleServer, console_server, write_kubectl
from tests.unit.plugin_answers import overview, plan, region, region_list, region_row, tick, tick_list, tick_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

FULL_DISK = "error: the output cannot be written: No space left on device"
COMMON = {"--namespace", "--all-namespaces", "--context", "--kubeconfig", "--request-timeout"}
WITHOUT_CLUSTER = {"completion"}


def run_plugin(*words: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run the plugin as a process, as kubectl does."""
    command = [sys.executable, "-m", "kubectl_region", *words]
    return subprocess.run(command, cwd=CHECKOUT, text=True, check=False, timeout=60, **how)


def options(command: click.Command) -> AbstractSet[str]:
    return {text for param in command.params for text in param.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_has_the_first_line_of_each_help(name: str) -> None:
    command = load(name)
    assert (command.name, (command.help or "").splitlines()[0]) == (name, COMMANDS[name].help)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_CLUSTER])
def test_each_command_has_kubectls_own_options(name: str) -> None:
    assert options(load(name)) >= COMMON


def test_each_command_that_the_pages_have_people_copy_is_one() -> None:
    """A word in capitals stands for what the reader knows: the plugin is not asked what it is."""
    pages = [page.read_text() for page in (*CHECKOUT.glob("docs/*.md"), *CHECKOUT.glob("docs/runbooks/*.md"))]
    blocks = {line for page in pages for line in re.findall(r"^ {4,}kubectl region (.*)$", page, re.MULTILINE)}
    inline = {line for page in pages for line in re.findall(r"`kubectl\s+region\s+([^`]*)`", page)}
    assert len(blocks) > 20
    assert len(inline) > 10
    for line in blocks | inline:
        words = shlex.split(line.replace("...", ""), comments=True)
        name, *arguments = words[: next((place for place, word in enumerate(words) if word in "|>"), None)]
        try:
            load(name).make_context(name, arguments, resilient_parsing=not arguments)
        except click.ClickException as error:
            if isinstance(error, click.MissingParameter) and line in inline:
                continue  # a sentence names what it is about, and no more
            pytest.fail(f"kubectl region {line}: {error.format_message()}")


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


def test_a_command_that_is_interrupted_has_the_exit_code_of_a_shell(tmp_path: Path) -> None:
    path = write_kubectl(tmp_path, f"touch {tmp_path}/called; exec sleep 60")
    words = [sys.executable, "-m", "kubectl_region", "list", "-n", "x"]
    with heeded(signal.SIGINT):
        process = subprocess.Popen(words, cwd=CHECKOUT, env={"PATH": path}, stderr=subprocess.PIPE, text=True)
    eventually((tmp_path / "called").exists, what="kubectl runs")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1] == "interrupted\n"
    assert process.returncode == 130


def test_output_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    path = write_kubectl(tmp_path, 'echo \'{"items": [], "apiVersion": "☃", "pages": 1}\'')
    words = [sys.executable, "-m", "kubectl_region", "list", "-n", "x", "-o", "json"]
    environment = {"PATH": path, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout)["apiVersion"] == "☃"


FULL = Path("/dev/full")
"""A disk that has no room."""


@pytest.fixture
def full_answers(tmp_path: Path) -> Iterator[ConsoleServer]:
    with console_server(tmp_path) as server:
        server.answer("", overview())
        server.answer("regions", region_list(region_row()))
        server.answer("regions/FR-75", region())
        server.answer("regions/FR-75/ticks", tick_list(tick_row()))
        server.answer("regions/FR-75/ticks/2026-11-30T00:05:00Z", tick())
        server.answer("plan", plan())
        yield server


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "list -o json",
        "list -o yaml",
        "list -o name",
        "status",
        "get FR-75 -o yaml",
        "runs FR-75",
        "why FR-75 00:05",
        "diff",
        "diff -o json",
        "doctor",
        "version",
        "completion",
        "--help",
        "list --help",
    ],
)
@pytest.mark.parametrize("buffering", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_full_disk_is_an_error_in_one_line(full_answers: ConsoleServer, command: str, buffering: str) -> None:
    name, *others = command.split()
    where = [] if "-" in name or name in WITHOUT_CLUSTER else ["-n", "region-tick"]
    environment = full_answers.env | {"PYTHONUNBUFFERED": buffering}
    with FULL.open("w") as full:
        done = run_plugin(name, *others, *where, env=environment, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (74, [FULL_DISK]), done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_keeps_an_error_from_nobody_but_its_words(full_answers: ConsoleServer) -> None:
    """Errors may go where the output goes."""
    for name in ("list", "diff", "get nobody"):
        with FULL.open("w") as full:
            done = run_plugin(*name.split(), "-n", "region-tick", env=full_answers.env, stdout=full, stderr=full)
        assert done.returncode == 74, name


def test_completed_words_that_find_no_room(full_answers: ConsoleServer) -> None:
    code = "from kubectl_region.completion import main; main()"
    words = [sys.executable, "-c", code, ""]
    with FULL.open("w") as full:
        done = subprocess.run(
            words, cwd=CHECKOUT, env=full_answers.env, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr.decode()) == (74, f"{FULL_DISK}\n")


def test_every_question_is_asked_in_the_same_way() -> None:
    asking = [path.name for path in (CHECKOUT / "kubectl_region").glob("*.py") if "click.confirm(" in path.read_text()]
    assert asking == ["questions.py"]


def test_a_question_that_nobody_can_answer_says_how_to_go_on(tmp_path: Path) -> None:
    """A script has no terminal, and what it writes into a file shows nobody a question."""
    cronjob = {"metadata": {"namespace": "x", "name": "r1"}, "spec": {}}
    path = write_kubectl(tmp_path, f"echo '{json.dumps({'items': [cronjob]})}'")
    words = [sys.executable, "-m", "kubectl_region", "pause", "--all-matching", "r*", "--reason", "x", "-n", "x"]
    run = partial(subprocess.run, words, cwd=CHECKOUT, env={"PATH": path}, capture_output=True, text=True, check=False)
    silent = run(stdin=subprocess.DEVNULL)
    assert silent.returncode == 1
    assert silent.stderr == (
        "1 regions: r1\nPause these? [y/N]: \n"
        "error: nobody answered: Pause these?\nwhat to do: -y goes on without a question\n"
    )
    refused = run(input="n\n")
    assert (refused.stdout, refused.stderr.startswith("1 regions: r1\nPause these?")) == ("", True)
    assert (refused.returncode, "Aborted!" in refused.stderr, "Pause these" in refused.stdout) == (1, True, False)


def test_ctrl_c_at_a_question_is_an_interruption(tmp_path: Path) -> None:
    cronjob = {"metadata": {"namespace": "x", "name": "r1"}, "spec": {}}
    path = write_kubectl(tmp_path, f"echo '{json.dumps({'items': [cronjob]})}'")
    terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    plugin = (sys.executable, "-m", "kubectl_region", "pause", "--all-matching", "r*", "--reason", "x", "-n", "x")
    words, pipe = [sys.executable, "-c", terminal, *plugin], subprocess.PIPE
    with heeded(signal.SIGINT):
        process = subprocess.Popen(words, cwd=CHECKOUT, env={"PATH": path}, stdin=pipe, stdout=pipe, bufsize=0)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = b""
        while b"[y/N]:" not in said and (more := process.stdout.read(1)):
            said += more

        def is_interrupted() -> bool:
            """Press Ctrl-C: readline loses one that comes at the moment at which it begins to wait."""
            assert process.stdin is not None
            process.stdin.write(b"\x03")
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
            return process.returncode is not None

        try:
            eventually(is_interrupted, what="the plugin has ended")
        finally:
            process.kill()
        said += process.stdout.read()
        assert (process.returncode, said.endswith(b"interrupted\r\n")) == (130, True), said


def test_an_unknown_command_is_a_wrong_command_line() -> None:
    words = [sys.executable, "-m", "kubectl_region", "lsit"]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, "No such command 'lsit'" in done.stderr) == (2, True)
