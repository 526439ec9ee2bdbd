"""Fits the constants of predicted speed to measurements.

`python -m tools.fit_performance --date YYYY-MM-DD` writes the catalog's facts with new constants, and the errors of
models and GPUs that were left out of the fit in turn. Nothing is fitted per model, and nothing to an L4. The
measurements are decode steps and served loads of an H100 and an H200, and the scheduler's own steps of the same runs;
each constant is held near what physics or a micro-benchmark says of it, more firmly the more is known. Of GPUs only the
H200's roofs are fitted, near what was measured beside its runs.

Needs numpy and scipy, which are not installed with the package.
"""

import argparse
import gzip
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import yaml
from scipy.optimize import least_squares

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.catalog.performance_facts import (
    Basis,
    KernelClass,
    PerformanceFacts,
    SpeedResidual,
    facts_path,
    left_out_path,
    measurements_path,
    read_performance_facts,
    steps_path,
)
from gke_llm_inference.planning.performance import StepTimer
from gke_llm_inference.planning.performance.step_time import Heat
from tools.memory_accuracy import read_cases
from tools.performance_accuracy import Case, case_of, compare, quantile, spread, timer_of

_WINDOW = 6
_LEAD = 3
_PREFILL_WINDOWS, _DECODE_WINDOWS = 12, 3
_WINDOW_WEIGHT = 0.35
_SERVE_WEIGHTS = {"ttft_ms.p50": 0.25, "tpot_ms.p50": 0.6, "output_tokens_per_second": 0.6}
_ROBUST = 0.05
_BANDED = ("step_ms", "tpot_ms.p50", "output_tokens_per_second", "ttft_ms.p50")


@dataclass(frozen=True)
class Constant:
    """A constant to fit: where it stands, what is known of it, and how firmly (as a relative deviation)."""

    path: str
    known: float
    deviation: float


CONSTANTS = (
    Constant("kernels.bf16.bandwidth", 1.0, 0.03),
    Constant("kernels.bf16.compute", 0.75, 0.2),
    Constant("kernels.bf16.large_compute", 0.9, 0.1),
    Constant("kernels.bf16.few_rows", 900.0, 0.4),
    Constant("kernels.bf16.sharpness", 2.5, 0.4),
    Constant("kernels.fp8.bandwidth", 1.0, 0.03),
    Constant("kernels.fp8.compute", 0.5, 0.3),
    Constant("kernels.fp8.large_compute", 0.9, 0.15),
    Constant("kernels.fp8.few_rows", 400.0, 0.4),
    Constant("kernels.fp8.sharpness", 5.0, 0.4),
    Constant("kernels.fp8.activation_bytes", 4.0, 0.7),
    Constant("kernels.marlin.bandwidth", 1.0, 0.03),
    Constant("kernels.marlin.compute", 0.42, 0.2),
    Constant("kernels.marlin.large_compute", 0.49, 0.2),
    Constant("kernels.marlin.few_rows", 700.0, 0.4),
    Constant("kernels.marlin.sharpness", 7.0, 0.4),
    Constant("kernels.marlin.extra_us", 3.0, 0.7),
    Constant("kernels.fp8.multiprocessor_gb_per_s", 28.0, 0.1),
    Constant("kernels.marlin.multiprocessor_gb_per_s", 25.0, 0.1),
    Constant("gpus.nvidia-h200-141gb.bandwidth_gb_per_s", 4172.0, 0.03),
    Constant("gpus.nvidia-h200-141gb.bf16_tflops", 785.0, 0.05),
    Constant("gpus.nvidia-h200-141gb.fp8_tflops", 1390.0, 0.07),
    Constant("attention.bandwidth", 0.93, 0.05),
    Constant("attention.block_gb_per_s", 31.5, 0.15),
    Constant("attention.mixed_gb_per_s", 32.0, 0.2),
    Constant("attention.prefill.128", 0.43, 0.2),
    Constant("attention.prefill.256", 0.38, 0.2),
    Constant("attention.fp8_bandwidth", 0.55, 0.3),
    Constant("attention.fp8_layer_us", 15.0, 0.5),
    Constant("attention.block_us", 1.0, 0.4),
    Constant("attention.tail", 0.5, 0.3),
    Constant("burst.share", 0.12, 0.3),
    Constant("overhead.kernel_us", 5.0, 0.3),
    Constant("overhead.elementwise", 1.0, 0.3),
    Constant("overhead.row_us", 1.0, 1.0),
    Constant("overhead.row_vocabulary_bytes", 30.0, 0.7),
    Constant("host.launch_us", 9.6, 0.1),
    Constant("host.prefill_ms", 2.4, 0.7),
    Constant("host.layer_ms", 0.85, 0.5),
    Constant("host.graph_layer_ms", 0.3, 0.5),
    Constant("host.decode_ms", 2.0, 0.2),
    Constant("host.sequence_ms", 0.035, 0.2),
    Constant("host.joined_ms", 1.5, 0.5),
    Constant("pipeline.start_ms", 1.5, 0.5),
    Constant("pipeline.end_ms", 0.5, 0.5),
)


