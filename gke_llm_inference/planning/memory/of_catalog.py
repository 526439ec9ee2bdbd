"""A server of a model of the catalog with its own defaults, as the memory plan asks for it."""

from dataclasses import replace

from gke_llm_inference.catalog import Catalog, Model
from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.planning.memory.plan import plan_memory
from gke_llm_inference.planning.memory.request import MemoryRequest
from gke_llm_inference.planning.memory.result import MemoryPlan


def memory_request_of(model: Model, weights: str, accelerator: str, count: int, catalog: Catalog) -> MemoryRequest:
    """The request for so many GPUs of one machine; weights in a format of the memory facts."""
    return MemoryRequest(
        architecture=model,
        family=model.family,
        gpu_memory_mib=float(catalog.memory.versions.visible_memory[accelerator].mib),
        weights_format=weights,
        mla_width=model.latent_width,
        tensor_parallel=count,
        accelerator=accelerator,
        pooling=model.task != "generate",
    )


def plan_with_longest_context(request: MemoryRequest, facts: MemoryFacts) -> MemoryPlan:
    """The plan with the context asked for, or the longest where that is too long."""
    plan = plan_memory(request, facts)
    if plan.starts or not plan.largest_context:
        return plan
    return plan_memory(replace(request, max_model_len=plan.largest_context), facts)
