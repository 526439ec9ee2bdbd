"""Decides on GPU node pools: machine, zones, driver, labels."""

from collections.abc import Mapping, Sequence

from catalog import Catalog, MachineType
from planning.accelerators import accelerator_problems, region_problems
from planning.cluster import region_of
from planning.machines import Allocatable, candidates, cheapest_machine, holds, room_for_pods
from planning.names import clashes, dns_label
from planning.plan import ClusterPlan, DriverVersion, NodePoolPlan
from settings import ExistingCluster, Finding, NodePoolSettings, suggestion

POOL_LABEL = "llm-inference/node-pool"
"""Node label with the pool's name; a server's pods select it."""

_AUTONAME_SUFFIX = 8
_RESERVED_DOMAINS = ("cloud.google.com", "kubernetes.io", "k8s.io", "gke.io", "nvidia.com")


def pools_allowed(cluster: ClusterPlan, pools: Mapping[str, NodePoolSettings]) -> list[Finding]:
    """Problems of having node pools at all on this cluster."""
    if not pools:
        return []
    if cluster.profile == "autopilot":
        return [
            Finding(
                "nodePools",
                "are not possible on Autopilot",
                "Google makes the nodes for each pod there",
                "remove nodePools, or use cluster.mode: standard",
            )
        ]
    if isinstance(cluster.settings, ExistingCluster) and cluster.location is None:
        return [
            Finding(
                "nodePools",
                "need a cluster in Google Cloud",
                "cluster.kubeconfigContext names one that only Kubernetes knows",
                "give cluster.name and cluster.location instead, or remove nodePools",
            )
        ]
    return []


def pool_problems(
    pools: Mapping[str, NodePoolSettings], cluster: ClusterPlan, catalog: Catalog
) -> tuple[list[Finding], list[Finding]]:
    """Problems and warnings of the pools' own settings, whatever runs on them."""
    problems = clashes("nodePools", pools, _name_limit(catalog))
    warnings: list[Finding] = []
    for key, settings in sorted(pools.items()):
        path = f"nodePools.{key}"
        found = accelerator_problems(f"{path}.accelerator", settings.accelerator, catalog)
        problems += found
        if found:
            continue
        problems += _machine_problems(path, settings, catalog)
        zone_problems, zone_warnings = _zone_findings(path, settings, cluster, catalog)
        problems += zone_problems
        warnings += zone_warnings
        problems += _taint_problems(path, settings)
        if settings.provisioning.model == "spot" and settings.min_nodes > 0:
            warnings.append(
                Finding(
                    f"{path}.minNodes",
                    "does not hold on Spot machines",
                    "Google takes them back at any time, all of them at once if need be",
                    "put servers that must stay up on an on-demand pool",
                )
            )
    return problems, warnings


def plan_pool(
    key: str,
    settings: NodePoolSettings,
    needs: Sequence[Allocatable],
    *,
    newest_cuda: str,
    cluster: ClusterPlan,
    catalog: Catalog,
) -> NodePoolPlan | None:
    """The plan of a pool whose settings have no problem; None if no machine holds what runs on it.

    Args:
        key: the pool's name in the configuration.
        settings: the pool's settings.
        needs: what the pods of one full node request, for each server that runs on the pool.
        newest_cuda: newest CUDA version among these servers, such as 13.0; empty if none runs there.
        cluster: the cluster's plan.
        catalog: the facts to decide by.

    """
    accelerator = settings.accelerator
    need = Allocatable(
        max((need.cpu_millicores for need in needs), default=0),
        max((need.memory_mib for need in needs), default=0),
    )
    machine = settings.machine_type or cheapest_machine(accelerator.type, accelerator.count, need, catalog)
    if machine is None or not holds(catalog.machine_types[machine], need, catalog):
        return None
    zones = settings.zones or catalog.accelerators[accelerator.type].zones_in(cluster.region or "")
    if cluster.location is not None and cluster.location != cluster.region:
        zones = settings.zones or (cluster.location,)
    name = dns_label(key, _name_limit(catalog))
    return NodePoolPlan(
        key=key,
        name=name,
        settings=settings,
        machine_type=machine,
        zones=tuple(sorted(set(zones))),
        driver_version=settings.driver_version or driver_for(newest_cuda),
        node_labels={**settings.labels, POOL_LABEL: name},
    )


def driver_for(cuda: str) -> DriverVersion:
    """The NVIDIA driver that images of a CUDA version need: GKE's default trails CUDA 13."""
    return "latest" if cuda and int(cuda.split(".")[0]) >= 13 else "default"


