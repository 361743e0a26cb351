"""Runs Debian's Prometheus, promtool and Alertmanager, extracted and not installed."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from devcluster import debian
from devcluster.ports import free_port
from tests.harness.attached import attached
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

WITH_ITS_FILES = 'mount --bind "$0" /usr/share && exec "$@"'
"""A shell command that runs a program in a mount namespace, where /usr/share is that of the program's package: Debian's
Alertmanager has its templates there, and nothing else.
"""

TIMEOUT_SECONDS = 120
ANSWER_SECONDS = 10


def promtool(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool, and return how that ended."""
    return subprocess.run(
        [debian.extract("prometheus") / "usr/bin/promtool", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class Server:
    """A Prometheus or an Alertmanager that runs, by its address."""

    address: str

    def get(self, path: str, **query: str) -> Any:
        """Return the JSON of an answer, also of one that is an error."""
        url = f"http://{self.address}{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def rows(self, expr: str) -> list[dict[str, Any]]:
        """Return what an expression is now. Raises AssertionError if Prometheus refuses the expression."""
        answer = self.get("/api/v1/query", query=expr)
        assert answer["status"] == "success", f"{expr}: {answer['error']}"
        rows: list[dict[str, Any]] = answer["data"]["result"]
        return rows

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=ANSWER_SECONDS) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def run_alertmanager(folder: Path, *, webhook: str) -> Iterator[Server]:
    """Run an Alertmanager that tells a webhook of every alert at once."""
    at_once = {"group_wait": "0s", "group_interval": "1s", "group_by": ["..."]}
    configuration = {
        "route": {"receiver": "webhook", **at_once},
        "receivers": [{"name": "webhook", "webhook_configs": [{"url": webhook}]}],
    }
    with _running("prometheus-alertmanager", "prometheus-alertmanager", folder, configuration) as server:
        yield server


@contextmanager
def run_prometheus(
    folder: Path, *, targets: Mapping[str, str], rules: Mapping[str, Any], alertmanager: Server
) -> Iterator[Server]:
    """Run a Prometheus that scrapes `targets` (jobs by address) each second, in the namespace `region-tick`."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address], "labels": {"namespace": "region-tick"}}]}
            for address, job in targets.items()
        ],
    }
    with _running("prometheus", "prometheus", folder, configuration) as server:
        yield server


@contextmanager
def _running(package: str, program: str, folder: Path, configuration: Mapping[str, Any]) -> Iterator[Server]:
    address = f"127.0.0.1:{free_port()}"
    file = folder / f"{program}.yaml"
    file.write_text(yaml.safe_dump(dict(configuration)))
    files = debian.extract(package) / "usr"
    command: Sequence[str | Path] = [
        *("unshare", "--mount", "sh", "-c", WITH_ITS_FILES, files / "share"),
        files / "bin" / program,
        f"--config.file={file}",
        f"--web.listen-address={address}",
        *(
            [f"--storage.path={folder / program}", "--cluster.listen-address="]
            if program.endswith("alertmanager")
            else [f"--storage.tsdb.path={folder / program}"]
        ),
    ]
    log, server = folder / f"{program}.log", Server(address)
    with attached(command, log=log, environment={}):
        eventually(server.is_ready, what=f"{program} is ready, see {log}", seconds=60)
        yield server
