"""Hyperdisk ML: a volume that GKE fills from the bucket, and that all pods of a server read."""

import hashlib
import math
from collections.abc import Iterable

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.model_source_facts import HyperdiskMlFacts
from gke_llm_inference.planning.model_source.plan import DiskPlan, TransferNodes
from gke_llm_inference.planning.model_source.source import ModelSource
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.plan import ClusterPlan, NodePoolPlan, ServerPlan
from gke_llm_inference.settings import ExistingCluster, HyperdiskSettings, ServerSettings

# A file system and the copy's own files take a share of the volume.
_SIZE_FACTOR = 1.1
_DIGEST_LENGTH = 8
# The copy may take that long for its node, and as long as a fifth of the slowest volume's throughput makes it.
_NODE_SECONDS = 1800
_SLOWEST_GIB_PER_SECOND = 0.08


def disk_zone(settings: ServerSettings, pool: NodePoolPlan | None) -> str | None:
    """Zone of the volume: what is stated, or the only zone of the pool; None where neither says it."""
    asked = _asked(settings)
    if asked.zone is not None:
        return asked.zone
    return pool.zones[0] if pool is not None and len(pool.zones) == 1 else None


def zones_with_gpu(
    settings: ServerSettings, pool: NodePoolPlan | None, region: str | None, catalog: Catalog
) -> tuple[str, ...]:
    """Zones in which the server's pods may run: those of its pool, or those that have its GPU; none if not known."""
    if pool is not None:
        return pool.zones
    known = catalog.accelerators.get(settings.accelerator.type)
    return known.zones_in(region) if known is not None and region is not None else ()


def plan_disk(
    key: str,
    settings: ServerSettings,
    source: ModelSource,
    *,
    zone: str,
    namespace: str,
    checkpoint_gib: float,
    facts: HyperdiskMlFacts,
) -> DiskPlan:
    """The volume. Its names change with what it holds: a new one is filled while pods still read the old one.

    Args:
        key: name of the server in the configuration.
        settings: its settings.
        source: where the model is.
        zone: zone of the volume.
        namespace: namespace of the server.
        checkpoint_gib: size of the checkpoint.
        facts: what Hyperdisk ML takes.

    """
    size = max(facts.smallest_gib, math.ceil(checkpoint_gib * _SIZE_FACTOR) + 1)
    throughput = _asked(settings).throughput_mib or facts.throughput_mib
    uri = f"{source.uri}/"
    digest = hashlib.sha256(f"{uri} {zone} {size} {throughput}".encode()).hexdigest()[:_DIGEST_LENGTH]
    name = dns_label(f"{dns_label(key)}-model-{digest}")
    return DiskPlan(
        name=name,
        storage_class=dns_label(f"{namespace}-{name}"),
        zone=zone,
        size_gib=size,
        throughput_mib=throughput,
        uri=uri,
        provisioner=facts.provisioner,
        disk_type=facts.disk_type,
        compute_class=facts.compute_class,
        ready_seconds=math.ceil(_NODE_SECONDS + checkpoint_gib / _SLOWEST_GIB_PER_SECOND),
    )


def plan_transfer(servers: Iterable[ServerPlan], cluster: ClusterPlan, catalog: Catalog) -> TransferNodes | None:
    """The nodes that fill the stack's volumes; None without any, and on a cluster of others, which may have them."""
    if isinstance(cluster.settings, ExistingCluster):
        return None
    if not any(one.model_source is not None and one.model_source.disk is not None for one in servers):
        return None
    facts = catalog.model_sources.hyperdisk_ml
    return TransferNodes(name=facts.compute_class, families=facts.compute_class_families)


def _asked(settings: ServerSettings) -> HyperdiskSettings:
    source = settings.store_source
    return source.disk if source is not None and source.disk is not None else HyperdiskSettings()
