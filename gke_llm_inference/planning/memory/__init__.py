"""Memory of a server on its GPUs: what each part takes, what is left for the KV cache, and whether it starts."""

from gke_llm_inference.planning.memory.alternatives import Alternative, alternatives
from gke_llm_inference.planning.memory.plan import MemoryPlan, MemoryState, Verdict, plan_memory
from gke_llm_inference.planning.memory.question import WEIGHTS_FORMATS, Limits, MemoryQuestion, check, limits_of
from gke_llm_inference.planning.memory.served import memory_question, served_weights_format

__all__ = [
    "WEIGHTS_FORMATS",
    "Alternative",
    "Limits",
    "MemoryPlan",
    "MemoryQuestion",
    "MemoryState",
    "Verdict",
    "alternatives",
    "check",
    "limits_of",
    "memory_question",
    "plan_memory",
    "served_weights_format",
]
