"""Constants of one's own hardware: how far its GPU and its host are from the catalog's, from what was measured on it.

Four factors are fitted to the logarithms of all measured figures, in steps of Gauss and Newton that begin at 1:

    minimize sum over figures ((log measured - log predicted) / noise)^2 + sum over factors (log factor / deviation)^2

The noise of a figure is what separates predictions from measurements where the GPU is known. So a figure decides little
of what it says little about, and a factor that no figure tells of stays at 1. A factor is partly the hardware's and
partly the model's, which no constant knows of: their variances add up, and another model gets the hardware's share.

How far a prediction may be off follows from the figures themselves: from what each misses with its case in the fit and
without it, by the geometric mean, whose square is that of an error. No band is narrower than measurements repeat.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.catalog.performance_facts import GpuRoofs, PerformanceFacts
from gke_llm_inference.planning.memory.request import MemoryRequest
from gke_llm_inference.planning.performance.bands import Band, Quantity
from gke_llm_inference.planning.performance.load import Load, uniform_lengths
from gke_llm_inference.planning.performance.prediction import predict, server_limits
from gke_llm_inference.planning.performance.timer import step_timer
from gke_llm_inference.settings.calibration import Calibration, MeasuredLoop

# Nine of ten of a normal distribution are within so many standard deviations.
_Z90 = 1.6449
_STEPS = 2
_NUDGE = 0.05

Vector = tuple[float, ...]
Case = tuple[tuple[Quantity, float], ...]
"""Figures of one measured case by quantity."""


@dataclass(frozen=True, kw_only=True)
class Factors:
    """How many times as long things take as the catalog's constants say.

    Attributes:
        memory: reading the GPU's memory.
        compute: matrix products, and attention of prompts.
        host: scheduling steps and launching kernels.
        api: what the API server does with a request before it is queued.

    """

    memory: float = 1.0
    compute: float = 1.0
    host: float = 1.0
    api: float = 1.0


@dataclass(frozen=True, kw_only=True)
class HardwareSpeed:
    """What predictions use in place of the catalog's constants.

    Attributes:
        gpu: roofs of the GPU.
        facts: facts about speed.
        launch_us: time in which the host launches a kernel; None for that of the measured hosts.

    """

    gpu: GpuRoofs
    facts: PerformanceFacts
    launch_us: float | None = None


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a calibration says of the hardware, for predictions of one kind of server.

    Attributes:
        factors: what was fitted.
        speed: what predictions use.

    """

    factors: Factors
    speed: HardwareSpeed


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What a calibration says.

    Attributes:
        own: of the server that was measured.
        others: of other models on the same hardware.
        percent: how far nine of ten predictions of the server that was measured are off at most, by quantity.

    """

    own: Hardware
    others: Hardware
    percent: dict[Quantity, float]


def calibrate(
    calibration: Calibration, request: MemoryRequest, gpu: GpuRoofs, memory: MemoryFacts, facts: PerformanceFacts
) -> Calibrated:
    """What a calibration says of the hardware on which it was measured; the same for the same input.

    Args:
        calibration: what was measured.
        request: the server that was measured.
        gpu: the catalog's roofs of its GPU.
        memory: facts about memory.
        facts: facts about speed.

    """

    def hardware(logs: Vector) -> Hardware:
        memory, compute, host, api = (math.exp(value) for value in logs)
        factors = Factors(memory=memory, compute=compute, host=host, api=api)
        return Hardware(factors=factors, speed=_speed(factors, calibration.host_launch_us, gpu, facts))

    def predicted(logs: Vector) -> list[Vector]:
        found = _predicted(calibration, request, hardware(logs).speed, memory)
        return [tuple(math.log(value) for _, value in case) for case in found]

    measured = list(_measured(calibration))
    noise = {name: facts.bands["measured"][name] / 100 / _Z90 for case in measured for name, _ in case}
    machines, known = _deviations(calibration, gpu, facts)
    logs: Vector = (0.0,) * len(known)
    cases: list[list[_Equation]] = []
    for _ in range(_STEPS):
        cases = _linearized(predicted, logs, measured, noise)
        logs = _solved([one for case in cases for one in case], known)
    misses: dict[Quantity, list[float]] = {}
    for place, case in enumerate(cases):
        without = _solved([one for index, rest in enumerate(cases) if index != place for one in rest], known)
        for (name, _), one in zip(measured[place], case, strict=True):
            misses.setdefault(name, []).append(math.sqrt(abs(one.miss(logs) * one.miss(without))))
    shares = ((machine / both) ** 2 for machine, both in zip(machines, known, strict=True))
    return Calibrated(
        own=hardware(logs),
        others=hardware(tuple(value * share for value, share in zip(logs, shares, strict=True))),
        percent={name: _percent(name, values, gpu, facts) for name, values in sorted(misses.items())},
    )


def narrowed(
    band: Band, quantity: Quantity, found: Calibrated, gpu: GpuRoofs, facts: PerformanceFacts, *, own: bool
) -> Band:
    """A band with a calibration.

    Args:
        band: the band without it.
        quantity: what is predicted.
        found: what the calibration says.
        gpu: the catalog's roofs of the GPU.
        facts: facts about speed.
        own: whether the server is the one that was measured; another one's band is never wider than without.

    """
    percent = found.percent.get(quantity)
    if percent is None:
        return band
    if own:
        return replace(band, percent=percent, basis="calibrated")
    percent = max(percent, facts.calibration.others * _usual(quantity, gpu, facts))
    return replace(band, percent=percent, basis="transferred") if percent < band.percent else band


def _deviations(calibration: Calibration, gpu: GpuRoofs, facts: PerformanceFacts) -> tuple[Vector, Vector]:
    """How far each factor may be from 1 by the hardware, and in all."""
    machines, models = facts.calibration.deviations.hardware, facts.calibration.deviations.models
    roofs = machines.roofs[gpu.basis]
    host = machines.unknown_host if calibration.host_launch_us is None else machines.host
    hardware = (roofs, roofs, host, machines.api)
    return hardware, tuple(map(math.hypot, hardware, (models.memory, models.compute, models.host, 0.0)))


def _percent(name: Quantity, misses: Sequence[float], gpu: GpuRoofs, facts: PerformanceFacts) -> float:
    """Nine of ten, from the misses and from what is known before them, which counts as a few misses."""
    usual = _usual(name, gpu, facts) / _Z90
    weight = facts.calibration.usual_cases
    squares = weight * usual**2 + sum((100 * miss) ** 2 for miss in misses)
    return max(facts.calibration.floor[name], _Z90 * math.sqrt(squares / (weight + len(misses))))


def _usual(name: Quantity, gpu: GpuRoofs, facts: PerformanceFacts) -> float:
    """The band once the roofs of a GPU are known, in percent: wider where nothing else was known of it."""
    return facts.bands["transferred" if gpu.basis == "estimated" else "measured"][name]


def _speed(factors: Factors, launch_us: float | None, gpu: GpuRoofs, facts: PerformanceFacts) -> HardwareSpeed:
    roofs = gpu.model_copy(
        update={
            "bandwidth_gb_per_s": gpu.bandwidth_gb_per_s / factors.memory,
            "bf16_tflops": gpu.bf16_tflops / factors.compute,
            "fp8_tflops": gpu.fp8_tflops / factors.compute,
            "int8_tflops": gpu.int8_tflops / factors.compute,
        }
    )
    api = facts.api.model_copy(
        update={"request_ms": facts.api.request_ms * factors.api, "token_us": facts.api.token_us * factors.api}
    )
    return HardwareSpeed(
        gpu=roofs,
        facts=facts.model_copy(update={"api": api}),
        launch_us=(launch_us or facts.host.launch_us) * factors.host,
    )


def _measured(calibration: Calibration) -> Iterator[Case]:
    for step in calibration.decodes:
        yield (("step_ms", step.step_ms),)
    for loop in calibration.loops:
        yield _figures(loop, loop.ttft_ms.p50, loop.tpot_ms.p50 if loop.tpot_ms else 0.0, loop.output_tokens_per_second)


def _predicted(
    calibration: Calibration, request: MemoryRequest, speed: HardwareSpeed, memory: MemoryFacts
) -> Iterator[Case]:
    timer = step_timer(request, speed.gpu, memory, speed.facts, launch_us=speed.launch_us)
    for step in calibration.decodes:
        gpu = timer.gpu_ms(step.sequences, step.sequences * step.context, 0, 0, 0)
        yield (("step_ms", max(gpu, timer.host_ms(step.sequences, 0))),)
    limits = server_limits(request, calibration.kv_cache_tokens, memory, speed.facts, api_server=calibration.api_server)
    for loop in calibration.loops:
        found = predict(timer, limits, _load(loop))
        yield _figures(loop, found.ttft_ms.p50, found.tpot_ms.p50, found.output_tokens_per_second)


def _figures(loop: MeasuredLoop, ttft_ms: float, tpot_ms: float, rate: float) -> Case:
    figures: tuple[tuple[Quantity, float], ...] = (("ttft_ms.p50", ttft_ms), ("output_tokens_per_second", rate))
    return (*figures, ("tpot_ms.p50", tpot_ms)) if loop.tpot_ms else figures


def _load(loop: MeasuredLoop) -> Load:
    return Load(
        prompts=(loop.input_tokens,) * loop.requests,
        outputs=uniform_lengths(loop.output_tokens, loop.requests, spread=loop.output_spread),
        concurrency=loop.concurrency,
    )


@dataclass(frozen=True)
class _Equation:
    """A figure as a linear function of the factors' logarithms: slopes * logs = target, within its noise."""

    slopes: Vector
    target: float
    noise: float

    def miss(self, logs: Vector) -> float:
        return self.target - sum(slope * value for slope, value in zip(self.slopes, logs, strict=True))


