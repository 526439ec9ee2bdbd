"""Servers that read the stack's store, each way and on both kinds of cluster: accepted, filled, placed in the zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.support import NAMESPACE, config_text, documents_of
from tests.cluster.test_placement import expect_placed
from tests.planning.support import QWEN, planned

if TYPE_CHECKING:
    from tests.cluster.support import Cluster, Document
    from tests.support import Recordings

ZONE = "us-central1-b"
WAYS: dict[str, Document] = {
    "streamer": {"by": "streamer"},
    "gcsfuse": {"by": "gcsfuse"},
    "hyperdiskMl": {"by": "hyperdiskMl", "disk": {"zone": ZONE}},
}


def stack(mode: str, way: str) -> Document:
    server = {**QWEN, "maxModelLen": 8192, "replicas": 2, "revision": "a" * 40}
    pools = {"nodePools": {"l4": {"maxNodes": 3}}} if mode == "standard" else {}
    return {
        "cluster": {"mode": mode, "location": "us-central1", "gkeVersion": "1.36.4-gke.1000000"},
        **pools,
        "modelStore": {
            "bucket": {"mode": "existing", "name": "acme-models"},
            "copy": False,
            "projectNumber": "123456789012",
        },
        "servers": {"chat": {**server, "modelSource": {"source": "modelStore", **WAYS[way]}}},
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["standard", "autopilot"])
def test_pods_are_placed_and_ready_whichever_way_they_read_the_model(
    mode: str, way: str, request: pytest.FixtureRequest, recordings: Recordings
) -> None:
    cluster: Cluster = request.getfixturevalue(mode)
    raw = stack(mode, way)
    plan = planned(raw)
    expect_placed(cluster, plan, documents_of(recordings.config(config_text(raw))))
    claims = cluster.core.list_namespaced_persistent_volume_claim(NAMESPACE).items
    if way != "hyperdiskMl":
        assert claims == []
        return
    (claim,) = claims
    assert (claim.status.phase, claim.spec.access_modes) == ("Bound", ["ReadOnlyMany"])
    zones = {one.metadata.labels["topology.kubernetes.io/zone"] for one in cluster.gpu_nodes()}
    assert zones == {ZONE}
