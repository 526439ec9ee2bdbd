"""Fits the constants of predicted speed to measurements.

`python -m tools.fit_performance --date YYYY-MM-DD` writes the catalog's facts with new constants, and the errors of
models, machines and GPUs that were left out of the fit in turn. Nothing is fitted per model, and nothing to an L4. The
measurements are decode steps and served loads of an H100 and an H200, and the scheduler's own steps of the same runs;
each constant is held near what physics or a micro-benchmark says of it, more firmly the more is known. Of GPUs only the
H200's roofs are fitted, near what was measured beside its runs.

Needs numpy, which is not installed with the package.
"""

import argparse
import gzip
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import yaml

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.performance_facts import (
    Basis,
    KernelClass,
    PerformanceFacts,
    SpeedResidual,
    TailFacts,
    facts_path,
    left_out_path,
    measurements_path,
    read_performance_facts,
    steps_path,
)
from gke_llm_inference.planning.memory.request import kv_bytes, weights_format
from gke_llm_inference.planning.performance.step_time import Heat, StepTimer, kernel_class
from tools.memory_accuracy import read_cases
from tools.performance_accuracy import Case, case_of, compare, quantile, spread, summarize, timer_of
from tools.performance_repeats import averaged, machine_of

_WINDOW = 6
_LEAD = 3
_PREFILL_WINDOWS, _DECODE_WINDOWS = 12, 3
_WINDOW_WEIGHT = 0.35
_SERVE_WEIGHTS = {"ttft_ms.p50": 0.25, "tpot_ms.p50": 0.7, "output_tokens_per_second": 1.0}
_MANY_STEPS = 10
_ROBUST = 0.05
_DIFFERENCE = 1e-3
_LARGEST_STEP = 0.5
_TRITON_SHARE = 0.73
"""TFLOP/s of Triton's kernels for FP8 weights in blocks over CUTLASS's with a scale a tensor or channel, on an L40S:
235 to 278 over 338 to 367 (AIConfigurator 0.12.0's measured tables, from 2,048 rows on)."""
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
    Constant("kernels.fp8.host", 1.0, 0.3),
    Constant("kernels.marlin.host", 1.0, 0.3),
    Constant("kernels.bitsandbytes.bandwidth", 0.123, 0.1),
    Constant("kernels.bitsandbytes.row_bandwidth", 0.5, 0.4),
    Constant("kernels.bitsandbytes.extra_us", 10.0, 0.7),
    Constant("kernels.bitsandbytes.host", 1.0, 0.7),
    Constant("kernels.fp8.multiprocessor_gb_per_s", 28.0, 0.1),
    Constant("kernels.marlin.multiprocessor_gb_per_s", 25.0, 0.1),
    Constant("gpus.nvidia-h200-141gb.bandwidth_gb_per_s", 4172.0, 0.03),
    Constant("gpus.nvidia-h200-141gb.bf16_tflops", 785.0, 0.05),
    Constant("gpus.nvidia-h200-141gb.fp8_tflops", 1390.0, 0.07),
    Constant("attention.bandwidth", 0.93, 0.05),
    Constant("attention.multiprocessor_gb_per_s", 28.0, 0.15),
    Constant("attention.block_gb_per_s", 31.5, 0.15),
    Constant("attention.windowed_gb_per_s", 40.0, 0.3),
    Constant("attention.mixed_gb_per_s", 32.0, 0.2),
    Constant("attention.prefill.128", 0.43, 0.2),
    Constant("attention.prefill.256", 0.38, 0.2),
    Constant("attention.fp8_bandwidth", 0.55, 0.3),
    Constant("attention.fp8_layer_us", 15.0, 0.5),
    Constant("attention.fp8_host", 1.0, 0.3),
    Constant("attention.block_us", 1.0, 0.4),
    Constant("attention.tail", 0.5, 0.3),
    Constant("attention.capped", 0.85, 0.2),
    Constant("burst.share", 0.12, 0.3),
    Constant("overhead.kernel_us", 5.0, 0.3),
    Constant("overhead.family_kernels.qwen2", 1.0, 0.5),
    Constant("overhead.family_kernels.qwen3", 0.7, 0.5),
    Constant("overhead.family_kernels.gemma2", 0.7, 0.5),
    Constant("overhead.elementwise", 1.0, 0.3),
    Constant("overhead.row_us", 1.0, 1.0),
    Constant("overhead.row_vocabulary_bytes", 30.0, 0.7),
    Constant("host.launch_us", 9.6, 0.1),
    Constant("host.launch_share", 0.5, 0.5),
    Constant("host.prefill_ms", 2.4, 0.7),
    Constant("host.layer_ms", 0.85, 0.5),
    Constant("host.graph_layer_ms", 0.3, 0.5),
    Constant("host.decode_ms", 2.0, 0.2),
    Constant("host.sequence_ms", 0.035, 0.2),
    Constant("host.mixed_sequence_ms", 0.03, 1.0),
    Constant("host.joined_ms", 1.5, 0.5),
    Constant("host.jitter", 0.18, 0.3),
    Constant("host.request_ms", 0.4, 0.3),
    Constant("host.token_us", 0.5, 0.3),
    Constant("pipeline.start_ms", 1.0, 0.7),
    Constant("pipeline.start_sequence_ms", 0.04, 0.7),
    Constant("pipeline.end_ms", 0.5, 0.5),
)


