"""kube/connect.py: which proxy the environment names for the API server."""

from __future__ import annotations

import pytest
from kubernetes.aio import client

from region_operator.kube.connect import use_proxy


@pytest.mark.parametrize(
    ("environment", "of_kubeconfig", "proxy"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, None, "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, None, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "10.0.0.1,.cluster.local"}, None, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://kubeconfig:8080", "http://kubeconfig:8080"),
    ],
)
def test_the_proxy_is_looked_up_once(
    environment: dict[str, str], of_kubeconfig: str | None, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    configuration = client.Configuration(host="https://10.0.0.1:6443")
    configuration.proxy = of_kubeconfig
    use_proxy(configuration)
    assert configuration.proxy == proxy
    assert configuration.client_session_kwargs == {"trust_env": False}
