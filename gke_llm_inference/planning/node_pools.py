"""Decides on GPU node pools: machine, zones, driver, labels."""

import math
from collections.abc import Iterable, Mapping

from gke_llm_inference.catalog import Catalog, MachineType
from gke_llm_inference.planning.accelerators import accelerator_problems, region_problems
from gke_llm_inference.planning.cluster import region_of
from gke_llm_inference.planning.machines import candidates
from gke_llm_inference.planning.names import clashes, dns_label
from gke_llm_inference.planning.plan import ClusterPlan, DriverVersion, NodePoolPlan, ServerPlan
from gke_llm_inference.settings import ExistingCluster, Finding, NodePoolSettings, suggestion

POOL_LABEL = "llm-inference/node-pool"
"""Node label with the pool's name; a server's pods select it."""

_AUTONAME_SUFFIX = 8
_RESERVED_DOMAINS = ("cloud.google.com", "kubernetes.io", "k8s.io", "gke.io", "nvidia.com")


def check_pools(
    pools: Mapping[str, NodePoolSettings], cluster: ClusterPlan, catalog: Catalog
) -> tuple[Mapping[str, NodePoolSettings], list[Finding]]:
    """The pools that a stack may have, and problems and warnings of their settings, whatever runs on them."""
    misplaced = _misplaced(pools, cluster)
    if misplaced:
        return {}, misplaced
    findings = clashes("nodePools", pools, _name_limit(catalog))
    for key, settings in sorted(pools.items()):
        path = f"nodePools.{key}"
        found = accelerator_problems(f"{path}.accelerator", settings.accelerator, catalog)
        findings += found
        if found:
            continue
        findings += _machine_problems(path, settings, catalog)
        findings += _zone_findings(path, settings, cluster, catalog)
        findings += _taint_problems(path, settings)
        if settings.provisioning.model == "spot" and settings.min_nodes > 0:
            findings.append(
                Finding(
                    path=f"{path}.minNodes",
                    what="is not guaranteed on Spot VMs (preemption)",
                    why="Google preempts Spot VMs at any time, all of them at once if necessary",
                    fix="put servers that must stay up on an on-demand pool",
                    severity="warning",
                )
            )
    return pools, findings


def _misplaced(pools: Mapping[str, NodePoolSettings], cluster: ClusterPlan) -> list[Finding]:
    if not pools:
        return []
    if cluster.profile == "autopilot":
        return [
            Finding(
                path="nodePools",
                what="are not possible on Autopilot",
                why="Google makes the nodes for each pod there",
                fix="remove nodePools, or use cluster.mode: standard",
            )
        ]
    if isinstance(cluster.settings, ExistingCluster) and cluster.location is None:
        if cluster.settings.stack_reference is not None:
            return [
                Finding(
                    path="nodePools",
                    what="need the cluster's location",
                    why="zones and machines are planned before the other stack's outputs are read",
                    fix="add cluster.location, or leave node pools to the stack that owns the cluster",
                )
            ]
        return [
            Finding(
                path="nodePools",
                what="need a cluster in Google Cloud",
                why="cluster.kubeconfigContext names one that only Kubernetes knows",
                fix="give cluster.name and cluster.location instead, or remove nodePools",
            )
        ]
    return []


def plan_pool(
    key: str,
    settings: NodePoolSettings,
    machine_type: str,
    *,
    newest_cuda: str,
    cluster: ClusterPlan,
    catalog: Catalog,
) -> NodePoolPlan:
    """The plan of a pool whose settings have no problem.

    Args:
        key: the pool's name in the configuration.
        settings: the pool's settings.
        machine_type: machine that holds what runs on the pool.
        newest_cuda: newest CUDA version among its servers' images, such as 13.0; empty if none runs there.
        cluster: the cluster's plan.
        catalog: the facts to decide by.

    """
    zones = settings.zones or _default_zones(settings, cluster, catalog)
    name = dns_label(key, _name_limit(catalog))
    return NodePoolPlan(
        key=key,
        name=name,
        settings=settings,
        machine_type=machine_type,
        zones=tuple(sorted(set(zones))),
        driver_version=settings.driver_version
        or catalog.accelerators[settings.accelerator.type].driver
        or driver_for(newest_cuda),
        node_labels=dict(sorted({**settings.labels, POOL_LABEL: name}.items())),
    )


