"""docs/security.md: each test that is named as showing a mitigation exists. SECURITY.md: no role is left out."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "docs/security.md").read_text()
WIDE = {"pods/attach", "pods/exec", "pods/portforward", "secrets", "services/proxy"}
"""Rights that reach farther than their names say."""
NAMED = re.findall(r"`(\w+/test_\w+\.py)(?:::(\w+))?`", TEXT)


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 30
    missing = [
        (path, name)
        for path, name in NAMED
        if not re.search(rf"def {name or 'test_.*'}\(", (CHECKOUT / "tests" / path).read_text())
    ]
    assert missing == []


def test_every_role_that_is_installed_is_explained_with_what_it_reaches() -> None:
    page = (CHECKOUT / "SECURITY.md").read_text()
    files = [path for path in (CHECKOUT / "manifests").glob("**/*.yaml") if "Role" in path.read_text()]
    objects = [each for path in files for each in yaml.safe_load_all(path.read_text())]
    roles = [each for each in objects if each["kind"] in ("Role", "ClusterRole")]
    assert len(roles) >= 5
    assert {role["metadata"]["name"] for role in roles if f"`{role['metadata']['name']}`" not in page} == set()
    named = {resource for role in roles for rule in role["rules"] for resource in rule["resources"]}
    assert {each for each in named & WIDE if f"`{each}`" not in page} == set()
