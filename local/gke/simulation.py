"""What of a plan the simulated cluster has to know: node pools, and how long servers take to start. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.catalog.kubernetes_names import (
    COMPUTE_CLASS_LABEL,
    DRIVER_VERSION_LABEL,
    FLEX_START_LABEL,
    RESERVATION_NAME_LABEL,
    RESERVATION_PROJECT_LABEL,
    SPOT_LABEL,
)
from gke_llm_inference.planning.machines import (
    boot_disk_for_gib,
    boot_disk_room_gib,
    cheapest_machine,
    ephemeral_room_gib,
)
from gke_llm_inference.planning.plan import NodePoolPlan, ServerPlan, StackPlan
from gke_llm_inference.planning.pods import pod_request
from gke_llm_inference.settings import StandardCluster
from local.gke.pools import DEFAULT_DISK_GB, RUN_LABEL, Pool, Provision, Taint, cpu_pool, gpu_pool, zones_of

DEFAULT_REGION = "us-central1"
"""Where the nodes of a cluster are that names no place itself."""
SYSTEM_POOL = "system"

_SYSTEM_MACHINE = "e2-standard-4"
_MOST_SYSTEM_NODES = 3
_MOST_NODES = 1000
_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}
_SHARING = {"timeSharing": "time-sharing", "mps": "mps"}


@dataclass(frozen=True)
class Start:
    """How long the pods of a server take.

    Attributes:
        image_seconds: until the container runs.
        expected_seconds: from then until it answers.
        budget_seconds: after which its startup probe gives up.

    """

    namespace: str
    server: str
    image_seconds: int
    expected_seconds: int
    budget_seconds: int


@dataclass(frozen=True)
class Simulation:
    """What a simulated cluster has to know.

    Attributes:
        pools: node pools, sorted by name.
        starts: of servers, sorted by namespace and name.
        region: where nodes are that GKE's autoscaler makes pools for by itself.

    """

    pools: tuple[Pool, ...]
    starts: tuple[Start, ...] = ()
    region: str = DEFAULT_REGION

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Simulation":
        """The simulation of a JSON form."""
        return cls(
            tuple(map(Pool.from_dict, document["pools"])),
            tuple(Start(**start) for start in document["starts"]),
            document["region"],
        )


def simulation_of(plans: Iterable[StackPlan], catalog: Catalog | None = None) -> Simulation:
    """What the cluster of these plans has: a pool for CPUs, and pools for their servers.

    Pools of a plan are taken as they are. A server without one is on a cluster whose nodes are somebody else's, or on
    Autopilot; it gets a pool of the machine that its plan was made for.
    """
    facts = catalog or load_catalog()
    pools: dict[str, Pool] = {}
    starts: dict[tuple[str, str], Start] = {}
    region = DEFAULT_REGION
    for plan in plans:
        region = plan.cluster.region or DEFAULT_REGION
        settings = plan.cluster.settings
        if isinstance(settings, StandardCluster):
            system = settings.system_pool
            pools[SYSTEM_POOL] = cpu_pool(
                SYSTEM_POOL,
                system.machine_type,
                settings.zones or zones_of(region),
                (system.min_nodes, system.max_nodes),
                system.disk_size_gb,
                facts,
            )
        for pool in plan.node_pools:
            pools[pool.name] = _planned_pool(pool, region, facts)
        for server in plan.servers:
            # For a compute class, GKE's autoscaler makes pools by itself.
            if server.node_pool is None and COMPUTE_CLASS_LABEL not in server.node_selector:
                made = _pool_for(server, region, facts)
                if made is not None:
                    pools[made.name] = made
            starts[server.namespace, server.name] = Start(
                server.namespace,
                server.name,
                math.ceil(server.start.part("imagePull").seconds),
                server.start.expected_seconds,
                server.probes.startup_failures * server.probes.startup_period_seconds,
            )
    if SYSTEM_POOL not in pools:
        zones = zones_of(DEFAULT_REGION)
        pools[SYSTEM_POOL] = cpu_pool(
            SYSTEM_POOL, _SYSTEM_MACHINE, zones, (1, _MOST_SYSTEM_NODES), DEFAULT_DISK_GB, facts
        )
    return Simulation(
        tuple(pool for _, pool in sorted(pools.items())), tuple(start for _, start in sorted(starts.items())), region
    )


def _planned_pool(plan: NodePoolPlan, region: str, catalog: Catalog) -> Pool:
    settings = plan.settings
    labels = dict(plan.node_labels)
    clients = 1
    if settings.sharing:
        clients = settings.sharing.max_clients
        labels["cloud.google.com/gke-gpu-sharing-strategy"] = _SHARING[settings.sharing.strategy]
        labels["cloud.google.com/gke-max-shared-clients-per-gpu"] = str(clients)
    return gpu_pool(
        plan.name,
        plan.machine_type,
        region,
        zones=plan.zones,
        nodes=(settings.min_nodes, settings.max_nodes),
        disk_gb=settings.disk_size_gb,
        ephemeral_gib=ephemeral_room_gib(settings, catalog),
        driver=plan.driver_version,
        provision=_provision(plan),
        clients=clients,
        labels=labels,
        taints=tuple(Taint(taint.key, taint.value, _EFFECTS[taint.effect]) for taint in plan.taints),
        catalog=catalog,
    )


def _pool_for(server: ServerPlan, region: str, catalog: Catalog) -> Pool | None:
    """A pool of the machine that a server is planned for; None where the catalog has no such machine."""
    machine = server.machine_type or cheapest_machine(
        server.gpu_type, server.gpu_count, pod_request(server.resources), catalog
    )
    if machine is None:
        return None
    provision = _asked(server.node_selector)
    driver = server.node_selector.get(DRIVER_VERSION_LABEL, "default")
    disk = max(DEFAULT_DISK_GB, boot_disk_for_gib(server.resources.ephemeral_storage_gib, catalog))
    boot_disk = catalog.gke.secondary_boot_disk.label
    labels = {key: value for key, value in server.node_selector.items() if key.startswith(boot_disk)}
    images = [key.removeprefix(boot_disk) for key in sorted(labels)]
    name = "-".join(["nap", machine, *_suffix(provision), driver, str(disk), *images])
    return gpu_pool(
        name,
        machine,
        region,
        zones=(),
        nodes=(0, _MOST_NODES),
        disk_gb=disk,
        ephemeral_gib=boot_disk_room_gib(disk, catalog),
        driver=driver,
        provision=provision,
        clients=1,
        labels=labels,
        taints=(),
        catalog=catalog,
    )


def _provision(plan: NodePoolPlan) -> Provision:
    settings = plan.settings.provisioning
    match settings.model:
        case "flexStart":
            return Provision.flex_start(run_seconds=settings.max_run_seconds)
        case "reservation":
            return Provision("reservation", settings.name, settings.project)
        case model if plan.shutdown:
            return Provision(
                model, shutdown_seconds=plan.shutdown.seconds, critical_seconds=plan.shutdown.critical_seconds
            )
        case model:
            return Provision(model)


def _asked(selector: Mapping[str, str]) -> Provision:
    """What pods without a compute class ask for by their selector."""
    if selector.get(SPOT_LABEL) == "true":
        return Provision("spot")
    if selector.get(FLEX_START_LABEL) == "true":
        run = selector.get(RUN_LABEL)
        return Provision.flex_start(run_seconds=None if run is None else int(run))
    if RESERVATION_NAME_LABEL in selector:
        return Provision("reservation", selector[RESERVATION_NAME_LABEL], selector.get(RESERVATION_PROJECT_LABEL))
    return Provision()


def _suffix(provision: Provision) -> list[str]:
    match provision.model:
        case "onDemand":
            return []
        case "reservation":
            return [str(provision.reservation)]
        case model:
            return [model.lower()]
