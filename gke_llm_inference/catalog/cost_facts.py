"""What a stack costs beside the machines of its GPUs; the facts are read where a cost is shown."""

from functools import cache

from gke_llm_inference.catalog.facts import Facts, MachineType, Positive, Price, machine_family
from gke_llm_inference.catalog.files import directory, read


class Fee(Facts):
    """What Google takes for a cluster."""

    usd_per_hour: Price
    free_usd_per_month: Price
    """What each billing account gets back for one cluster that is zonal or Autopilot."""
    source: str
    date: str


class LoadBalancerPrice(Facts):
    """What the forwarding rules of a project cost, without the traffic."""

    rules: Positive
    """How many the first price is for, together."""
    usd_per_hour: Price
    further_usd_per_hour: Price
    """For each rule beyond them."""
    source: str
    date: str

    def of(self, rules: int) -> float:
        """USD per hour of so many rules, of a project that has no others."""
        return (self.usd_per_hour if rules else 0.0) + max(0, rules - self.rules) * self.further_usd_per_hour


class DiskPrice(Facts):
    """USD per GB and month, on demand and with a Spot machine."""

    on_demand: Price
    spot: Price


class PartPrice(Facts):
    """USD per hour of a GPU and a vCPU, each with the memory that comes with it."""

    gpu: Price
    vcpu: Price = 0

    def of(self, machine: MachineType) -> float:
        """USD per hour of a machine."""
        return round(machine.gpus * self.gpu + machine.vcpus * self.vcpu, 4)


class Commitment(Facts):
    """What a family costs with a commitment."""

    one_year: PartPrice
    three_years: PartPrice


class CostFacts(Facts):
    """What a stack costs beside the machines of its GPUs, and what commitments make of those."""

    source: str
    date: str
    cluster_fee: Fee
    load_balancer: LoadBalancerPrice
    system_machines: dict[str, dict[str, Price]]
    """USD per hour of a vCPU with its memory, by family and region."""
    disks: dict[str, dict[str, Price]]
    """USD per GB and month, by type and region."""
    included_local_ssds: tuple[str, ...]
    """Families whose prices have their local SSDs in them."""
    local_ssds: dict[str, DiskPrice]
    """Of the other families, by region."""
    buckets: dict[str, Price]
    """USD per GB and month in one region."""
    commitments: dict[str, dict[str, Commitment]]
    """By family and region."""

    def system_machine(self, machine_type: str, region: str) -> float | None:
        """USD per hour of a general-purpose machine; None where no price is known."""
        family, _, vcpus = machine_type.rpartition("-")
        price = self.system_machines.get(family, {}).get(region)
        return None if price is None else price * int(vcpus)

    def disk(self, disk_type: str, region: str) -> float | None:
        """USD per GB and month of a disk; None where no price is known."""
        return self.disks.get(disk_type, {}).get(region)

    def committed(self, name: str, machine: MachineType, region: str) -> tuple[float, float] | None:
        """USD per hour of a GPU machine with a commitment of one and of three years; None where no price is known."""
        found = self.commitments.get(machine_family(name), {}).get(region)
        return None if found is None else (found.one_year.of(machine), found.three_years.of(machine))


@cache
def read_cost_facts() -> CostFacts:
    """The facts that ship with the package.

    Raises:
        pydantic.ValidationError: the file does not have the shape that this module states.

    """
    raw = read(directory() / "running_costs.yaml")
    for name in ("clusterFee", "loadBalancer"):
        raw[name]["date"] = str(raw[name]["date"])
    return CostFacts.model_validate(raw)