@dataclass(frozen=True)
class Steps:
    """A stretch of a run's steps: what each held, and when the scheduler was called.

    Attributes:
        id: of the run's configuration.
        rows: seconds, sequences that decode, their context, prompt tokens, the positions that those attend to, requests
            that they belong to, and requests that came before the step.
        prompt: tokens of each request's prompt.

    """

    id: str
    rows: tuple[tuple[float, ...], ...]
    prompt: int


def read_steps(ids: Iterable[str]) -> list[Steps]:
    """Stretches of the runs of these configurations, evenly chosen: more of those that prefill."""
    wanted, chosen = set(ids), []
    with gzip.open(steps_path(), "rt") as lines:
        for line in lines:
            run = json.loads(line)
            if run["id"] not in wanted:
                continue
            rows = list(_with_arrivals(run))
            starts = range(_LEAD, len(rows) - _WINDOW - _LEAD, _WINDOW)
            whole = [at for at in starts if _unbroken(rows[at - _LEAD : at + _WINDOW + 1])]
            prefill = [at for at in whole if any(row[3] for row in rows[at : at + _WINDOW])]
            decode = [at for at in whole if at not in set(prefill)]
            for picked in (_evenly(prefill, _PREFILL_WINDOWS), _evenly(decode, _DECODE_WINDOWS)):
                chosen += [Steps(run["id"], tuple(rows[at - _LEAD : at + _WINDOW + 1]), run["run"][2]) for at in picked]
    return chosen


def _with_arrivals(run: Mapping[str, Any]) -> Iterator[tuple[float, ...]]:
    """Steps of a run, each with the requests that came before it: those that it begins, but for a loop's first ones."""
    kind, at_once, prompt, *_ = run["run"]
    came, tokens = {"fixed": at_once, "rate": 0}.get(kind, math.inf), 0
    for row in run["steps"]:
        tokens += row[3]
        begun = max(came, math.ceil(tokens / prompt))
        yield (*(float(value) for value in row), float(begun - came) if begun > came else 0.0)
        came = begun


def predicted_stretch_ms(timer: StepTimer, steps: Steps) -> float:
    """Time that the scheduler's calls of a stretch take, after the steps that lead to it."""
    pipeline = timer.pipeline
    now, end = 0.0, -math.inf
    calls = []
    joined = False
    heat = Heat(timer.bursts, 1.0 if steps.rows[0][3] else 0.0)
    for _, decoding, context, prefill, attended, parts, came in steps.rows:
        now += came * timer.request_ms(steps.prompt)
        calls.append(now)
        gpu = heat.step_ms(timer.gpu_ms(int(decoding), context, int(prefill), attended, int(parts)), int(prefill))
        host = timer.host_ms(int(decoding), int(prefill), joined)
        joined = prefill > 0
        start = now + timer.start_ms(int(decoding), host)
        ready = max(max(end, start) + gpu, now + host + pipeline.end_ms)
        now = max(now + host, end + pipeline.output_ms)
        end = ready
    return calls[-1] - calls[_LEAD]


