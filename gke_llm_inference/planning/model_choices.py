"""For a model of the catalog: what serves it for the least, and what answers soonest."""

from dataclasses import dataclass

from gke_llm_inference.catalog import Catalog, Model
from gke_llm_inference.planning.loading import class_of
from gke_llm_inference.planning.machines import candidates, gpu_counts
from gke_llm_inference.planning.memory import MemoryPlan
from gke_llm_inference.planning.memory.from_settings import served_weights_format
from gke_llm_inference.planning.memory.of_catalog import memory_request_of, plan_with_longest_context
from gke_llm_inference.planning.memory.sharding import heads_divide, kv_heads_divide
from gke_llm_inference.planning.optimization import GoalName, Optimum, Option
from gke_llm_inference.planning.optimize import Asked, optimize
from gke_llm_inference.settings import Refusal


@dataclass(frozen=True, kw_only=True)
class Holder:
    """GPUs that hold a model and are not proposed: their price or their speed is not known.

    Attributes:
        gpu: GKE's name of the GPU.
        gpus: GPUs on one machine.
        machine_type: the machine.
        plan: its memory, with the longest context that fits.

    """

    gpu: str
    gpus: int
    machine_type: str
    plan: MemoryPlan


@dataclass(frozen=True, kw_only=True)
class ModelChoices:
    """How a model is best served.

    Attributes:
        model: its id.
        cost: what the search by the goal `cost` found; None where nothing whose price and speed are known holds it.
        latency: likewise by `latency`, which may cost at most five times as much.
        holder: the smallest other GPUs that hold it, where there is no choice.
        why: why nothing is chosen; empty where something is.

    """

    model: str
    cost: Optimum | None
    latency: Optimum | None
    holder: Holder | None
    why: str

    @property
    def cheapest(self) -> Option | None:
        """What costs the least an hour."""
        return self.cost.best if self.cost else None

    @property
    def fastest(self) -> Option | None:
        """What takes the least time for a mean request."""
        return self.latency.best if self.latency else None


def choices_of(model: str, catalog: Catalog, *, region: str, spot: bool) -> ModelChoices:
    """The choices for a model of the catalog that generates text; requests are those of the default profile."""

    def by(goal: GoalName) -> tuple[Optimum | None, str]:
        try:
            return optimize(Asked(model=model, goal=goal, region=region, spot=spot), catalog), ""
        except Refusal as refusal:
            return None, refusal.problems[0].what

    (cost, why), (latency, _) = by("cost"), by("latency")
    if cost is not None and cost.best is not None:
        return ModelChoices(model=model, cost=cost, latency=latency, holder=None, why="")
    why = why or f"nothing in {region} whose price and speed are known holds it and passes the planner"
    return ModelChoices(
        model=model, cost=cost, latency=latency, holder=_holder(catalog.models[model], catalog), why=why
    )


def _holder(model: Model, catalog: Catalog) -> Holder | None:
    """The GPUs with the least memory together that start the model as its files are, at some context."""
    facts = catalog.memory
    visible = facts.versions.visible_memory
    sizes = sorted(
        (visible[gpu].mib * count, count, gpu)
        for gpu in catalog.accelerators
        if gpu in visible
        for count in gpu_counts(gpu, catalog)
    )
    weights = served_weights_format(model.checkpoint, None, None, "vllm")
    known = class_of(catalog.loading["vllm"], model.loaded_as, model.family)
    if known is None:
        return None
    for _, count, gpu in sizes:
        if not heads_divide(model, count) or not kv_heads_divide(model, count):
            continue
        plan = plan_with_longest_context(memory_request_of(model, weights, gpu, count, catalog), facts)
        machine = next(iter(candidates(gpu, count, catalog)), None)
        if plan.starts and machine is not None:
            return Holder(gpu=gpu, gpus=count, machine_type=machine, plan=plan)
    return None
