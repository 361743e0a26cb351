"""What the tests of a control plane share: a table's regions, and the operator that has made their CronJobs."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from tests.harness import regions
from tests.harness.operator_process import CHECKOUT
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess
    from tests.harness.regions import AddRegions


class Standing(Protocol):
    """Starts it where a table has so many regions, R1 and so on, and waits until each has its CronJob."""

    def __call__(self, regions: int, **environment: str) -> AbstractContextManager[OperatorProcess]: ...


class Command(Protocol):
    """Runs a command of the operator; keywords are further environment variables."""

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def command(operator_environment: dict[str, str]) -> Command:
    """A command of the operator, on the test's namespace and database."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "region_operator", *arguments],
            env=os.environ | operator_environment | environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def sql(database: str) -> Any:
    """Run one statement on the test's database, committed."""

    def run(statement: str, *values: object) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(statement, values)

    return run


@pytest.fixture
def add_regions(database: str) -> AddRegions:
    """Add regions to the table of the test's database."""
    return partial(regions.add_regions, database)


@pytest.fixture
def standing(run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions) -> Standing:
    """Start the operator on a table with regions; to be used as a context manager."""

    @contextmanager
    def stand(regions: int, **environment: str) -> Iterator[OperatorProcess]:
        add_regions(regions)
        with run_operator(**environment) as operator:
            eventually(lambda: kubectl.ready().get("status") == "True", what=f"{regions} CronJobs", seconds=90)
            yield operator

    return stand