@dataclass(frozen=True)
class Steps:
    """A stretch of a run's steps: what each held, and when the scheduler was called."""

    id: str
    rows: tuple[tuple[float, ...], ...]


def read_steps(ids: Iterable[str]) -> list[Steps]:
    """Stretches of the runs of these configurations, evenly chosen: more of those that prefill."""
    wanted, chosen = set(ids), []
    with gzip.open(steps_path(), "rt") as lines:
        for line in lines:
            run = json.loads(line)
            if run["id"] not in wanted:
                continue
            rows = [tuple(float(value) for value in row) for row in run["steps"]]
            starts = range(_LEAD, len(rows) - _WINDOW - _LEAD, _WINDOW)
            whole = [at for at in starts if _unbroken(rows[at - _LEAD : at + _WINDOW + 1])]
            prefill = [at for at in whole if any(row[3] for row in rows[at : at + _WINDOW])]
            decode = [at for at in whole if at not in set(prefill)]
            for picked in (_evenly(prefill, _PREFILL_WINDOWS), _evenly(decode, _DECODE_WINDOWS)):
                chosen += [Steps(run["id"], tuple(rows[at - _LEAD : at + _WINDOW + 1])) for at in picked]
    return chosen


def predicted_stretch_ms(timer: StepTimer, steps: Steps) -> float:
    """Time that the scheduler's calls of a stretch take, after the steps that lead to it."""
    pipeline = timer.pipeline
    now, end = 0.0, -math.inf
    calls = []
    joined = False
    heat = Heat(timer.bursts, 1.0 if steps.rows[0][3] else 0.0)
    for _, decoding, context, prefill, attended, parts in steps.rows:
        calls.append(now)
        gpu = heat.step_ms(timer.gpu_ms(int(decoding), context, int(prefill), attended, int(parts)), int(prefill))
        host = timer.host_ms(int(decoding), int(prefill), joined)
        joined = prefill > 0
        ready = max(max(end, now + pipeline.start_ms) + gpu, now + host + pipeline.end_ms)
        now = max(now + host, end + pipeline.output_ms)
        end = ready
    return calls[-1] - calls[_LEAD]


