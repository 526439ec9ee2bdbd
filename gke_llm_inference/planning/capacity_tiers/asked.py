"""What a server's list of tiers asks for, and what is wrong with it before any machine is chosen."""

from collections.abc import Iterator, Sequence

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.accelerators import accelerator_problems
from gke_llm_inference.planning.capacity_tiers.places import gpu_findings, zone_findings
from gke_llm_inference.planning.capacity_tiers.versions import (
    auto_creation_findings,
    class_findings,
    flex_start_findings,
)
from gke_llm_inference.planning.cluster import PROJECT_ID
from gke_llm_inference.planning.plan import ClusterPlan, ClusterProfile
from gke_llm_inference.settings import (
    AcceleratorSettings,
    CapacityTier,
    Finding,
    FlexStartTier,
    MachineTier,
    NodePoolTier,
    ReservationTier,
    ServerSettings,
    suggestion,
)
from gke_llm_inference.settings.capacity import LONGEST_RUN_SECONDS


def needs_class(settings: ServerSettings, profile: ClusterProfile) -> bool:
    """Whether a compute class provides a server's machines.

    Several tiers need one. On Autopilot a pod asks for one tier by itself, unless it says what no label of a pod can
    say; on Standard nothing but a class makes machines for a pod.
    """
    tiers = settings.capacity
    beyond = bool(settings.local_ssds) or _is_beyond_labels(settings.tiers[0])
    if tiers is None:
        return beyond and profile == "autopilot"
    if profile == "standard":
        return len(tiers) > 1 or not isinstance(tiers[0], NodePoolTier)
    return len(tiers) > 1 or beyond


def makes_nodes(settings: ServerSettings, profile: ClusterProfile) -> bool:
    """Whether GKE makes nodes for a server's compute class on a Standard cluster, beside the stack's node pools."""
    return profile == "standard" and settings.capacity is not None and bool(machine_tiers(settings))


def machine_tiers(settings: ServerSettings) -> tuple[tuple[int, MachineTier], ...]:
    """The tiers that say how machines are provided, each with its place in the list."""
    return tuple((index, tier) for index, tier in enumerate(settings.tiers) if not isinstance(tier, NodePoolTier))


def gpu_of(tier: MachineTier, settings: ServerSettings, catalog: Catalog) -> str:
    """The GPU of a tier: that of its machine, or the one that it names, or the server's."""
    if tier.machine_type is not None and tier.machine_type in catalog.machine_types:
        return catalog.machine_types[tier.machine_type].accelerator
    return tier.accelerator or settings.accelerator.type


def all_gpus(settings: ServerSettings, catalog: Catalog) -> tuple[str, ...]:
    """The GPUs of all tiers, that of the first one first, each once."""
    others = (gpu_of(tier, settings, catalog) for _, tier in machine_tiers(settings))
    return tuple(dict.fromkeys((settings.accelerator.type, *others)))


def with_first_tier(
    path: str, settings: ServerSettings, cluster: ClusterPlan, catalog: Catalog
) -> tuple[ServerSettings, list[Finding]]:
    """The settings with the GPU, or the node pool, of the first tier, and what is wrong with the list.

    Everything is decided for the first tier; the others are judged by what comes of it.
    """
    if settings.capacity is None:
        return settings, _of_version(f"{path}.provisioning", settings, cluster, catalog)
    findings = _findings(path, settings, cluster, catalog)
    first = settings.capacity[0]
    if isinstance(first, NodePoolTier):
        if cluster.profile == "autopilot":
            return settings, findings
        return settings.model_copy(update={"node_pool": first.node_pool}), findings
    gpu = gpu_of(first, settings, catalog)
    if gpu == settings.accelerator.type or settings.accelerator.choices or gpu not in catalog.accelerators:
        return settings, findings
    # The tiers that name none keep the GPU that the server states.
    tiers = tuple(_named(tier, settings, catalog) for tier in settings.capacity)
    gpus = settings.accelerator.model_copy(update={"type": gpu})
    return settings.model_copy(update={"accelerator": gpus, "capacity": tiers}), findings


