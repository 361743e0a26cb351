"""kubectl_region/port_forward.py and console.py: when a port-forward is opened, what it answers, and that it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from kubectl_region import kubectl, port_forward
from kubectl_region.commands import group
from kubectl_region.completion import answer
from kubectl_region.port_forward import BrokenForwardError, PortForward, listening_port
from tests.harness.operator_process import CHECKOUT
from tests.harness.signals import heeded
from tests.harness.waiting import eventually
from tests.unit.kubectl_stand_in import StandIn, calls, listener
from tests.unit.plugin import write_kubectl
from tests.unit.plugin_answers import region_list, region_row

if TYPE_CHECKING:
    from pathlib import Path

PROXY = 'services "http:region-tick-console:http" is forbidden: User "ana" cannot get resource "services/proxy"'
PODS = 'pods "region-tick-console-1" is forbidden: User "ana" cannot create resource "pods/portforward"'
FORBIDDEN = f"Error from server (Forbidden): {PROXY}"
UNREACHED = (
    "Error from server (ServiceUnavailable): error trying to reach service: dial tcp 10.1.2.3:8080: i/o timeout",
    'Error from server (ServiceUnavailable): no endpoints available for service "http:region-tick-console:http"',
    "Error from server (Timeout): the server was unable to return a response in the time allotted",
)


def run(folder: Path, stand_in: StandIn, *words: str) -> Result:
    path = stand_in.write(folder)
    return CliRunner().invoke(group, [*words, "-n", "region-tick"], env={"PATH": path})


def is_gone(folder: Path) -> bool:
    """Whether nothing is left of the port-forward: no process, and nobody who listens."""
    pid, port = listener(folder) or (0, 0)
    with socket.socket() as client:
        return not os.path.exists(f"/proc/{pid}") and client.connect_ex(("127.0.0.1", port)) != 0  # noqa: PTH110


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("Forwarding from 127.0.0.1:40123 -> 8080\n", 40123),
        ("Forwarding from [::1]:40123 -> 8080\n", None),
        ("Handling connection for 40123\n", None),
        ("error: unable to listen on any of the requested ports: [{0 8080}]\n", None),
        ("", None),
    ],
)
def test_the_port_that_kubectl_names(line: str, port: int | None) -> None:
    assert listening_port(line) == port


@pytest.mark.parametrize("refusal", [FORBIDDEN, *UNREACHED], ids=["no right", "no way", "no endpoints", "no answer"])
def test_where_the_proxy_passes_nothing_on_a_port_forward_does(tmp_path: Path, refusal: str) -> None:
    done = run(tmp_path, StandIn(refusal=refusal, answer=region_list(region_row())), "list", "-o", "name")
    assert (done.exit_code, done.stdout) == (0, "FR-75\n"), done.stderr
    _, port = listener(tmp_path) or (0, 0)
    said = refusal.partition("): ")[2]
    assert done.stderr == f"asking the console by kubectl port-forward, on port {port} of this machine: {said}\n"
    assert (tmp_path / "asked").read_text() == "/regions?format=json&errors=body&page=1"
    assert is_gone(tmp_path)
    assert calls(tmp_path)[-1] == [
        *("port-forward", "service/region-tick-console", ":http", "--namespace", "region-tick"),
        *("--address", "127.0.0.1", "--pod-running-timeout=2s"),
    ]


def test_all_pages_come_by_one_port_forward(tmp_path: Path) -> None:
    pages = region_list(region_row(), page=1, pages=3)
    done = run(tmp_path, StandIn(refusal=FORBIDDEN, answer=pages), "list", "-o", "name")
    assert done.stdout == "FR-75\n" * 3
    assert [words[0] for words in calls(tmp_path)] == ["get", "port-forward"]
    assert len(done.stderr.splitlines()) == 1


def test_a_proxy_that_keeps_silent_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where packets to pods are dropped, the API server gives up after half a minute only."""
    monkeypatch.setattr(kubectl, "PATIENCE_SECONDS", 0.2)
    done = run(tmp_path, StandIn(refusal=FORBIDDEN, waits=600, answer=region_list(region_row())), "list", "-o", "name")
    assert (done.exit_code, done.stdout) == (0, "FR-75\n"), done.stderr
    assert done.stderr.endswith("of this machine: the API server's proxy has given no answer yet\n")
    assert is_gone(tmp_path)


def test_a_slow_proxy_is_waited_for_by_whoever_may_not_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubectl, "PATIENCE_SECONDS", 0.2)
    says = f"Error from server (Forbidden): {PODS}"
    done = run(tmp_path, StandIn(refusal="Error from server (NotFound): late", waits=3, says=says), "get", "FR-75")
    assert (done.exit_code, done.stderr) == (1, "error: late\n")
    assert [words[0] for words in calls(tmp_path)] == ["get", "port-forward"]


def test_what_no_port_forward_mends_opens_none(tmp_path: Path) -> None:
    for refusal in ("Error from server (Unauthorized): x", 'error: context "x" does not exist', "no such host"):
        assert run(tmp_path, StandIn(refusal=refusal), "list").exit_code == 1
    assert {words[0] for words in calls(tmp_path)} == {"get"}