def fit(cases: Sequence[Mapping[str, Any]], start: PerformanceFacts, evaluations: int = 12) -> PerformanceFacts:
    """Facts with constants that fit these measured cases and their steps best."""
    memory = load_catalog().memory
    given = [case_of(case) for case in cases]
    by_id = {str(raw["id"]): case for raw, case in zip(cases, given, strict=True)}
    stretches = read_steps(by_id)
    truths = np.array([1000 * (steps.rows[-1][0] - steps.rows[_LEAD][0]) for steps in stretches])

    def residuals(logs: Any) -> Any:
        facts = with_constants(start, {one.path: math.exp(value) for one, value in zip(CONSTANTS, logs, strict=True)})
        errors = list(_case_errors(cases, facts))
        timers = _timers(by_id, memory, facts)
        predicted = np.array([predicted_stretch_ms(timers[steps.id], steps) for steps in stretches])
        errors += list(_WINDOW_WEIGHT * _soft(np.log(predicted / truths)))
        known = [
            _ROBUST * (value - math.log(one.known)) / one.deviation for one, value in zip(CONSTANTS, logs, strict=True)
        ]
        return np.array([*errors, *known])

    first = [math.log(value_at(start, one.path)) for one in CONSTANTS]
    solution = least_squares(
        residuals, first, max_nfev=evaluations, diff_step=[1e-3], x_scale=[c.deviation for c in CONSTANTS]
    )
    values = {one.path: float(f"{math.exp(value):.4g}") for one, value in zip(CONSTANTS, solution.x, strict=True)}
    return with_constants(start, values)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Errors of a case that the constants were not fitted to, in percent.

    Attributes:
        line: number of the case among the measurements.
        without: what was left out of the fit, with the case: its model or its GPU.

    """

    line: int
    without: str
    errors: dict[str, float]


def leave_out(cases: Mapping[int, Mapping[str, Any]], start: PerformanceFacts, evaluations: int = 6) -> list[LeftOut]:
    """Errors of every case with constants fitted to the other models; then with those fitted to the other GPUs.

    A GPU that is left out has the roofs that are known of it without any run.
    """
    first = next(iter(cases.values()))["gpu"]
    groups = [("model", name) for name in sorted({str(case["model"]) for case in cases.values()})]
    groups += [("gpu", name) for name in sorted({str(case["gpu"]) for case in cases.values()} - {str(first)})]
    left_out = []
    with ProcessPoolExecutor() as pool:
        jobs = [pool.submit(_left_out, dict(cases), start, evaluations, *group) for group in groups]
        for job in jobs:
            left_out += job.result()
    return left_out


def _left_out(
    cases: Mapping[int, Mapping[str, Any]], start: PerformanceFacts, evaluations: int, key: str, name: str
) -> list[LeftOut]:
    others = [case for case in cases.values() if case[key] != name]
    own = {line: case for line, case in cases.items() if case[key] == name}
    known = {one.path: one.known for one in CONSTANTS if one.path.startswith(f"gpus.{name}.")}
    fitted = fit(others, with_constants(start, known), evaluations)
    return [LeftOut(line=entry.line, without=key, errors=entry.errors) for entry in compare(own, fitted)]


def with_constants(facts: PerformanceFacts, values: Mapping[str, float]) -> PerformanceFacts:
    """Facts with these constants in place of their own."""
    document = facts.model_dump()
    for path, value in values.items():
        *names, last = _keys(path)
        holder: Any = document
        for name in names:
            holder = holder[name]
        holder[last] = value
    return PerformanceFacts.model_validate(document)


def with_relatives(facts: PerformanceFacts) -> PerformanceFacts:
    """Facts in which kernels that nobody measured follow those that they resemble: INT8 FP8, bitsandbytes bf16."""
    kernels = dict(facts.kernels)
    own = {"roof", "basis", "source", "burst", "extra_us"}
    relatives: tuple[tuple[KernelClass, KernelClass, set[str]], ...] = (
        ("int8", "fp8", set()),
        ("bitsandbytes", "bf16", {"bandwidth"}),
    )
    for name, model, more in relatives:
        like = kernels[model].model_dump(exclude=own | more)
        kernels[name] = kernels[name].model_copy(update=like)
    return facts.model_copy(update={"kernels": kernels})


def value_at(facts: PerformanceFacts, path: str) -> float:
    """A constant of facts."""
    holder: Any = facts.model_dump()
    for name in _keys(path):
        holder = holder[name]
    return float(holder)


def _keys(path: str) -> list[str | int]:
    return [int(key) if key.isdigit() else key for key in path.split(".")]


def dump(facts: PerformanceFacts) -> str:
    """Facts as YAML."""
    document = facts.model_dump(mode="json", by_alias=True, exclude_none=True)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=118)


def _case_errors(cases: Sequence[Mapping[str, Any]], facts: PerformanceFacts) -> Iterable[float]:
    for entry in compare(cases, facts):
        for name, error in entry.errors.items():
            weight = _SERVE_WEIGHTS.get(name, 1.0 if name == "step_ms" else 0.0)
            if weight:
                yield weight * float(_soft(np.log1p(error / 100)))


def _soft(errors: Any) -> Any:
    """Errors of which large ones count less: the root of the soft L1 loss."""
    return np.sign(errors) * _ROBUST * np.sqrt(2 * (np.sqrt(1 + (errors / _ROBUST) ** 2) - 1))


def _timers(by_id: Mapping[str, Case], memory: MemoryFacts, facts: PerformanceFacts) -> dict[str, StepTimer]:
    return {name: timer_of(case, memory, facts) for name, case in by_id.items()}


def _unbroken(rows: Sequence[tuple[float, ...]]) -> bool:
    """Whether the server had work all the time: no step begins without sequences after one that only decodes."""
    return all(after[1] > 0 or before[3] > 0 for before, after in pairwise(rows))


def _evenly(values: Sequence[int], most: int) -> list[int]:
    if len(values) <= most:
        return list(values)
    return [values[index * len(values) // most] for index in range(most)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the facts with fitted constants."""
    parser = argparse.ArgumentParser(prog="python -m tools.fit_performance", description="Fit constants of speed.")
    parser.add_argument("--date", required=True, help="date of the fit, YYYY-MM-DD")
    parser.add_argument("--evaluations", type=int, default=6, help="most steps of each fit")
    options = parser.parse_args(arguments)
    cases = read_cases(measurements_path().read_text("utf-8"))
    fitted = with_relatives(fit(list(cases.values()), read_performance_facts(), options.evaluations))
    left_out = leave_out(cases, fitted, options.evaluations)
    update = {"date": options.date, "residuals": residuals_of(left_out), "bands": bands_of(left_out)}
    fitted = fitted.model_copy(update=update)
    facts_path().write_text(dump(fitted), "utf-8")
    left_out_path().write_text("".join(json.dumps(asdict(one)) + "\n" for one in left_out), "utf-8")
    return 0


