"""A worker's log lines, also those that procrastinate writes: a fixed event, and what differs in keys."""

from __future__ import annotations

import json
import logging
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from region_worker.worker import configure_logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def written() -> Iterator[StringIO]:
    """What a worker writes. pytest's own handlers come back in the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    with redirect_stdout(StringIO()) as output:
        configure_logs({"POD_NAME": "worker-1"})
    yield output
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(written: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_the_end_of_a_job_is_ours_to_say(written: StringIO) -> None:
    logger = logging.getLogger("procrastinate.worker")
    logger.error("Job region_tick.fetch[12](creator_id=7) ended with status: Error", extra={"action": "job_error"})
    assert lines(written) == []


@pytest.mark.parametrize("name", ["procrastinate.worker", "procrastinate.worker.worker"])
def test_what_fails_beside_the_jobs_is_said_without_a_traceback(name: str, written: StringIO) -> None:
    try:
        raise OSError("the connection is lost")
    except OSError as error:
        logging.getLogger(name).error(
            f"Side task listener failed with exception: {error}", extra={"action": "side_task_failed"}, exc_info=error
        )
    (line,) = lines(written)
    assert line["event"] == "side task failed"
    assert line["error"] == "OSError: the connection is lost"
    assert line["pod"] == "worker-1"
    assert "traceback" not in line