def _named(tier: CapacityTier, settings: ServerSettings, catalog: Catalog) -> CapacityTier:
    if isinstance(tier, NodePoolTier) or tier.machine_type is not None:
        return tier
    return tier.model_copy(update={"accelerator": gpu_of(tier, settings, catalog)})


def _findings(path: str, settings: ServerSettings, cluster: ClusterPlan, catalog: Catalog) -> list[Finding]:
    findings = [
        *_list_problems(path, settings.tiers, cluster),
        *_conflicts(path, settings),
        *_of_version(f"{path}.capacity", settings, cluster, catalog),
    ]
    # What Autopilot says of the server's own GPU is told with its other bounds.
    told = {gpu_of(tier, settings, catalog) for _, tier in machine_tiers(settings)[:1] if cluster.profile != "standard"}
    for index, tier in machine_tiers(settings):
        where, gpu = f"{path}.capacity[{index}]", gpu_of(tier, settings, catalog)
        found = list(_machine_problems(where, tier, settings, catalog))
        if not found and gpu not in told:
            found = gpu_findings(where, gpu, cluster, catalog)
            told.add(gpu)
        findings += found
        if isinstance(tier, ReservationTier) and not found:
            findings += zone_findings(where, tier, gpu, cluster, catalog)
        if isinstance(tier, ReservationTier):
            findings += _reservation_problems(where, tier)
    return findings


def _of_version(where: str, settings: ServerSettings, cluster: ClusterPlan, catalog: Catalog) -> list[Finding]:
    """What the cluster may be too old for."""
    tiers = machine_tiers(settings)
    findings: list[Finding] = []
    if settings.capacity is None and cluster.profile == "standard":
        return findings  # what the server's own provisioning says is not for a Standard cluster
    if needs_class(settings, cluster.profile):
        makes_pools = cluster.profile == "standard" and bool(tiers)
        findings += (auto_creation_findings if makes_pools else class_findings)(where, cluster, catalog)
    for index, tier in tiers:
        if isinstance(tier, FlexStartTier) and not findings:
            at = where if settings.capacity is None else f"{where}[{index}]"
            findings += flex_start_findings(at, cluster, catalog)
    return findings


def _list_problems(path: str, tiers: Sequence[CapacityTier], cluster: ClusterPlan) -> Iterator[Finding]:
    """Tiers that are listed twice, and node pools where they cannot be."""
    known: dict[CapacityTier, int] = {}
    for index, tier in enumerate(tiers):
        where = f"{path}.capacity[{index}]"
        if tier in known:
            yield Finding(
                path=where,
                what=f"is the same as capacity[{known[tier]}]",
                why="what has no machine at first is asked again later, not twice in a row",
                fix="remove one of them",
            )
        known.setdefault(tier, index)
        if not isinstance(tier, NodePoolTier):
            continue
        if cluster.profile == "autopilot":
            yield Finding(
                path=where,
                what="node pools are not possible on Autopilot",
                why="Google makes the nodes for each pod there",
                fix="name the way in which Google provides machines, such as onDemand or spot",
            )
        elif any(not isinstance(one, NodePoolTier) for one in tiers):
            yield Finding(
                path=where,
                what="a node pool stands beside other tiers",
                why="GKE makes no node pools for a class that lists pools, or looks at pools after all others",
                fix="list node pools alone, or none",
            )