class Problem:
    """What is to be fitted: errors of cases and of stretches of their steps, and what is known of each constant."""

    def __init__(self, cases: Mapping[int, Mapping[str, Any]], start: PerformanceFacts) -> None:
        self._start = start
        self._memory = load_catalog().memory
        self._cases = dict(cases)
        self._given = {line: case_of(case) for line, case in cases.items()}
        first = {str(case["id"]): line for line, case in reversed(list(cases.items()))}
        stretches: dict[int, list[Steps]] = {line: [] for line in cases}
        for steps in read_steps(first):
            stretches[first[steps.id]].append(steps)
        self._stretches = stretches

    @property
    def lines(self) -> list[int]:
        """Numbers of the cases."""
        return list(self._cases)

    def errors(self, logs: Any, lines: Iterable[int]) -> dict[int, Any]:
        """Weighted errors of each of these cases and of its run's steps, for constants by their logarithms."""
        facts = self.facts(logs)
        errors: dict[int, list[float]] = {line: [] for line in lines}
        for entry in compare({line: self._cases[line] for line in errors}, facts):
            for name, error in entry.errors.items():
                weight = _SERVE_WEIGHTS.get(name, self._firmness(entry.line) if name == "step_ms" else 0.0)
                if weight:
                    errors[entry.line].append(weight * float(_soft(np.log1p(error / 100))))
        for line, found in errors.items():
            if self._stretches[line]:
                timer = timer_of(self._given[line], self._memory, facts)
                for steps in self._stretches[line]:
                    took = 1000 * (steps.rows[-1][0] - steps.rows[_LEAD][0])
                    found.append(_WINDOW_WEIGHT * float(_soft(np.log(predicted_stretch_ms(timer, steps) / took))))
        return {line: np.array(found) for line, found in errors.items()}

    def _firmness(self, line: int) -> float:
        """Weight of a decode step: the median of few counts less."""
        return math.sqrt(min(1.0, float(self._cases[line].get("steps") or _MANY_STEPS) / _MANY_STEPS))

    def facts(self, logs: Any) -> PerformanceFacts:
        """Facts with these constants, by their logarithms."""
        values = {one.path: math.exp(value) for one, value in zip(CONSTANTS, logs, strict=True)}
        return with_relatives(with_constants(self._start, values))

    def slopes(self, logs: Any, now: Mapping[int, Any]) -> dict[int, Any]:
        """Derivatives of the errors by the constants' logarithms; a constant is not tried on cases that lack it."""
        slopes = {line: np.zeros((len(found), len(CONSTANTS))) for line, found in now.items()}
        with ProcessPoolExecutor() as pool:
            jobs = [pool.submit(self._moved, logs, column, list(now)) for column in range(len(CONSTANTS))]
            for column, job in enumerate(jobs):
                for line, found in job.result().items():
                    slopes[line][:, column] = (found - now[line]) / _DIFFERENCE
        return slopes

    def _moved(self, logs: Any, column: int, lines: Sequence[int]) -> dict[int, Any]:
        moved = np.array(logs)
        moved[column] += _DIFFERENCE
        path = CONSTANTS[column].path
        return self.errors(moved, [line for line in lines if self._has(path, line)])

    def _has(self, path: str, line: int) -> bool:
        """Whether a constant can matter to a case."""
        case = self._given[line]
        group, name, *_ = path.split(".")
        if group == "gpus":
            return case.gpu == name
        if group == "kernels" and name != "bf16":
            return kernel_of(case, self._start) == name
        if path.startswith("attention.fp8"):
            return kv_bytes(case.request.kv_cache_dtype) == 1
        if path == "attention.capped":
            return case.request.family in self._start.attention.capped_families
        if name == "family_kernels":
            return case.request.family in (path.split(".")[-1], "gemma3")
        return True


def fit(problem: Problem, start: Any, steps: int = 4) -> tuple[Any, dict[int, Any]]:
    """Logarithms of constants that fit best, and the slopes there: least squares, a linear step at a time."""
    logs = np.array(start)
    slopes: dict[int, Any] = {}
    for _ in range(steps):
        now = problem.errors(logs, problem.lines)
        slopes = problem.slopes(logs, now)
        logs = _improved(problem, logs, slopes, now)
    return logs, slopes


