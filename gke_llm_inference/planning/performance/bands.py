"""How far a prediction may be from what a server does, and what that rests on."""

from dataclasses import dataclass, replace
from typing import Literal

from gke_llm_inference.catalog.performance_facts import Basis, GpuRoofs, PerformanceFacts
from gke_llm_inference.planning.memory.request import MemoryRequest, weights_format
from gke_llm_inference.planning.performance.step_time import kernel_class
from gke_llm_inference.planning.versions import version_parts

Quantity = Literal["step_ms", "tpot_ms.p50", "output_tokens_per_second", "ttft_ms.p50"]

_ORDER: tuple[Basis, ...] = ("calibrated", "measured", "transferred", "estimated")


@dataclass(frozen=True, kw_only=True)
class Band:
    """An error band.

    Attributes:
        percent: how far nine of ten predictions are at most, in percent; of a latency, at its median.
        basis: the weakest of what the prediction rests on.
        tail: of a latency, how many times as wide it is at the 90th and at the 99th percentile.

    """

    percent: float
    basis: Basis
    tail: tuple[float, float] = (1.0, 1.0)

    def at(self, percentile: float) -> "Band":
        """The band of a percentile from 50 to 99, as `percent`; between those that were measured, on a line."""
        points = ((50.0, 1.0), (90.0, self.tail[0]), (99.0, self.tail[1]))
        (low, narrow), (high, wide) = points[:2] if percentile <= points[1][0] else points[1:]
        factor = narrow + (wide - narrow) * (min(max(percentile, low), high) - low) / (high - low)
        return replace(self, percent=self.percent * factor, tail=(1.0, 1.0))


def error_band(
    quantity: Quantity,
    request: MemoryRequest,
    gpu: GpuRoofs,
    facts: PerformanceFacts,
    *,
    launch_us: float | None = None,
) -> Band:
    """The error band of a quantity, from models and GPUs that were left out of the fit.

    Args:
        quantity: what is predicted.
        request: the server.
        gpu: its GPU.
        facts: facts about speed.
        launch_us: time in which its host launches a kernel; the band is wider where it is not known.

    """
    kernel = facts.kernels[kernel_class(weights_format(request.weights_format).kernels, gpu)]
    bases: list[Basis] = [gpu.basis, kernel.basis]
    if request.server != "vllm" or request.architecture.experts or request.tensor_parallel > 1:
        bases.append("estimated")
    elif version_parts(request.version)[:2] != version_parts(facts.version)[:2]:
        bases.append("transferred")
    basis = max(bases, key=_ORDER.index)
    percent = facts.bands[basis][quantity]
    if launch_us is None:
        percent = max(percent, facts.unknown_host[quantity])
    tail = facts.tails.get(quantity.removesuffix(".p50"))
    return Band(percent=percent, basis=basis, tail=(tail.p90, tail.p99) if tail else (1.0, 1.0))
