"""Memory of a server on its GPUs: what each part takes, what is left for the KV cache, and whether it starts."""

from gke_llm_inference.planning.memory.from_settings import memory_request, served_weights_format
from gke_llm_inference.planning.memory.plan import plan_memory, requests_at_once
from gke_llm_inference.planning.memory.request import WEIGHTS_FORMATS, Limits, MemoryRequest, limits_of
from gke_llm_inference.planning.memory.result import MemoryPlan, MemoryState, Verdict

__all__ = [
    "WEIGHTS_FORMATS",
    "Limits",
    "MemoryPlan",
    "MemoryRequest",
    "MemoryState",
    "Verdict",
    "limits_of",
    "memory_request",
    "plan_memory",
    "requests_at_once",
    "served_weights_format",
]
