"""The disks of claims: made when a claim waits for one, removed when nobody claims them any more."""

from collections.abc import Iterable, Mapping
from typing import Any

from local.gke.api import Api
from local.gke.compute_classes import ComputeClass
from local.gke.scaling import key_of

TRANSFER_CLASS = "gcs-to-hdml-compute-class"
"""The compute class on whose nodes GKE fills volumes; it has to have this name
(GKE's page on filling Hyperdisk ML volumes from Cloud Storage)."""

Document = dict[str, Any]


def make_disks(api: Api, claims: list[Document], volumes: list[Document], classes: Mapping[str, ComputeClass]) -> None:
    """Make the disks that claims wait for, and remove those that nobody claims any more."""
    waiting = [one for one in claims if one["status"].get("phase") == "Pending"]
    kinds, sources = {}, set()
    if any(_source(claim) for claim in waiting):
        kinds = {one["metadata"]["name"]: one for one in api.items("/apis/storage.k8s.io/v1/storageclasses")}
        found = api.items("/apis/datalayer.gke.io/v1/gcpdatasources")
        sources = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in found}
    for claim in waiting:
        if is_due(claim, sources, classes):
            api.create("/api/v1/persistentvolumes", disk(claim, kinds.get(claim["spec"].get("storageClassName"), {})))
    for volume in volumes:
        if volume["status"].get("phase") == "Released":
            api.delete(f"/api/v1/persistentvolumes/{volume['metadata']['name']}")


def zones_of_pods(
    pods: Iterable[Document], claims: Iterable[Document], volumes: Iterable[Document]
) -> dict[str, frozenset[str]]:
    """The zones in which pods have to be for a volume that they read, by the pods' keys."""
    where = {one["metadata"]["name"]: zones for one in volumes if (zones := _zones(one))}
    bound = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): where[volume]
        for one in claims
        if (volume := one["spec"].get("volumeName")) in where
    }
    found: dict[str, frozenset[str]] = {}
    for pod in pods if bound else ():
        for volume in pod["spec"].get("volumes", ()):
            name = volume.get("persistentVolumeClaim", {}).get("claimName")
            allowed = bound.get((pod["metadata"]["namespace"], name))
            if allowed is not None:
                found[key_of(pod)] = found.get(key_of(pod), allowed) & allowed
    return found


def _zones(volume: Document) -> frozenset[str]:
    terms = volume["spec"].get("nodeAffinity", {}).get("required", {}).get("nodeSelectorTerms", ())
    return frozenset(
        zone
        for term in terms
        for one in term.get("matchExpressions", ())
        if one["key"].endswith("/zone")
        for zone in one["values"]
    )


def is_due(claim: Document, sources: set[tuple[str, str]], classes: Mapping[str, ComputeClass]) -> bool:
    """Whether it is time to make a claim's disk: a pod has a node, or there is what the disk is filled with.

    Args:
        claim: the claim.
        sources: namespaces and names of what disks are filled with.
        classes: the compute classes, by name.

    """
    source = _source(claim)
    if source:
        return (claim["metadata"]["namespace"], source) in sources and TRANSFER_CLASS in classes
    return "volume.kubernetes.io/selected-node" in claim["metadata"].get("annotations", {})


def disk(claim: Document, kind: Document) -> Document:
    """The volume of a claim, in the zone that its StorageClass says."""
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
            **_place(kind),
        },
    }


def _source(claim: Document) -> str | None:
    source = claim["spec"].get("dataSourceRef") or {}
    return source.get("name") if source.get("kind") == "GCPDataSource" else None


def _place(kind: Document) -> Document:
    terms = [
        {
            "matchExpressions": [
                {"key": one["key"], "operator": "In", "values": one["values"]}
                for one in topology["matchLabelExpressions"]
            ]
        }
        for topology in kind.get("allowedTopologies", ())
    ]
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}} if terms else {}
