"""Machines that hold pods, each found once for all tiers that are alike."""

from dataclasses import dataclass, field

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import ProvisioningName
from gke_llm_inference.planning.capacity import Capacity
from gke_llm_inference.planning.machines import candidates, holds


@dataclass(frozen=True)
class KnownMachines:
    """The cheapest machines of tiers.

    Attributes:
        known: what was found already, with the same catalog.

    """

    known: dict[tuple[str, int, Capacity, ProvisioningName], str | None] = field(default_factory=dict)

    def cheapest(self, gpu: str, count: int, need: Capacity, model: ProvisioningName, catalog: Catalog) -> str | None:
        """The cheapest machine with so many GPUs that holds a pod and is provided in that way; None if there is none.

        Args:
            gpu: the GPU.
            count: how many of them.
            need: what the pod requests.
            model: how Google provides the machine.
            catalog: the facts to decide by.

        """
        key = (gpu, count, need, model)
        if key not in self.known:
            self.known[key] = next(
                (
                    name
                    for name in candidates(gpu, count, catalog)
                    if model in catalog.machine_types[name].provisioning
                    and holds(catalog.machine_types[name], need, catalog)
                ),
                None,
            )
        return self.known[key]
