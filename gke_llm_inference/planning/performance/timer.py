"""The times of a server's steps, from what is asked of its memory."""

from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.catalog.performance_facts import GpuRoofs, KernelClass, PerformanceFacts
from gke_llm_inference.planning.memory.request import MemoryRequest, weights_format
from gke_llm_inference.planning.performance.shapes import shapes_of
from gke_llm_inference.planning.performance.step_time import StepTimer
from gke_llm_inference.planning.versions import version_parts


def step_timer(
    request: MemoryRequest,
    gpu: GpuRoofs,
    memory: MemoryFacts,
    facts: PerformanceFacts,
    *,
    launch_us: float | None = None,
    speculative_tokens: int = 0,
    linear: KernelClass | None = None,
) -> StepTimer:
    """The times of a server's steps.

    Args:
        request: the server.
        gpu: roofs of its GPU.
        memory: facts about memory, for the bits of a weight.
        facts: facts about speed.
        launch_us: time in which its host launches a kernel; that of the measured hosts if None.
        speculative_tokens: tokens that every step guesses and verifies for each sequence.
        linear: kernels of its linear layers; those that vLLM takes for its weights if None.

    """
    return StepTimer(
        shapes_of(request, memory.vllm.weights),
        weights_format(request.weights_format).kernels,
        gpu,
        facts,
        launch_us=launch_us,
        eager=request.enforce_eager,
        speculative_tokens=speculative_tokens,
        linear=linear,
        old_engine=request.server == "vllm" and version_parts(request.version) < version_parts(facts.old_engine.before),
    )
