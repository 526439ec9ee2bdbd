"""The disks of claims: made when a claim waits for one, removed when nobody claims them any more."""

from typing import Any

from local.gke.api import Api


def make_disks(api: Api) -> None:
    """Make the disks that claims wait for, and remove those that nobody claims any more."""
    for claim in api.items("/api/v1/persistentvolumeclaims"):
        chosen = claim["metadata"].get("annotations", {}).get("volume.kubernetes.io/selected-node")
        if claim["status"].get("phase") == "Pending" and chosen:
            api.create("/api/v1/persistentvolumes", _disk(claim))
    for volume in api.items("/api/v1/persistentvolumes"):
        if volume["status"].get("phase") == "Released":
            api.delete(f"/api/v1/persistentvolumes/{volume['metadata']['name']}")


def _disk(claim: dict[str, Any]) -> dict[str, Any]:
    metadata, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{metadata['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "csi": {"driver": "pd.csi.storage.gke.io", "volumeHandle": f"projects/local/disks/{name}"},
            # Who removes it is this process, as the driver's provisioner does on GKE.
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": spec.get("storageClassName", ""),
        },
    }
