"""Servers that start faster, on both kinds of cluster: their disks, buckets and node labels are accepted and placed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.support import NAMESPACE, config_text, documents_of
from tests.cluster.test_placement import expect_placed
from tests.planning.support import QWEN, planned

if TYPE_CHECKING:
    from tests.cluster.support import Cluster, Document
    from tests.support import Recordings

IMAGE = "projects/my-project/global/images/vllm"
HELD = {"image": IMAGE, "containerImages": ["docker.io/vllm/vllm-openai:v0.26.0"]}
LABEL = "cloud.google.com.node-restriction.kubernetes.io/gke-secondary-boot-disk-vllm"
WAYS: dict[str, Document] = {
    "disk": {"keepCompileCache": {"storage": "disk"}},
    "bucket": {
        "replicas": 2,
        "keepCompileCache": {"storage": "bucket", "name": "acme-chat", "projectNumber": "123456789012"},
    },
    "boot disk": {"secondaryBootDisk": HELD},
    "boot disk of a class": {"secondaryBootDisk": HELD, "capacity": ["onDemand", "spot"]},
}


def stack(mode: str, way: str) -> Document:
    server = {**QWEN, "maxModelLen": 8192, **WAYS[way]}
    pools: Document = {}
    if mode == "standard" and "capacity" not in server:
        disk = server.pop("secondaryBootDisk", None)
        pools = {"nodePools": {"l4": {"maxNodes": 3, **({"secondaryBootDisks": [disk]} if disk else {})}}}
    return {
        "cluster": {"mode": mode, "location": "us-central1", "gkeVersion": "1.36.4-gke.1000000"},
        **pools,
        "servers": {"chat": server},
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["standard", "autopilot"])
def test_pods_are_placed_and_ready_whatever_makes_them_start_faster(
    mode: str, way: str, request: pytest.FixtureRequest, recordings: Recordings
) -> None:
    cluster: Cluster = request.getfixturevalue(mode)
    raw = stack(mode, way)
    expect_placed(cluster, planned(raw), documents_of(recordings.config(config_text(raw))))
    claims = cluster.core.list_namespaced_persistent_volume_claim(NAMESPACE).items
    assert [(one.metadata.name, one.status.phase) for one in claims] == (
        [("chat-compile-cache-10gi-premium-rwo", "Bound")] if way == "disk" else []
    )
    if (mode, way) == ("autopilot", "boot disk"):
        assert {one.metadata.labels[LABEL] for one in cluster.gpu_nodes()} == {"CONTAINER_IMAGE_CACHE.my-project"}