def _linearized(
    predicted: Callable[[Vector], list[Vector]],
    logs: Vector,
    measured: Sequence[Case],
    noise: dict[Quantity, float],
) -> list[list[_Equation]]:
    """Each case's equations, near some factors."""
    here = predicted(logs)
    nudged = [
        predicted(tuple(value + (_NUDGE if index == place else 0.0) for index, value in enumerate(logs)))
        for place in range(len(logs))
    ]
    equations = []
    for case, figures in enumerate(measured):
        found = []
        for figure, (name, value) in enumerate(figures):
            at = here[case][figure]
            slopes = tuple((moved[case][figure] - at) / _NUDGE for moved in nudged)
            target = math.log(value) - at + sum(slope * log for slope, log in zip(slopes, logs, strict=True))
            found.append(_Equation(slopes, target, noise[name]))
        equations.append(found)
    return equations


def _solved(equations: Sequence[_Equation], known: Vector) -> Vector:
    """The factors' logarithms that meet the equations best, each near 0 within what is known of it."""
    size = len(known)
    matrix = [[1 / known[row] ** 2 if row == column else 0.0 for column in range(size)] for row in range(size)]
    right = [0.0] * size
    for one in equations:
        for row in range(size):
            weighted = one.slopes[row] / one.noise**2
            right[row] += weighted * one.target
            for column in range(size):
                matrix[row][column] += weighted * one.slopes[column]
    return _eliminated(matrix, right)


def _eliminated(matrix: list[list[float]], right: list[float]) -> Vector:
    """Solution of a positive definite system."""
    size = len(right)
    for pivot in range(size):
        for row in range(pivot + 1, size):
            share = matrix[row][pivot] / matrix[pivot][pivot]
            for column in range(pivot, size):
                matrix[row][column] -= share * matrix[pivot][column]
            right[row] -= share * right[pivot]
    solution = [0.0] * size
    for row in reversed(range(size)):
        rest = sum(matrix[row][column] * solution[column] for column in range(row + 1, size))
        solution[row] = (right[row] - rest) / matrix[row][row]
    return tuple(solution)