def refit(problem: Problem, start: Any, slopes: Mapping[int, Any], lines: Sequence[int], steps: int = 4) -> Any:
    """Constants that fit some of the cases best, from those that fit all of them and the slopes there."""
    logs = np.array(start)
    kept = {line: slopes[line] for line in lines}
    for _ in range(steps):
        logs = _improved(problem, logs, kept, problem.errors(logs, lines))
    return logs


def _improved(problem: Problem, logs: Any, slopes: Mapping[int, Any], now: Mapping[int, Any]) -> Any:
    """The least squares of the linear problem, or as much of the way there as improves the true one."""
    firm = np.array([_ROBUST / one.deviation for one in CONSTANTS])
    known = np.array([math.log(one.known) for one in CONSTANTS])
    matrix = np.vstack([*slopes.values(), np.diag(firm)])
    errors = np.concatenate([*(now[line] for line in slopes), firm * (logs - known)])
    step = np.linalg.lstsq(matrix, -errors, rcond=None)[0]
    before = float(errors @ errors)
    for share in (1.0, 0.5, 0.25, 0.1):
        moved = logs + share * np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
        after = np.concatenate([*problem.errors(moved, list(slopes)).values(), firm * (moved - known)])
        if float(after @ after) < before:
            return moved
    return logs


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Errors of a case that the constants were not fitted to, in percent.

    Attributes:
        line: number of the case among the measurements.
        without: what was left out of the fit, with the case: its model, its GPU or its machine.

    """

    line: int
    without: str
    errors: dict[str, float]


def leave_out(problem: Problem, cases: Mapping[int, Mapping[str, Any]], logs: Any, slopes: Any) -> list[LeftOut]:
    """Errors of every case with constants fitted to the other models; then to the other machines, and the other GPUs.

    A GPU that is left out has the roofs that are known of it without any run. Cases whose kernels or kind of cache
    nothing else has are not among them.
    """
    first = next(iter(cases.values()))["gpu"]
    groups = [("model", name) for name in sorted({str(case["model"]) for case in cases.values()})]
    groups += [("machine", name) for name in sorted({_group(case, "machine") for case in cases.values()})]
    groups += [("gpu", name) for name in sorted({str(case["gpu"]) for case in cases.values()} - {str(first)})]
    left_out = []
    with ProcessPoolExecutor() as pool:
        jobs = [pool.submit(_left_out, problem, dict(cases), logs, slopes, *group) for group in groups]
        for job in jobs:
            left_out += job.result()
    return left_out


def _left_out(
    problem: Problem, cases: Mapping[int, Mapping[str, Any]], logs: Any, slopes: Any, key: str, name: str
) -> list[LeftOut]:
    others = {line: case for line, case in cases.items() if _group(case, key) != name}
    own = {line: case for line, case in cases.items() if _group(case, key) == name}
    start = np.array(logs)
    for column, one in enumerate(CONSTANTS):
        if one.path.startswith(f"gpus.{name}."):
            start[column] = math.log(one.known)
    facts = problem.facts(refit(problem, start, slopes, list(others)))
    kinds = {_kind(case) for case in others.values()}
    known = [line for line, case in own.items() if _kind(case) in kinds]
    return [
        LeftOut(line=entry.line, without=key, errors=entry.errors)
        for entry in compare({line: own[line] for line in known}, facts)
    ]


def _group(case: Mapping[str, Any], key: str) -> str:
    """Model, GPU or machine of a case."""
    return machine_of(case) if key == "machine" else str(case[key])


def _kind(case: Mapping[str, Any]) -> tuple[str, int]:
    """Kernels and cache of a case: what constants of their own are for."""
    given = case_of(case)
    return kernel_of(given, read_performance_facts()), kv_bytes(given.request.kv_cache_dtype)


def kernel_of(case: Case, facts: PerformanceFacts) -> KernelClass:
    """The kernels that multiply with a case's weights."""
    return kernel_class(weights_format(case.request.weights_format).kernels, facts.gpus[case.gpu])


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
    """Facts in which what nobody measured follows what it resembles.

    INT8 products follow FP8's, and so do Triton's with as much of their compute as an L40S reaches; once bitsandbytes
    has unpacked the weights, bf16's. Gemma 3 has the norms of Gemma 2 and those of Qwen3.
    """
    kernels = dict(facts.kernels)
    own = {"roof", "basis", "source", "burst", "extra_us"}
    relatives: tuple[tuple[KernelClass, KernelClass, set[str]], ...] = (
        ("int8", "fp8", set()),
        ("triton", "fp8", {"multiprocessor_gb_per_s"}),
        ("bitsandbytes", "bf16", {"bandwidth", "row_bandwidth", "host"}),
    )
    for name, model, more in relatives:
        like = kernels[model].model_dump(exclude=own | more)
        kernels[name] = kernels[name].model_copy(update=like)
    triton = kernels["triton"]
    shares = {key: round(_TRITON_SHARE * getattr(triton, key), 4) for key in ("compute", "large_compute")}
    kernels["triton"] = triton.model_copy(update=shares)
    norms = facts.overhead.family_kernels
    both = {**norms, "gemma3": round(norms["gemma2"] + norms["qwen3"], 4)}
    overhead = facts.overhead.model_copy(update={"family_kernels": both})
    return facts.model_copy(update={"kernels": kernels, "overhead": overhead})


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


