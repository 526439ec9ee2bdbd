"""What a server does under a load: latencies, throughput and how busy the GPU is."""

from collections.abc import Sequence
from dataclasses import dataclass

from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.catalog.performance_facts import PerformanceFacts
from gke_llm_inference.planning.memory.request import MemoryRequest, limits_of
from gke_llm_inference.planning.performance.load import Load
from gke_llm_inference.planning.performance.simulation import Served, ServerLimits, simulate
from gke_llm_inference.planning.performance.step_time import StepTimer


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Percentiles over requests, in ms."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What clients see of a server, over all requests of a load.

    Attributes:
        ttft_ms: time to the first token.
        tpot_ms: time per output token after the first.
        utilization: share of the time in which the GPU works.
        preemptions: requests that lost their cache and were computed again.

    """

    ttft_ms: Percentiles
    tpot_ms: Percentiles
    output_tokens_per_second: float
    utilization: float
    preemptions: int


def server_limits(
    request: MemoryRequest,
    pool_tokens: int,
    memory: MemoryFacts,
    facts: PerformanceFacts,
    *,
    prefix_hit_rate: float = 0.0,
    api_server: bool = True,
    tokens_per_step: float = 1.0,
) -> ServerLimits:
    """What bounds the batches of a server with that pool."""
    limits = limits_of(request, memory)
    return ServerLimits(
        batched_tokens=limits.max_num_batched_tokens,
        sequences=limits.max_num_seqs,
        pool_tokens=pool_tokens,
        prefix_hit_rate=prefix_hit_rate,
        tokens_per_step=tokens_per_step,
        request_ms=facts.api.request_ms if api_server else 0.0,
        token_ms=facts.api.token_us / 1000 if api_server else 0.0,
    )


def predict(timer: StepTimer, limits: ServerLimits, load: Load) -> Prediction:
    """What clients see of a server under a load."""
    return prediction_of(simulate(timer, limits, load))


def prediction_of(served: Served) -> Prediction:
    """Percentiles and rates of what was served."""
    between = [value for value in served.between_ms if value is not None]
    return Prediction(
        ttft_ms=percentiles(served.first_ms),
        tpot_ms=percentiles(between or [0.0]),
        output_tokens_per_second=served.output_tokens_per_second,
        utilization=min(1.0, served.busy_ms / served.duration_ms),
        preemptions=served.preemptions,
    )


def percentiles(values: Sequence[float]) -> Percentiles:
    """The 50th, 90th and 99th percentile."""
    ordered = sorted(values)
    return Percentiles(p50=_percentile(ordered, 0.5), p90=_percentile(ordered, 0.9), p99=_percentile(ordered, 0.99))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    return _percentile(sorted(values), share)


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
