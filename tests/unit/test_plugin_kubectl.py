"""kubectl_region/kubectl.py: what a command gets of kubectl, and what it says if kubectl fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from kubectl_region.commands import group
from kubectl_region.errors import PluginError
from kubectl_region.kubectl import Kubectl, KubectlError
from tests.unit.plugin import write_kubectl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a program of the test's on PATH as kubectl: faults that no real one has at a test's wish."""
    return lambda text: monkeypatch.setenv("PATH", write_kubectl(tmp_path, text))


def test_the_flags_come_last(script: Callable[[str], None]) -> None:
    script('echo "$@"')
    assert Kubectl(("--context=x",))("get", "pods") == "get pods --context=x\n"


def test_a_refusal_has_its_reason(script: Callable[[str], None]) -> None:
    script("echo 'Error from server (Forbidden): pods is forbidden' >&2; exit 1")
    with pytest.raises(KubectlError) as caught:
        Kubectl()("get", "pods")
    assert (caught.value.reason, caught.value.message) == ("Forbidden", "pods is forbidden")
    assert caught.value.remedy == "see which rights you lack, and the role that has them: kubectl region doctor"


def test_a_failure_without_a_reason(script: Callable[[str], None]) -> None:
    script("echo 'error: context \"x\" does not exist' >&2; exit 1")
    with pytest.raises(KubectlError) as caught:
        Kubectl()("get", "pods")
    assert (caught.value.reason, caught.value.message) == ("", 'context "x" does not exist')


def test_a_failure_without_a_word(script: Callable[[str], None]) -> None:
    script("exit 3")
    with pytest.raises(KubectlError, match="kubectl ended with exit code 3"):
        Kubectl()("get", "pods")


def test_kubectl_that_hangs_is_given_up(script: Callable[[str], None]) -> None:
    script("printf 'Enter the code ABC: ' >&2; exec sleep 60")
    with pytest.raises(PluginError, match=r"no answer within 1 s: kubectl get pods: Enter the code ABC:$") as caught:
        Kubectl(limit_seconds=1)("get", "pods")
    assert "--request-timeout" in caught.value.remedy


def test_what_is_no_text_is_shown_all_the_same(script: Callable[[str], None]) -> None:
    script("printf 'a\\377\\n'")
    assert Kubectl()("logs", "x") == "a\\xff\n"
    with Kubectl().begin("port-forward") as process:
        assert process.communicate()[0] == "a\\xff\n"


def test_a_long_limit_is_written_in_seconds(script: Callable[[str], None], tmp_path: Path) -> None:
    script(f'echo "$@" > {tmp_path}/asked; echo \'{{"items": []}}\'')
    CliRunner().invoke(group, ["pause", "R1", "--reason", "x", "-n", "x", "--request-timeout", "300h"])
    assert "--request-timeout=1080000s" in (tmp_path / "asked").read_text()


def test_no_kubectl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PluginError, match="kubectl is not on your PATH"):
        Kubectl()("get", "pods")


def test_what_the_user_ends_has_no_limit() -> None:
    assert Kubectl(("--request-timeout=30s", "--context=x"), 40).without_limit == Kubectl(("--context=x",))
