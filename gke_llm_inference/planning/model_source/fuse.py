"""Cloud Storage FUSE: a directory of the bucket as a read-only volume, read ahead into memory."""

from gke_llm_inference.catalog.model_source_facts import FuseFacts
from gke_llm_inference.planning.model_source.plan import FuseVolume
from gke_llm_inference.planning.model_source.source import ModelSource
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.planning.versions import version_parts


def plan_fuse(source: ModelSource, cluster: ClusterPlan, facts: FuseFacts) -> FuseVolume:
    """The volume of a pod.

    What a driver does not know stops the mount, so that a cluster whose version is not stated gets what every supported
    version knows. The profile's own StorageClass is not used: from which version GKE has it is not known, and it turns
    Anywhere Cache on, which costs money.

    Args:
        source: where the model is.
        cluster: the cluster.
        facts: what the driver takes.

    """
    known = version_parts(cluster.settings.gke_version or facts.since)
    options = [one.name for one in facts.mount_options if version_parts(one.since) <= known]
    attributes = {one.name: one.value for one in facts.attributes if version_parts(one.since) <= known}
    sidecar = facts.sidecar
    return FuseVolume(
        driver=facts.driver,
        attributes={
            "bucketName": source.bucket,
            "mountOptions": ",".join([*options, f"only-dir={source.prefix}"]),
            **attributes,
        },
        cpu_millicores=sidecar.cpu_millicores,
        memory_gib=sidecar.memory_gib,
        ephemeral_storage_gib=sidecar.ephemeral_storage_gib,
        unlimited=cluster.profile == "standard",
    )


def plan_writable_fuse(bucket: str, user: tuple[int, int] | None, cluster: ClusterPlan, facts: FuseFacts) -> FuseVolume:
    """A whole bucket as a volume that pods write to, without what only reading models needs.

    Args:
        bucket: name of the bucket.
        user: user and group ids that the files belong to, as the driver heeds no fsGroup; root if None.
        cluster: the cluster.
        facts: what the driver takes.

    """
    sidecar = facts.sidecar
    owner = [f"uid={user[0]}", f"gid={user[1]}"] if user else []
    return FuseVolume(
        driver=facts.driver,
        attributes={"bucketName": bucket, "mountOptions": ",".join(["implicit-dirs", *owner])},
        cpu_millicores=sidecar.cpu_millicores,
        memory_gib=sidecar.memory_gib,
        ephemeral_storage_gib=sidecar.ephemeral_storage_gib,
        unlimited=cluster.profile == "standard",
        writable=True,
    )


def fuse_annotations(volume: FuseVolume, facts: FuseFacts) -> dict[str, str]:
    """What the pod carries: what the container requests that reads the bucket, and its limits.

    A container that is killed for its memory leaves the mount broken for the rest of the pod's life. On Standard it has
    no limits; Autopilot takes none of 0 (the driver's docs/troubleshooting.md).
    """
    requests = {
        "cpu": f"{volume.cpu_millicores}m",
        "memory": f"{volume.memory_gib}Gi",
        "ephemeral-storage": f"{volume.ephemeral_storage_gib}Gi",
    }
    kinds = {name: {"request": value, "limit": "0" if volume.unlimited else value} for name, value in requests.items()}
    prefix = next(iter(facts.annotations)).partition("/")[0]
    stated = {f"{prefix}/{name}-{kind}": value for name, both in kinds.items() for kind, value in both.items()}
    return dict(sorted({**facts.annotations, **stated}.items()))
