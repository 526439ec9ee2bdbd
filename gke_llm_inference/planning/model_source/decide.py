"""From where a server's model comes to what its pods get for it."""

from collections.abc import Iterable
from dataclasses import replace

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.model_source_facts import StreamerFacts
from gke_llm_inference.planning.arguments import MODELS_DIRECTORY, ModelPlace, place_in
from gke_llm_inference.planning.model_source.disk import disk_zone, plan_disk, zones_with_gpu
from gke_llm_inference.planning.model_source.fuse import fuse_annotations, plan_fuse
from gke_llm_inference.planning.model_source.plan import BucketCaches, DiskPlan, ModelSourcePlan
from gke_llm_inference.planning.model_source.source import ModelPath, ModelSource, reader_account, why_not_streamed
from gke_llm_inference.planning.model_source.streamer import Streamer
from gke_llm_inference.planning.model_volume import mount_path, offline_environment, plan_model_volume
from gke_llm_inference.planning.plan import (
    ClusterPlan,
    Decision,
    ModelVolumePlan,
    NodePoolPlan,
    PodResources,
    ServerPlan,
)
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import ServerSettings

_WAYS: dict[ModelPath, str] = {
    "streamer": "by the streamer",
    "gcsfuse": "as files of Cloud Storage FUSE",
    "hyperdiskMl": "through a volume of Hyperdisk ML",
}


def place_of(settings: ServerSettings, source: ModelSource, streamer: Streamer | None) -> ModelPlace:
    """Where a server finds its model, as its command line says it.

    Args:
        settings: the server's settings.
        source: where the model comes from.
        streamer: how it is streamed; None where it is not.

    """
    if streamer is not None:
        return ModelPlace(told=source.uri, load_format=streamer.load_format, loader=streamer.config)
    return ModelPlace(told=MODELS_DIRECTORY) if source.bucket else place_in(settings)


def model_environment(settings: ServerSettings, version: str, facts: StreamerFacts | None) -> dict[str, str]:
    """Variables of a server that has nothing to ask Hugging Face for.

    Args:
        settings: its settings.
        version: its version.
        facts: what the streamer can; None where the model is not streamed.

    """
    if facts is not None and version_parts(version) < version_parts(facts.offline_since):
        return {}
    return offline_environment(settings)


def plan_model_source(
    key: str,
    settings: ServerSettings,
    source: ModelSource,
    *,
    pool: NodePoolPlan | None,
    region: str | None,
    namespace: str,
    checkpoint_gib: float,
    catalog: Catalog,
) -> ModelSourcePlan:
    """How a server that has its place gets its model.

    Args:
        key: name of the server in the configuration.
        settings: its settings.
        source: where the model comes from.
        pool: its node pool, where the stack has one.
        region: region of the cluster, where it is known.
        namespace: its namespace.
        checkpoint_gib: size of the checkpoint.
        catalog: the facts to decide by.

    """
    if not source.bucket:
        return ModelSourcePlan(source=source)
    disk = None
    zone = disk_zone(settings, pool) if source.path == "hyperdiskMl" else None
    if zone is not None:
        disk = plan_disk(
            key,
            settings,
            source,
            zone=zone,
            namespace=namespace,
            checkpoint_gib=checkpoint_gib,
            facts=catalog.model_sources.hyperdisk_ml,
        )
    asked = settings.store_source
    caches = asked is not None and asked.anywhere_cache
    return ModelSourcePlan(
        source=source,
        reader=reader_account(key, settings),
        disk=disk,
        cached_in=zones_with_gpu(settings, pool, region, catalog) if caches else (),
    )


def plan_caches(servers: Iterable[ServerPlan], catalog: Catalog) -> BucketCaches | None:
    """The caches of the stack's bucket: one for each zone in which a server wants one; None where none does."""
    zones = {zone for one in servers if one.model_source is not None for zone in one.model_source.cached_in}
    if not zones:
        return None
    return BucketCaches(zones=tuple(sorted(zones)), ttl_seconds=catalog.model_sources.anywhere_cache.ttl_seconds)


def source_decision(
    settings: ServerSettings, source: ModelSource, version: str, checkpoint: str, catalog: Catalog
) -> tuple[Decision, ...]:
    """What was decided on the way that a model takes from the stack's store; nothing for other models.

    Args:
        settings: the server's settings.
        source: where its model comes from.
        version: its version.
        checkpoint: format of its checkpoint.
        catalog: the facts to decide by.

    """
    asked = settings.store_source
    if asked is None:
        return ()
    if asked.by is not None:
        why = "modelSource.by says so"
    else:
        obstacle = why_not_streamed(settings, version, checkpoint, catalog.model_sources.streamer)
        why = f"the streamer is left out: {obstacle.why}" if obstacle else "the fastest way of this server and version"
    return (Decision("modelSource", f"reads {source.uri} {_WAYS[source.path]}", why),)


def plan_mount(
    settings: ServerSettings,
    plan: ModelSourcePlan,
    cluster: ClusterPlan,
    working_directory: str | None,
    catalog: Catalog,
) -> ModelVolumePlan | None:
    """What the pods mount to read the model; None where they mount nothing.

    Args:
        settings: the server's settings.
        plan: how it gets its model.
        cluster: the cluster.
        working_directory: where a server starts that is told the model's name; None for one that has a flag for it.
        catalog: the facts to decide by.

    """
    source = plan.source
    if not source.bucket:
        return plan_model_volume(settings, working_directory)
    place = mount_path(settings, working_directory)
    if source.path == "gcsfuse":
        facts = catalog.model_sources.gcsfuse
        fuse = plan_fuse(source, cluster, facts)
        return ModelVolumePlan(
            claim="",
            mount_path=place,
            annotations=fuse_annotations(fuse, facts),
            working_directory=working_directory,
            fuse=fuse,
        )
    if plan.disk is not None:
        return ModelVolumePlan(
            claim=plan.disk.name, mount_path=place, annotations={}, working_directory=working_directory
        )
    return None


def with_sidecar(
    resources: PodResources, source: ModelSource, catalog: Catalog, *, keeps_in_bucket: bool = False
) -> PodResources:
    """The requests with those of the container that mounts buckets beside the server, where there is one.

    Args:
        resources: the requests without it.
        source: where the model comes from.
        catalog: the facts to decide by.
        keeps_in_bucket: whether the server keeps what it compiled in a bucket.

    """
    if source.path != "gcsfuse" and not keeps_in_bucket:
        return resources
    sidecar = catalog.model_sources.gcsfuse.sidecar
    return replace(
        resources,
        beside_cpu_millicores=resources.beside_cpu_millicores + sidecar.cpu_millicores,
        beside_memory_gib=resources.beside_memory_gib + sidecar.memory_gib,
        beside_disk_gib=resources.beside_disk_gib + sidecar.ephemeral_storage_gib,
    )


def zone_of(disk: DiskPlan | None) -> str | None:
    """The zone that the pods have to be in; None for any."""
    return disk.zone if disk is not None else None