def _default_zones(settings: NodePoolSettings, cluster: ClusterPlan, catalog: Catalog) -> tuple[str, ...]:
    """All zones of the region that have the GPU; the zone of a zonal cluster."""
    if cluster.location is not None and cluster.location != cluster.region:
        return (cluster.location,)
    return catalog.accelerators[settings.accelerator.type].zones_in(cluster.region or "")


def running_nodes(pool: NodePoolPlan, servers: Iterable[ServerPlan]) -> int:
    """Nodes of a pool while every replica runs: by GPUs, as GPUs are what pods on such nodes compete for."""
    return _nodes_of(pool, sum(server.pods * server.gpu_count for server in servers if server.node_pool == pool.key))


def least_running_nodes(pool: NodePoolPlan, servers: Iterable[ServerPlan]) -> int | None:
    """The same with the fewest replicas; None where no number of replicas on the pool follows a load."""
    own = [server for server in servers if server.node_pool == pool.key]
    if all(server.autoscaling is None for server in own):
        return None
    return _nodes_of(pool, sum(server.least_pods * server.gpu_count for server in own))


def _nodes_of(pool: NodePoolPlan, gpus: int) -> int:
    clients = pool.settings.sharing.max_clients if pool.settings.sharing else 1
    return max(pool.settings.min_nodes, math.ceil(gpus / (pool.settings.accelerator.count * clients)))


def driver_for(cuda: str) -> DriverVersion:
    """The NVIDIA driver that images of a CUDA version need: GKE's default trails CUDA 13."""
    return "latest" if cuda and int(cuda.split(".")[0]) >= 13 else "default"


def _name_limit(catalog: Catalog) -> int:
    return catalog.gke.name_limits.node_pool - _AUTONAME_SUFFIX


def _machine_problems(path: str, settings: NodePoolSettings, catalog: Catalog) -> list[Finding]:
    problems = []
    accelerator = settings.accelerator
    name = settings.machine_type
    if name is not None and name not in catalog.machine_types:
        return [
            Finding(
                path=f"{path}.machineType",
                what=f"{name} is not a GPU machine of the catalog",
                why="Google would reject the pool after the cluster is made",
                fix=suggestion(name, candidates(accelerator.type, accelerator.count, catalog) or catalog.machine_types),
            )
        ]
    fitting = candidates(accelerator.type, accelerator.count, catalog)
    if name is not None and name not in fitting:
        machine = catalog.machine_types[name]
        problems.append(
            Finding(
                path=f"{path}.machineType",
                what=f"{name} has {machine.gpus} × {machine.accelerator}, not {accelerator.count} × {accelerator.type}",
                why="a machine type comes with its GPUs; Google rejects any other number",
                fix=f"use one of: {', '.join(fitting)}",
            )
        )
        return problems
    chosen: MachineType = catalog.machine_types[name or fitting[0]]
    if settings.local_ssds and chosen.local_ssds is None:
        problems.append(
            Finding(
                path=f"{path}.localSsds",
                what=f"how many local SSDs {name or fitting[0]} takes is not known",
                why="Google rejects the pool where it takes none, or another number",
                fix="remove it, or go on if you know better",
                severity="warning",
            )
        )
    if chosen.local_ssds is not None and settings.local_ssds > chosen.local_ssds:
        problems.append(
            Finding(
                path=f"{path}.localSsds",
                what=f"{name or fitting[0]} takes at most {chosen.local_ssds} local SSDs",
                why="Google would reject the pool",
                fix=f"use {chosen.local_ssds} or fewer",
            )
        )
    disks = catalog.disks.types(name or fitting[0])
    if disks and settings.disk_type not in disks:
        problems.append(
            Finding(
                path=f"{path}.diskType",
                what=f"{name or fitting[0]} does not boot from {settings.disk_type}",
                why="Google would reject the pool",
                fix=f"use {disks[0]}",
            )
        )
    if len(settings.secondary_boot_disks) > 1:
        problems.append(
            Finding(
                path=f"{path}.secondaryBootDisks",
                what=f"a pool has one at most, not {len(settings.secondary_boot_disks)}",
                why="Pulumi's provider sends only the first, and then plans to replace the pool at every update",
                fix="keep one, with everything on it",
            )
        )
    if settings.provisioning.model not in chosen.provisioning:
        problems.append(
            Finding(
                path=f"{path}.provisioning.model",
                what=f"{name or fitting[0]} is not available with {settings.provisioning.model}",
                why="Google offers it only as " + " and ".join(chosen.provisioning),
                fix=f"use {chosen.provisioning[0]}{_sold_otherwise(settings, catalog)}",
            )
        )
    if settings.provisioning.model == "flexStart" and settings.min_nodes > 0:
        problems.append(
            Finding(
                path=f"{path}.minNodes",
                what="must be 0 with flexStart",
                why="flex-start machines exist only while pods wait for them or use them",
                fix="remove minNodes",
            )
        )
    return problems