def describe_room(machine: str, catalog: Catalog) -> str:
    """What a node of this machine type has for pods, in words."""
    room = room_for_pods(catalog.machine_types[machine], catalog)
    return f"{room.cpu_millicores / 1000:.1f} vCPU and {room.memory_mib / 1024:.1f} GiB"


def _name_limit(catalog: Catalog) -> int:
    return catalog.gke.name_limits.node_pool - _AUTONAME_SUFFIX


def _machine_problems(path: str, settings: NodePoolSettings, catalog: Catalog) -> list[Finding]:
    problems = []
    accelerator = settings.accelerator
    name = settings.machine_type
    if name is not None and name not in catalog.machine_types:
        return [
            Finding(
                f"{path}.machineType",
                f"{name} is not a GPU machine of the catalogue",
                "Google would reject the pool after the cluster is made",
                suggestion(name, catalog.machine_types),
            )
        ]
    fitting = candidates(accelerator.type, accelerator.count, catalog)
    if name is not None and name not in fitting:
        machine = catalog.machine_types[name]
        problems.append(
            Finding(
                f"{path}.machineType",
                f"{name} has {machine.gpus} × {machine.accelerator}, not {accelerator.count} × {accelerator.type}",
                "a machine type comes with its GPUs; Google rejects any other number",
                f"use one of: {', '.join(fitting)}",
            )
        )
        return problems
    chosen: MachineType = catalog.machine_types[name or fitting[0]]
    if settings.local_ssds > chosen.local_ssds:
        problems.append(
            Finding(
                f"{path}.localSsds",
                f"{name or fitting[0]} takes at most {chosen.local_ssds} local SSDs",
                "Google would reject the pool",
                f"use {chosen.local_ssds} or fewer",
            )
        )
    if settings.provisioning.model not in chosen.provisioning:
        problems.append(
            Finding(
                f"{path}.provisioning.model",
                f"{name or fitting[0]} is not sold {settings.provisioning.model}",
                "Google has it only as " + " and ".join(chosen.provisioning),
                f"use {chosen.provisioning[0]}, or a machine with 8 GPUs",
            )
        )
    if settings.provisioning.model == "flexStart" and settings.min_nodes > 0:
        problems.append(
            Finding(
                f"{path}.minNodes",
                "must be 0 with flexStart",
                "flex-start machines exist only while pods wait for them or use them",
                "remove minNodes",
            )
        )
    return problems


def _zone_findings(
    path: str, settings: NodePoolSettings, cluster: ClusterPlan, catalog: Catalog
) -> tuple[list[Finding], list[Finding]]:
    accelerator = settings.accelerator.type
    region = cluster.region
    if region is None:
        return [], []
    if not settings.zones:
        return region_problems(f"{path}.accelerator.type", accelerator, region, catalog), []
    problems: list[Finding] = []
    warnings: list[Finding] = []
    known = catalog.accelerators[accelerator].zones_in(region)
    for index, zone in enumerate(settings.zones):
        where = f"{path}.zones[{index}]"
        if region_of(zone) != region:
            problems.append(
                Finding(
                    where,
                    f"{zone} is not in {region}",
                    "a node pool can only use zones of the cluster's region",
                    f"use zones of {region}" + (f", such as {known[0]}" if known else ""),
                )
            )
        elif not known:
            problems += region_problems(where, accelerator, region, catalog)
        elif zone not in known:
            warnings.append(
                Finding(
                    where,
                    f"{zone} is not known to have {accelerator}",
                    f"the catalogue knows it in {', '.join(known)}; without GPUs there, the pool cannot be made",
                    "use those zones, or go on if you know better",
                )
            )
    if problems or not warnings or len(warnings) < len(settings.zones):
        return problems, warnings
    first = warnings[0]
    return [
        Finding(
            f"{path}.zones",
            f"no zone of the pool is known to have {accelerator}",
            first.why,
            "use those zones",
        )
    ], []


def _taint_problems(path: str, settings: NodePoolSettings) -> list[Finding]:
    return [
        Finding(
            f"{path}.taints[{index}].key",
            "belongs to GKE",
            "GKE sets its own taints, and rejects ours in its domains",
            "use a key of your own",
        )
        for index, taint in enumerate(settings.taints)
        if any(domain in taint.key for domain in _RESERVED_DOMAINS)
    ]
