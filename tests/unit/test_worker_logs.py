"""A worker's log lines, also those that procrastinate writes: a fixed event, and what differs in keys."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from region_worker.worker import configure_logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_in_a_worker(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:  # noqa: ARG001 - before the handler
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logs({"POD_NAME": "worker-1"})
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_end_of_a_job_is_ours_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("procrastinate.worker")
    logger.error("Job region_tick.fetch[12](creator_id=7) ended with status: Error", extra={"action": "job_error"})
    assert lines(capsys) == []


@pytest.mark.parametrize("name", ["procrastinate.worker", "procrastinate.worker.worker"])
def test_what_fails_beside_the_jobs_is_said_without_a_traceback(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise OSError("the connection is lost")
    except OSError as error:
        logging.getLogger(name).error(
            f"Side task listener failed with exception: {error}", extra={"action": "side_task_failed"}, exc_info=error
        )
    (line,) = lines(capsys)
    assert line["event"] == "side task failed"
    assert line["error"] == "OSError: the connection is lost"
    assert line["pod"] == "worker-1"
    assert "traceback" not in line