def _sold_otherwise(settings: NodePoolSettings, catalog: Catalog) -> str:
    """Machines with the same GPU that Google does sell in the way that was asked for, as the end of a fix."""
    counts = [
        machine.gpus
        for machine in catalog.machine_types.values()
        if machine.accelerator == settings.accelerator.type and settings.provisioning.model in machine.provisioning
    ]
    return f", or a machine with {min(counts)} GPUs" if counts else ""


def _zone_findings(path: str, settings: NodePoolSettings, cluster: ClusterPlan, catalog: Catalog) -> list[Finding]:
    accelerator = settings.accelerator.type
    region = cluster.region
    if region is None:
        return []
    known = catalog.accelerators[accelerator].zones_in(region)
    if not settings.zones:
        if known and cluster.location != region and cluster.location not in known:
            return [
                Finding(
                    path="cluster.location",
                    what=f"{cluster.location} is not known to have {accelerator}",
                    why=f"the catalog knows it in {', '.join(known)}; without GPUs, no node could be made",
                    fix=f"use one of those, {region} for a regional cluster, or zones of nodePools if you know better",
                )
            ]
        problems = region_problems(f"{path}.accelerator.type", accelerator, region, catalog)
        return problems or _unknown_zones(path, accelerator, cluster, known)
    problems = []
    warnings: list[Finding] = []
    for index, zone in enumerate(settings.zones):
        where = f"{path}.zones[{index}]"
        if region_of(zone) != region:
            problems.append(
                Finding(
                    path=where,
                    what=f"{zone} is not in {region}",
                    why="a node pool can only use zones of the cluster's region",
                    fix=f"use zones of {region}" + (f", such as {known[0]}" if known else ""),
                )
            )
        elif not known:
            problems += region_problems(where, accelerator, region, catalog)
        elif zone not in known:
            warnings.append(
                Finding(
                    path=where,
                    what=f"{zone} is not known to have {accelerator}",
                    why=f"the catalog knows it in {', '.join(known)}; without GPUs there, the pool cannot be made",
                    fix="use those zones, or go on if you know better",
                    severity="warning",
                )
            )
    if problems or not warnings or len(warnings) < len(settings.zones):
        return [*problems, *warnings]
    first = warnings[0]
    return [
        Finding(
            path=f"{path}.zones",
            what=f"no zone of the pool is known to have {accelerator}",
            why=first.why,
            fix="use those zones",
        )
    ]


def _unknown_zones(path: str, accelerator: str, cluster: ClusterPlan, known: tuple[str, ...]) -> list[Finding]:
    """The problem of a pool that takes every zone with its GPU, in a region where those are not known."""
    if known or cluster.location != cluster.region:
        return []
    return [
        Finding(
            path=f"{path}.zones",
            what=f"the zones of {cluster.region} that have {accelerator} are not known",
            why="a pool in a zone without the GPU cannot be made",
            fix=f"give those that gcloud compute accelerator-types list --filter=name={accelerator} shows",
        )
    ]


def _taint_problems(path: str, settings: NodePoolSettings) -> list[Finding]:
    return [
        Finding(
            path=f"{path}.taints[{index}].key",
            what="belongs to GKE",
            why="GKE sets its own taints, and rejects ours in its domains",
            fix="use a key of your own",
        )
        for index, taint in enumerate(settings.taints)
        if _is_reserved(taint.key)
    ]


def _is_reserved(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    return any(domain == reserved or domain.endswith(f".{reserved}") for reserved in _RESERVED_DOMAINS)