def _conflicts(path: str, settings: ServerSettings) -> Iterator[Finding]:
    """Other settings that say something else about the machines."""
    tiers = settings.tiers
    first = tiers[0].node_pool if isinstance(tiers[0], NodePoolTier) else None
    if settings.node_pool is not None and settings.node_pool != first:
        yield Finding(
            path=f"{path}.nodePool",
            what="is stated beside capacity",
            why="capacity says where the server runs",
            fix=f"remove it, or use capacity: [{{nodePool: {settings.node_pool}}}] alone",
        )
    for index, tier in machine_tiers(settings):
        if settings.accelerator.choices and (tier.machine_type or tier.accelerator):
            yield Finding(
                path=f"{path}.capacity[{index}]",
                what="names a GPU, and accelerator is a list that a goal chooses from",
                why="either the goal chooses the GPU or the tiers name it",
                fix="remove machineType and accelerator of the tiers, or name one GPU under accelerator",
            )


def _machine_problems(where: str, tier: MachineTier, settings: ServerSettings, catalog: Catalog) -> Iterator[Finding]:
    """A machine or GPU that Google does not have, or not as the tier wants it."""
    count, name = settings.accelerator.count, tier.machine_type
    if name is not None:
        machine = catalog.machine_types.get(name)
        if machine is None:
            yield Finding(
                path=f"{where}.machineType",
                what=f"{name} is not a GPU machine of the catalog",
                why="the autoscaler would find no such machine",
                fix=suggestion(name, catalog.machine_types),
            )
            return
        if tier.accelerator not in (None, machine.accelerator):
            yield Finding(
                path=f"{where}.accelerator",
                what=f"{name} has {machine.accelerator}, not {tier.accelerator}",
                why="a machine type comes with its GPUs",
                fix="remove it, or name another machine type",
            )
            return
        if machine.gpus != count:
            fitting = [
                other
                for other, one in catalog.machine_types.items()
                if (one.accelerator, one.gpus) == (machine.accelerator, count)
            ]
            yield Finding(
                path=f"{where}.machineType",
                what=f"{name} has {machine.gpus} GPUs, and a replica gets {count}",
                why="all tiers run the same pod",
                fix=f"use one of: {', '.join(fitting)}" if fitting else f"set accelerator.count: {machine.gpus}",
            )
            return
        if tier.model not in machine.provisioning:
            yield _not_sold(where, name, tier, machine.provisioning)
        return
    gpu = gpu_of(tier, settings, catalog)
    if tier.accelerator is not None:
        gpus = AcceleratorSettings(type=gpu, count=count)
        for problem in accelerator_problems(where, gpus, catalog):
            at = where if problem.path == f"{where}.count" else f"{where}.accelerator"
            yield Finding(path=at, what=problem.what, why=problem.why, fix=problem.fix)
    sold = {
        way
        for one in catalog.machine_types.values()
        if (one.accelerator, one.gpus) == (gpu, count)
        for way in one.provisioning
    }
    if sold and tier.model not in sold:
        yield _not_sold(where, f"a machine with {count} × {gpu}", tier, sorted(sold))


def _not_sold(where: str, machine: str, tier: MachineTier, sold: Sequence[str]) -> Finding:
    return Finding(
        path=where,
        what=f"{machine} is not available with {tier.model}",
        why="Google offers it only as " + " and ".join(sold),
        fix=f"use {sold[0]}, or another machine",
    )


def _reservation_problems(where: str, tier: ReservationTier) -> Iterator[Finding]:
    if tier.project is not None and not PROJECT_ID.fullmatch(tier.project):
        yield Finding(
            path=f"{where}.project",
            what="is not a project id",
            why="ids are 6 to 30 lower-case letters, digits and dashes, letter first; a name or number is not one",
            fix="take the id of the project that owns the reservation",
        )


def _is_beyond_labels(tier: CapacityTier) -> bool:
    """Whether a tier says what a pod on Autopilot cannot ask for by labels of nodes."""
    match tier:
        case FlexStartTier():
            beyond = tier.recycle_lead_seconds is not None or tier.max_run_seconds != LONGEST_RUN_SECONDS
            return beyond or tier.machine_type is not None
        case ReservationTier():
            return len(tier.zones) > 1 or tier.machine_type is not None
        case NodePoolTier():
            return False
        case _:
            return tier.machine_type is not None
