"""The objects that fill a volume of Hyperdisk ML from a bucket, as Kubernetes and GKE spell them."""

from typing import Any

from gke_llm_inference.planning.model_source.plan import DiskPlan, TransferNodes

DATA_SOURCE = ("datalayer.gke.io/v1", "GCPDataSource")
"""What GKE fills a volume from."""
COMPUTE_CLASS = ("cloud.google.com/v1", "ComputeClass")
"""Which machines GKE makes nodes of."""
_ZONE_TOPOLOGY = "topology.gke.io/zone"


def data_source_spec(disk: DiskPlan, account: str) -> dict[str, Any]:
    """Spec of the GCPDataSource.

    Args:
        disk: the volume.
        account: Kubernetes service account that reads the bucket.

    """
    return {"cloudStorage": {"serviceAccountName": account, "uri": disk.uri}}


def storage_class(disk: DiskPlan) -> dict[str, Any]:
    """The StorageClass, without its name: it makes the volume at once, in its zone."""
    return {
        "provisioner": disk.provisioner,
        "parameters": {
            "type": disk.disk_type,
            "provisioned-throughput-on-create": f"{disk.throughput_mib}Mi",
        },
        "allowVolumeExpansion": False,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowedTopologies": [{"matchLabelExpressions": [{"key": _ZONE_TOPOLOGY, "values": [disk.zone]}]}],
    }


def claim_spec(disk: DiskPlan) -> dict[str, Any]:
    """Spec of the PersistentVolumeClaim."""
    return {
        "accessModes": ["ReadOnlyMany"],
        "storageClassName": disk.storage_class,
        "resources": {"requests": {"storage": f"{disk.size_gib}Gi"}},
        "dataSourceRef": {"apiGroup": DATA_SOURCE[0].partition("/")[0], "kind": DATA_SOURCE[1], "name": disk.name},
    }


def compute_class_spec(nodes: TransferNodes) -> dict[str, Any]:
    """Spec of the ComputeClass whose nodes fill volumes."""
    return {
        "priorities": [{"machineFamily": family} for family in nodes.families],
        "nodePoolAutoCreation": {"enabled": True},
        "whenUnsatisfiable": "DoNotScaleUp",
    }
