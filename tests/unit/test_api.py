"""api.py: what an apply sends. How the API server takes it, the tests on a cluster show."""

from __future__ import annotations

import json

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from region_operator.api import as_yaml


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text() | st.text(alphabet='\\ud8"🗼\n'))
def test_any_text_reads_the_same_as_yaml_and_as_json(text: str) -> None:
    body = {"name": text}
    assert yaml.safe_load(as_yaml(body)) == body
    assert json.loads(as_yaml(body)) == body
