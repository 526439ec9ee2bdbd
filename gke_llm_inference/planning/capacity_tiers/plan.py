"""What the capacity of a server comes to: its tiers, and the compute class that tries them in order."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gke_llm_inference.catalog.facts import ProvisioningName
from gke_llm_inference.planning.node_shutdown import NodeShutdown

if TYPE_CHECKING:
    from gke_llm_inference.planning.memory import MemoryPlan
    from gke_llm_inference.planning.performance.plan import PerformancePlan


@dataclass(frozen=True, kw_only=True)
class TierPlan:
    """One way in which Google provides a server's machines.

    Attributes:
        index: its place in the list.
        model: how the machines are provided.
        machine_type: machine that the pod is planned for.
        gpu_type: GPU of the machine.
        gpu_count: how many of them a replica gets.
        memory: where the memory of each GPU goes; None where that is not planned.
        performance: how fast the server is there; None where nothing is asked of its speed, or it is not known.
        usd_per_hour: list price of the machine of one replica, of this kind; None where none is known.
        note: what the price leaves out, or why there is none.
        node_pool: the node pool that it is; None for machines that Google makes for the pod.
        wait_seconds: how long the tiers before it may take until this one is tried.

    """

    index: int
    model: ProvisioningName
    machine_type: str
    gpu_type: str
    gpu_count: int
    memory: "MemoryPlan | None"
    performance: "PerformancePlan | None"
    usd_per_hour: float | None
    note: str = ""
    node_pool: str | None = None
    wait_seconds: int = 0

    @property
    def title(self) -> str:
        """What it is, in words."""
        pool = f" of nodePools.{self.node_pool}" if self.node_pool else ""
        return f"{self.model} {self.machine_type}{pool}"

    def summary(self, new_node_seconds: int) -> str:
        """What the tier comes to: whether the server fits and is fast enough, what an hour costs, when it starts."""
        fit = self.memory.verdict if self.memory else "not planned"
        verdict = self.performance.verdict if self.performance else ""
        speed = f", {verdict} its objectives" if verdict else ""
        if self.usd_per_hour is None:
            price = self.note or "no price known"
        else:
            price = f"{self.usd_per_hour:.2f} USD an hour" + (f" ({self.note})" if self.note else "")
        wait = f" after up to {self.wait_seconds} s for the tiers before" if self.wait_seconds else ""
        return f"{self.index + 1}. {self.title}: {fit}{speed}; {price}; starts in {new_node_seconds} s{wait}"


@dataclass(frozen=True, kw_only=True)
class ReservationRule:
    """A reservation that a rule takes machines from.

    Attributes:
        name: the reservation's name.
        project: project that owns it; the cluster's own if None.
        zones: zones that it is in; found by its name if empty.

    """

    name: str
    project: str | None = None
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FlexStartRule:
    """How a rule takes flex-start machines.

    Attributes:
        max_run_seconds: seconds after which Google takes a machine back.
        recycle_lead_seconds: seconds before that in which a new one is brought; None brings none.
        wait_seconds: seconds after which the next rule is tried; None where there is no next one.

    """

    max_run_seconds: int
    recycle_lead_seconds: int | None = None
    wait_seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class ClassRule:
    """One rule of a compute class: a kind of machine, or node pools that exist.

    Attributes:
        machine_type: machine of the nodes; None for node pools.
        gpu_type: GPU of the machine.
        gpu_count: how many it has.
        driver_version: NVIDIA driver that GKE installs.
        spot: whether the machines may be taken back at any time.
        reservation: where they come from; None for machines that are not reserved.
        flex_start: how flex-start machines are taken; None for others.
        shutdown: how long Spot machines take to end; None for GKE's own times.
        boot_disk_type: boot disk of the nodes; None for GKE's choice.
        boot_disk_gb: its size in GB; None for GKE's choice.
        local_ssds: 375 GB local SSDs that are attached for ephemeral storage, beside those that a machine always has.
        secondary_boot_disk: disk image with container images that the nodes start with; None for none.
        node_pool: key of the node pool that the rule is; None for machines that GKE makes.

    """

    machine_type: str | None = None
    gpu_type: str = ""
    gpu_count: int = 0
    driver_version: Literal["default", "latest"] = "default"
    spot: bool = False
    reservation: ReservationRule | None = None
    flex_start: FlexStartRule | None = None
    shutdown: NodeShutdown | None = None
    boot_disk_type: str | None = None
    boot_disk_gb: int | None = None
    local_ssds: int = 0
    secondary_boot_disk: str | None = None
    node_pool: str | None = None


@dataclass(frozen=True, kw_only=True)
class ComputeClassPlan:
    """A ComputeClass of GKE: rules that the autoscaler tries in order. Where none has a machine, pods wait.

    Attributes:
        name: its name, which is the cluster's own and not the namespace's.
        rules: what is tried, in order.
        creates_pools: whether GKE makes node pools for it, on a Standard cluster; Autopilot always does.

    """

    name: str
    rules: tuple[ClassRule, ...]
    creates_pools: bool = False


@dataclass(frozen=True, kw_only=True)
class CapacityPlan:
    """The capacity of a server.

    Attributes:
        tiers: ways in which Google provides its machines, in the order in which they are tried.
        compute_class: what tries them in order; None where a pod asks for its one tier by itself.

    """

    tiers: tuple[TierPlan, ...]
    compute_class: ComputeClassPlan | None = None

    @property
    def wait_seconds(self) -> int:
        """How long it may take until the last tier is tried."""
        return self.tiers[-1].wait_seconds

    @property
    def priced(self) -> tuple[TierPlan, ...]:
        """The tiers whose price is known, cheapest first."""
        known = [tier for tier in self.tiers if tier.usd_per_hour is not None]
        return tuple(sorted(known, key=lambda tier: (tier.usd_per_hour, tier.index)))