def bands_of(left_out: Sequence[LeftOut]) -> dict[Basis, dict[str, float]]:
    """Error bands in whole percents, by basis and quantity.

    Nine of ten errors of models that were left out; the larger of those and of GPUs that were; and twice that.
    """
    bands: dict[Basis, dict[str, float]] = {"measured": {}, "transferred": {}, "estimated": {}}
    for name in _BANDED:
        errors = {
            key: [abs(one.errors[name]) for one in left_out if one.without == key and name in one.errors]
            for key in ("model", "gpu")
        }
        nine = {key: quantile(sorted(values), 0.9) for key, values in errors.items()}
        bands["measured"][name] = float(math.ceil(nine["model"]))
        bands["transferred"][name] = float(math.ceil(max(nine.values())))
        bands["estimated"][name] = 2 * bands["transferred"][name]
    return bands


def residuals_of(left_out: Iterable[LeftOut]) -> dict[str, SpeedResidual]:
    """Spread of the errors of models that were left out, by quantity."""
    errors: dict[str, list[float]] = {}
    for one in left_out:
        for name, error in one.errors.items():
            if one.without == "model":
                errors.setdefault(name, []).append(error)
    spreads = {name: spread(values) for name, values in errors.items()}
    return {
        name: SpeedResidual(samples=int(v["samples"]), median=v["median"], p90=v["p90"], worst=v["worst"])
        for name, v in spreads.items()
    }


if __name__ == "__main__":
    sys.exit(main())