def test_whoever_may_neither_ask_nor_forward_reads_both_remedies(tmp_path: Path) -> None:
    done = run(tmp_path, StandIn(refusal=FORBIDDEN, says=f"Error from server (Forbidden): {PODS}"), "list")
    assert done.exit_code == 1
    error, remedy = done.stderr.splitlines()
    assert error == (
        f"error: you may not ask the console in namespace region-tick: {PROXY}; and kubectl port-forward: {PODS}"
    )
    assert "--clusterrole=region-tick-view --user=YOU -n region-tick" in remedy
    assert "--clusterrole=region-tick-forward --user=YOU -n region-tick" in remedy


def test_a_console_that_the_api_server_does_not_reach_wants_the_right_to_forward(tmp_path: Path) -> None:
    done = run(tmp_path, StandIn(refusal=UNREACHED[0], says=f"Error from server (Forbidden): {PODS}"), "list")
    assert "If the API server reaches no pod, have an administrator give you the ClusterRole" in done.stderr
    assert "--clusterrole=region-tick-forward" in done.stderr


def test_a_console_that_is_not_installed_is_not_a_missing_right(tmp_path: Path) -> None:
    says = 'Error from server (NotFound): services "region-tick-console" not found'
    done = run(tmp_path, StandIn(refusal=FORBIDDEN, says=says), "list")
    assert "error: no console answers in namespace region-tick" in done.stderr
    assert "it is not installed there: kubectl apply -f manifests/console" in done.stderr


def test_a_namespace_that_is_not_there_is_named_as_such(tmp_path: Path) -> None:
    """The API server says of it what it says of a Service without endpoints. The port-forward knows better."""
    says = 'Error from server (NotFound): namespaces "region-tick" not found'
    done = run(tmp_path, StandIn(refusal=UNREACHED[1], says=says), "list")
    assert done.stderr == (
        "error: there is no namespace region-tick\n"
        "what to do: name another one by -n, or see which have a RegionScheduler: kubectl get regionschedulers -A\n"
    )


def test_an_error_of_the_console_comes_as_by_the_proxy(tmp_path: Path) -> None:
    error = {"kind": "Error", "reason": "NotFound", "message": "no region FR-7", "remedy": "look in the list"}
    done = run(tmp_path, StandIn(refusal=FORBIDDEN, answer=error), "get", "FR-7")
    assert (done.exit_code, done.stderr.splitlines()[1:]) == (
        1,
        ["error: no region FR-7", "what to do: look in the list"],
    )
    assert is_gone(tmp_path)


def test_a_console_that_keeps_silent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(BrokenForwardError, match=f"by 127.0.0.1:{port} gave no answer: timed out"):
            PortForward(port, limit_seconds=0.1).get("/")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
    ids=lambda value: str(value),
)
def test_a_signal_ends_the_port_forward_too(tmp_path: Path, number: int, code: int) -> None:
    path = StandIn(refusal=FORBIDDEN).write(tmp_path)
    words = [sys.executable, "-m", "kubectl_region", "list", "-n", "region-tick"]
    with heeded(number):
        process = subprocess.Popen(words, cwd=CHECKOUT, env={"PATH": path}, stderr=subprocess.DEVNULL)
    eventually((tmp_path / "asked").exists, what="the console is asked")
    process.send_signal(number)
    assert (process.wait(30), is_gone(tmp_path)) == (code, True)


def test_a_kubectl_that_is_a_script_leaves_nothing_behind(tmp_path: Path) -> None:
    path = StandIn(refusal=FORBIDDEN, answer=region_list(region_row())).write(tmp_path)
    script = tmp_path / "kubectl"
    script.write_text(script.read_text().replace("exec ", "") + "exit $?\n")
    done = CliRunner().invoke(group, ["list", "-o", "name", "-n", "region-tick"], env={"PATH": path})
    assert (done.exit_code, done.stdout) == (0, "FR-75\n"), done.stderr
    eventually(lambda: is_gone(tmp_path), what="the port-forward is gone")


def test_a_port_forward_that_asks_something_shows_the_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_forward, "OPEN_SECONDS", 2)
    refused = f"[ $1 = port-forward ] || {{ echo '{FORBIDDEN}' >&2; exit 1; }}"
    path = write_kubectl(tmp_path, f"{refused}; echo Sign in; printf 'Code: '; exec sleep 60")
    done = CliRunner().invoke(group, ["list", "-n", "region-tick"], env={"PATH": path})
    assert done.exit_code == 1
    assert "kubectl port-forward did not listen within 2 s, and said: Sign in\n  Code:" in done.stderr


def test_a_completion_opens_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", StandIn(refusal=FORBIDDEN).write(tmp_path))
    assert list(answer(["get", "-n", "region-tick", "F"])) == [":4"]
    assert {words[0] for words in calls(tmp_path)} == {"get"}
