"""An SBOM names what is in the image, and is valid by CycloneDX' own schema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

from release.sbom import cyclonedx, sbom
from tests.harness.operator_process import CHECKOUT
from tests.release.clones import TIMESTAMP

if TYPE_CHECKING:
    from release.oci import Layout

pytestmark = [pytest.mark.xdist_group("release"), pytest.mark.timeout(900)]

IN_THE_IMAGE = {"python_full_version": "3.13.5", "sys_platform": "linux", "implementation_name": "cpython"}
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) or "") or 0)
"""


@pytest.fixture(scope="module")
def listed(tick_image: Layout) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sbom(tick_image, "region-tick/tick", "0.1.0", timestamp=TIMESTAMP))
    return found


def test_the_packages_of_the_lock_are_listed_and_no_others_of_python(listed: dict[str, Any]) -> None:
    lock = (CHECKOUT / "requirements/tick.lock").read_text()
    lines = [Requirement(line.rstrip(" \\")) for line in lock.splitlines() if "==" in line]
    wanted = [line for line in lines if line.marker is None or line.marker.evaluate(IN_THE_IMAGE)]
    pinned = {line.name: str(line.specifier).removeprefix("==") for line in wanted}
    found = {part["name"]: part["version"] for part in listed["components"] if part["purl"].startswith("pkg:pypi/")}
    assert found == pinned


def test_the_packages_of_the_base_are_listed(listed: dict[str, Any]) -> None:
    found = {part["name"] for part in listed["components"] if part["purl"].startswith("pkg:deb/debian/")}
    assert {"libc6", "libpython3.13-stdlib", "ca-certificates"} <= found


def test_it_names_the_image_and_its_platform(listed: dict[str, Any], tick_image: Layout) -> None:
    component = listed["metadata"]["component"]
    assert (component["name"], component["version"]) == ("region-tick/tick", "0.1.0")
    assert component["bom-ref"] == tick_image.root["digest"]
    assert {"name": "oci:os", "value": "linux"} in component["properties"]


def test_the_same_image_has_the_same_list(listed: dict[str, Any], tick_image: Layout) -> None:
    assert json.loads(sbom(tick_image, "region-tick/tick", "0.1.0", timestamp=TIMESTAMP)) == listed


def test_it_is_valid(listed: dict[str, Any]) -> None:
    command = [sys.executable, "-c", VALIDATE]
    environment = os.environ | {"PYTHONPATH": str(cyclonedx())}
    done = subprocess.run(
        command, env=environment, input=json.dumps(listed), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
