"""What spec.tick adds to a tick's pod, in a real pod: a private CA, a sidecar, another user, and a place to write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.regions import EVERY_MINUTE, add_regions
from tests.harness.upstream import conditional, make_certificate, upstream
from tests.harness.waiting import eventually
from tests.node.installation import USERS_IMAGE, completed_jobs, runs

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from devcluster.local import LocalCluster
    from tests.harness.kubectl import Kubectl

pytestmark = pytest.mark.timeout(900)

FEED = b"<rss><channel><item><guid>1</guid></item></channel></rss>"
UNPRIVILEGED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_a_tick_polls_a_host_with_a_private_ca_beside_a_sidecar(
    running: Kubectl, database: psycopg.Connection[tuple[Any, ...]], node: LocalCluster, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path, name="feeds.test")
    running("create", "configmap", "private-ca", f"--from-file=ca.crt={certificate}.crt")
    tick = {
        "image": USERS_IMAGE,
        "handler": "work:poll_and_scribble",
        "env": [
            {"name": "SSL_CERT_FILE", "value": "/etc/private-ca/ca.crt"},
            {"name": "POLL_ALLOW_NETWORKS", "value": f"{node.host_address}/32"},
        ],
        "hostAliases": [{"ip": node.host_address, "hostnames": ["feeds.test"]}],
        "volumes": [{"name": "private-ca", "configMap": {"name": "private-ca"}}],
        "volumeMounts": [{"name": "private-ca", "mountPath": "/etc/private-ca", "readOnly": True}],
        "initContainers": [
            {
                "name": "sidecar",
                "image": USERS_IMAGE,
                "restartPolicy": "Always",
                "command": ["/opt/region-tick/bin/python", "-c", "import time; time.sleep(3600)"],
                "securityContext": UNPRIVILEGED,
            }
        ],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 4242, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    with upstream(address=node.host_address, certificate=certificate) as server:
        server.on("/feed", conditional(FEED, etag='"1"'))
        running("patch", "rsched", "default", "--type=merge", "--patch", json.dumps({"spec": {"tick": tick}}))
        add_regions(database, 1, cron=EVERY_MINUTE)
        database.execute(
            "INSERT INTO region_tick.creator (source, region_id, platform, url)"
            " SELECT 'public.region_index', id::text, 'http', %s FROM public.region_index",
            (f"https://feeds.test:{server.port}/feed",),
        )
        eventually(lambda: completed_jobs(running), what="a completed Job, sidecar or not", seconds=180)
    assert database.execute("SELECT count(*) FROM region_tick.item").fetchone() == (1,)
    assert {row[1:] for row in runs(database) if row[1] != "running"} == {("succeeded", "ok", 1)}