def _soft(errors: Any) -> Any:
    """Errors of which large ones count less: the root of the soft L1 loss."""
    return np.sign(errors) * _ROBUST * np.sqrt(2 * (np.sqrt(1 + (errors / _ROBUST) ** 2) - 1))


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
    parser.add_argument("--steps", type=int, default=4, help="linear steps of the fit")
    options = parser.parse_args(arguments)
    cases = read_cases(measurements_path().read_text("utf-8"))
    start = read_performance_facts()
    problem = Problem(cases, start)
    logs, slopes = fit(problem, [math.log(value_at(start, one.path)) for one in CONSTANTS], options.steps)
    left_out = leave_out(problem, cases, logs, slopes)
    values = {one.path: float(f"{math.exp(value):.4g}") for one, value in zip(CONSTANTS, logs, strict=True)}
    fitted = with_relatives(with_constants(start, values))
    update = {
        "date": options.date,
        "residuals": residuals_of(left_out, cases),
        "bands": bands_of(left_out),
        "unknown_host": unknown_host(cases, fitted),
        "tails": tails_of(cases, fitted),
    }
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


def unknown_host(cases: Mapping[int, Mapping[str, Any]], facts: PerformanceFacts) -> dict[str, float]:
    """Nine of ten errors in whole percents, by quantity, of hosts that were measured, as if they had not been."""
    silent = {
        line: {key: value for key, value in case.items() if key != "host_launch_us"}
        for line, case in cases.items()
        if case.get("host_launch_us")
    }
    found = summarize(compare(silent, facts))
    return {name: float(math.ceil(found[name]["p90"])) for name in _BANDED}


def tails_of(cases: Mapping[int, Mapping[str, Any]], facts: PerformanceFacts) -> dict[str, TailFacts]:
    """How many times the median's nine of ten errors those of the 90th and the 99th percentile are, by latency."""
    found = summarize(compare(cases, facts))

    def times(name: str, tail: str) -> float:
        return round(max(1.0, found[f"{name}.{tail}"]["p90"] / found[f"{name}.p50"]["p90"]), 2)

    return {
        name: TailFacts(p90=times(name, "p90"), p99=max(times(name, "p90"), times(name, "p99")))
        for name in ("tpot_ms", "ttft_ms")
    }


def residuals_of(left_out: Iterable[LeftOut], cases: Mapping[int, Mapping[str, Any]]) -> dict[str, SpeedResidual]:
    """Spread of the errors of models that were left out, by quantity; runs that repeat a load count as one."""
    own = {one.line: one.errors for one in left_out if one.without == "model"}
    errors: dict[str, list[float]] = {}
    for found in averaged(cases, own):
        for name, error in found.items():
            errors.setdefault(name, []).append(error)
    spreads = {name: spread(values) for name, values in errors.items()}
    return {
        name: SpeedResidual(samples=int(v["samples"]), median=v["median"], p90=v["p90"], worst=v["worst"])
        for name, v in spreads.items()
    }


if __name__ == "__main__":
    sys.exit(main())
