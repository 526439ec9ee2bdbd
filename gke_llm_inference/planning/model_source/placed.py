"""What cannot work, and what may go wrong, once it is known where a server runs that reads the stack's store."""

from collections.abc import Iterator

from gke_llm_inference.catalog.facts import machine_family
from gke_llm_inference.planning.machines import candidates
from gke_llm_inference.planning.model_source.disk import disk_zone, zones_with_gpu
from gke_llm_inference.planning.stages import TieredServer
from gke_llm_inference.settings import ExistingCluster, Finding


def placed_findings(server: TieredServer) -> Iterator[Finding]:
    """Problems and warnings of what a server needs of its machines and in its zones: a volume, or a cache."""
    volume = server.settings.model_volume
    if volume is not None and volume.storage == "hyperdiskMl":
        yield from _machine_findings(server, "modelVolume.storage", "use another kind of volume, or another GPU")
    asked = server.settings.store_source
    if asked is None:
        return
    if asked.by == "hyperdiskMl":
        yield from _disk_findings(server)
        yield from _zone_findings(server)
    if asked.anywhere_cache:
        yield _cache_finding(server)


def _machine_findings(server: TieredServer, setting: str, fix: str) -> Iterator[Finding]:
    """The problem of machines that do not attach Hyperdisk ML; none where the machines are not known."""
    facts = server.stack.catalog.model_sources.hyperdisk_ml
    for what, machines in _machines(server):
        if machines and not any(_family(name) in facts.families for name in machines):
            yield Finding(
                path=f"{server.path}.{setting}",
                what=f"{what} do not attach Hyperdisk ML",
                why=f"the families {', '.join(facts.families)} do; the pods would wait for the volume forever",
                fix=fix,
            )


def _machines(server: TieredServer) -> Iterator[tuple[str, list[str]]]:
    """The machines that the server may get, each kind with what to call it: those of its tiers, pool or GPU."""
    if server.capacity is not None:
        for tier in server.capacity.tiers:
            yield f"machines of tier {tier.title}", [tier.machine_type]
        return
    gpus, pool = server.settings.accelerator, server.pool
    names = [pool.machine_type] if pool else candidates(gpus.type, gpus.count, server.stack.catalog)
    yield f"machines with {gpus.type}", names


def _disk_findings(server: TieredServer) -> Iterator[Finding]:
    yield from _machine_findings(server, "modelSource.by", "use by: gcsfuse, or by: streamer with vLLM")
    if isinstance(server.stack.cluster.settings, ExistingCluster):
        name = server.stack.catalog.model_sources.hyperdisk_ml.compute_class
        yield Finding(
            path=f"{server.path}.modelSource.by",
            what=f"needs a ComputeClass with the name {name} in the cluster",
            why="GKE fills the volume on its nodes, and the stack makes none in a cluster of others",
            fix="apply the one that docs/model-store.md shows",
            severity="warning",
        )


def _zone_findings(server: TieredServer) -> Iterator[Finding]:
    path = f"{server.path}.modelSource.disk.zone"
    pool, zone = server.pool, disk_zone(server.settings, server.pool)
    zones = _zones(server)
    for what, offered in _later_tiers(server):
        if zone is not None and offered and zone not in offered:
            yield Finding(
                path=path,
                what=f"{zone} is not a zone of {what}",
                why="the pods follow the volume, and would never find that tier there",
                fix=f"use a zone of all tiers, such as {offered[0]}, or leave the tier out of capacity",
            )
    if zone is None:
        yield Finding(
            path=path,
            what="is missing",
            why="a volume of Hyperdisk ML is in one zone, and the pods with it"
            + (f"; node pool {pool.key} has {len(pool.zones)}" if pool else ""),
            fix=f"set it to one of {', '.join(zones)}" if zones else "set it to a zone that has the GPU",
        )
    elif zones and zone not in zones:
        of = f"node pool {pool.key}" if pool else server.settings.accelerator.type
        yield Finding(
            path=path,
            what=f"{zone} is not a zone of {of}",
            why="the pods follow the volume, and would wait for a node there forever",
            fix=f"use {' or '.join(zones)}",
        )


def _later_tiers(server: TieredServer) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The tiers after the first, each with its zones; none where they are not known."""
    region, known = server.stack.cluster.region, server.stack.catalog.accelerators
    for pool in server.tier_pools[1:]:
        yield f"node pool {pool.key}", pool.zones
    for tier in server.capacity.tiers[1:] if server.capacity else ():
        if tier.node_pool is None and region is not None and tier.gpu_type in known:
            yield f"tier {tier.title}", known[tier.gpu_type].zones_in(region)


def _cache_finding(server: TieredServer) -> Finding:
    path = f"{server.path}.modelSource.anywhereCache"
    store = server.stack.model_store
    if not _zones(server):
        return Finding(
            path=path,
            what="has no zone",
            why="a cache is in one zone, and those of the pods are not known",
            fix="remove it",
        )
    if store is not None and store.bucket.crosses_to is not None:
        return Finding(
            path=path,
            what=f"cannot be in {store.bucket.crosses_to} for a bucket in {store.bucket.location}",
            why="a cache is in a zone of its bucket's own location",
            fix="remove it, or use a bucket in the cluster's region",
        )
    return Finding(
        path=path,
        what="costs money for what it keeps and for what is read through it",
        why="no price of it is known here, and each pod reads the model once",
        fix="remove it, unless many pods start at once",
        severity="warning",
    )


def _zones(server: TieredServer) -> tuple[str, ...]:
    return zones_with_gpu(server.settings, server.pool, server.stack.cluster.region, server.stack.catalog)


def _family(machine_type: str) -> str:
    return machine_family(machine_type).partition("-")[0]
