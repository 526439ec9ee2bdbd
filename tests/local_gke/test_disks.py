"""When the disk of a claim is made, and where it is."""

from typing import Any

from local.gke.disks import TRANSFER_CLASS, disk, is_due, zones_of_pods
from tests.local_gke.classes import SPOT, class_of, waiting

SOURCE = {"apiGroup": "datalayer.gke.io", "kind": "GCPDataSource", "name": "chat-model"}
CLASSES = {TRANSFER_CLASS: class_of(SPOT)}


def claim(*, node: str | None = None, **spec: Any) -> dict[str, Any]:
    annotations = {"volume.kubernetes.io/selected-node": node} if node else {}
    return {
        "metadata": {"name": "chat-model", "namespace": "llm", "uid": "1", "annotations": annotations},
        "spec": {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "20Gi"}}, **spec},
    }


def test_a_claim_of_a_pod_gets_its_disk_when_the_pod_has_a_node() -> None:
    assert not is_due(claim(), set(), {})
    assert is_due(claim(node="one"), set(), {})


def test_a_volume_is_filled_once_its_source_and_the_class_for_the_transfer_are_there() -> None:
    filled = claim(node="one", dataSourceRef=SOURCE)
    assert not is_due(filled, set(), CLASSES)
    assert not is_due(filled, {("other", "chat-model")}, CLASSES)
    assert not is_due(filled, {("llm", "chat-model")}, {})
    assert is_due(filled, {("llm", "chat-model")}, CLASSES)


def test_a_disk_is_in_the_zone_of_its_storage_class() -> None:
    kind = {"allowedTopologies": [{"matchLabelExpressions": [{"key": "topology.gke.io/zone", "values": ["a"]}]}]}
    terms = [{"matchExpressions": [{"key": "topology.gke.io/zone", "operator": "In", "values": ["a"]}]}]
    assert disk(claim(), kind)["spec"]["nodeAffinity"] == {"required": {"nodeSelectorTerms": terms}}
    assert "nodeAffinity" not in disk(claim(), {})["spec"]
    assert disk(claim(), {})["spec"]["claimRef"]["uid"] == "1"


def test_pods_go_where_their_volumes_are() -> None:
    kind = {"allowedTopologies": [{"matchLabelExpressions": [{"key": "topology.gke.io/zone", "values": ["a", "b"]}]}]}
    filled = claim()
    filled["metadata"]["namespace"] = "default"
    volume = disk(filled, kind)
    filled["spec"]["volumeName"] = volume["metadata"]["name"]
    reader = waiting("reader", volumes=[{"name": "model", "persistentVolumeClaim": {"claimName": "chat-model"}}])
    pods = [reader, waiting("other", volumes=[{"name": "model", "emptyDir": {}}]), waiting("none")]
    assert zones_of_pods(pods, [filled], [volume]) == {"default/reader": frozenset({"a", "b"})}
    assert zones_of_pods(pods, [claim()], [volume]) == {}
    assert zones_of_pods(pods, [filled], [disk(filled, {})]) == {}
