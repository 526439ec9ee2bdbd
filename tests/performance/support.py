"""Servers and loads for tests of predicted speed."""

from typing import Any

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.facts import Experts, ModelArchitecture, SlidingWindow
from gke_llm_inference.catalog.performance_facts import GpuRoofs, PerformanceFacts, read_performance_facts
from gke_llm_inference.planning.memory.request import MemoryRequest
from gke_llm_inference.planning.performance.load import Load
from gke_llm_inference.planning.performance.simulation import ServerLimits
from gke_llm_inference.planning.performance.step_time import StepTimer
from gke_llm_inference.planning.performance.timer import step_timer

FACTS = read_performance_facts()
H100 = FACTS.gpus["nvidia-h100-80gb"]
L4 = FACTS.gpus["nvidia-l4"]


def architecture(**changes: Any) -> ModelArchitecture:
    """Numbers of a small model whose arithmetic is easy: 2 layers, 4 heads of 8, a gated block of 64, 128 words."""
    numbers: dict[str, Any] = {
        "layers": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "attention_heads": 4,
        "kv_heads": 2,
        "head_dim": 8,
        "vocab_size": 128,
        "max_positions": 4096,
        "tied_embeddings": False,
    }
    numbers.update(changes)
    experts: Experts | None = numbers.get("experts")
    attention = 2 * numbers["hidden_size"] * numbers["head_dim"] * (numbers["attention_heads"] + numbers["kv_heads"])
    block = 3 * numbers["hidden_size"] * numbers["intermediate_size"] * (experts.count if experts else 1)
    tables = numbers["vocab_size"] * numbers["hidden_size"] * (1 if numbers["tied_embeddings"] else 2)
    numbers.setdefault("parameters", tables + numbers["layers"] * (attention + block))
    return ModelArchitecture(**numbers)


def request(model: str | ModelArchitecture = "meta-llama/Llama-3.1-8B-Instruct", **changes: Any) -> MemoryRequest:
    """A server of a catalog model, or of these numbers, on an H100."""
    if isinstance(model, str):
        given = load_catalog().models[model]
        values: dict[str, Any] = {"architecture": given, "family": given.family}
    else:
        values = {"architecture": model, "family": "llama"}
    return MemoryRequest(**{"gpu_memory_mib": 81009.0, "max_model_len": 4096, **values, **changes})


def timer(
    model: str | ModelArchitecture = "meta-llama/Llama-3.1-8B-Instruct",
    gpu: GpuRoofs = H100,
    facts: PerformanceFacts = FACTS,
    *,
    launch_us: float | None = None,
    **changes: Any,
) -> StepTimer:
    """Step times of such a server."""
    return step_timer(request(model, **changes), gpu, load_catalog().memory, facts, launch_us=launch_us)


def limits(**changes: Any) -> ServerLimits:
    """Limits of a server with room."""
    return ServerLimits(**{"batched_tokens": 2048, "sequences": 256, "pool_tokens": 400_000, **changes})


def closed(concurrency: int, requests: int, prompt: int = 256, output: int = 32) -> Load:
    """A closed loop of requests that are all the same."""
    return Load(prompts=(prompt,) * requests, outputs=(output,) * requests, concurrency=concurrency)


WINDOW = SlidingWindow(size=512, layers=1)
EXPERTS = Experts(count=8, per_token=2)
