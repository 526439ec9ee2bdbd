"""Fits the constants of memory plans to measurements.

`python -m tools.fit_memory MEASUREMENTS.jsonl --date YYYY-MM-DD [--output FILE]` writes the constants as YAML. The same
measurements and date give the same bytes. What a formula states exactly (bits of a format, bytes of a buffer) is
rounded to the digits that the measurements support; nothing is fitted per model, so that a model which nobody measured
is planned with the same constants as one that was.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.memory_facts import (
    MEASURED_VERSION,
    ErrorMargin,
    MemoryFacts,
    VllmConstants,
    measurements_path,
)
from gke_llm_inference.planning.memory.activation import (
    Step,
    cold_mib,
    forward_mib,
    logits_mib,
    step_of,
    v1_sampler_mib,
)
from gke_llm_inference.planning.memory.demand import graph_scale
from gke_llm_inference.planning.memory.request import (
    Limits,
    MemoryRequest,
    family_group,
    limits_of,
    weights_format,
)
from gke_llm_inference.planning.memory.sharding import MIB, ModelShard, shard_of
from gke_llm_inference.planning.memory.weights import weights_mib
from tools.memory_accuracy import case_request, compare, read_cases, truth_of

SOURCE = (
    "vLLM 0.26.0 (torch 2.11.0+cu130) on one H200 limited to an L4's memory (22,561 MiB as torch sees it), 178 runs, "
    "2026; kept in l4-measurements-vllm-0.26.0.jsonl, one object per run, MiB unless a name says otherwise. Nothing "
    "ran on a real L4: its CUDA context (195 MiB) is from one public log, and kernels were those of an H200. Written "
    "by tools/fit_memory.py"
)
BLOCK_TOKENS = 16
_PROCESS_MIB = 275.0
_REST_CHOICES = (0.0, 1.0, 1.5, 2.0)
_REST_OF_TORCH = 1.0
_LONG_POSITIONS = 100000
# As in the measured version (catalog/memory/versions.yaml).
_SPLIT_LIMIT_MIB = 20
_FREE_AT_START = re.compile(r"\((\d+\.\d+)/\d+\.\d+ GiB\) on startup")
_FLASHINFER = {"minimum": 394.0, "tokenBytes": 16.0}

# Bits of a linear layer's weight by the formats' definitions. Groups of 128 with a 16-bit scale are 0.125 bits, with a
# 4-bit zero point 0.15625; NF4 has 32 bits for 64 weights, MXFP4 8 bits for 32, NVFP4 8 bits for 16.
_DEFINED_BITS = {
    "bf16": 16,
    "fp8": 8,
    "ctfp8": 8,
    "ctw8a8": 8,
    "eetq": 8,
    "bitsandbytes8": 8,
    "gptq8": 8.125,
    "awq": 4.15625,
    "gptq": 4.125,
    "ctw4a16": 4.125,
    "squeezellm": 4.15625,
    "bitsandbytes": 4.5,
    "mxfp4": 4.25,
    "nvfp4": 4.5,
}
# Start of the fit: what the formulas state, before any measurement is read.
_THEORY: dict[str, Any] = {
    "source": "theory",
    "date": "",
    "version": MEASURED_VERSION,
    "measurements": 0,
    "used": 0,
    "blockTokens": BLOCK_TOKENS,
    "weights": {
        "linearBits": _DEFINED_BITS,
        "allocatorWasteMib": {16: 0.0, 8: 0.0, 4: 0.0},
        "longPositions": {"fromTokens": _LONG_POSITIONS, "mib": 0.0},
        "rowStateBytes": 4.0,
    },
    "forward": {
        "feedForwardBytes": 6.0,
        "eagerHiddenBytes": {"default": 8.0},
        "compiledHiddenBytes": 4.0,
        "compiledQueryBytes": 2.0,
        "coldEmbeddingBytes": 2.0,
        "coldHiddenBytes": 4.0,
        "workspaceMib": 8.0,
    },
    "sampler": {
        "logitBytes": 2.0,
        "hiddenBytes": 2.0,
        "rowHiddenBytes": 4.0,
        "v1RowBytes": 14.0,
        "v1VocabularyBytes": 512.0,
    },
    "graphs": {
        "estimate": {"base": 0.0, "layer": 0.0, "width": 0.0},
        "v1Actual": {"base": 0.0, "layer": 0.0, "width": 0.0},
        "v2Actual": {"base": 0.0, "layer": 0.0, "width": 0.0},
        "flashinferEstimateMib": 0.0,
        "flashinferActualMib": 0.0,
        "outsideTorchLayerMib": 0.0,
    },
    "runtime": {
        "processMib": _PROCESS_MIB,
        "startContextMib": 606.0,
        "v2RowBytes": 22.0,
        "v2BaseMib": 0.0,
        "v2GraphsMib": 0.0,
        "forwardGraphsMib": 0.0,
        "v1BaseMib": 0.0,
        "flashinferWorkspaceMib": _FLASHINFER["minimum"],
        "flashinferTokenBytes": _FLASHINFER["tokenBytes"],
        "peakUncertaintyMib": 300.0,
    },
    "nonTorch": {"eager": 82.0, "graphs": {"base": 90.0, "layer": 0.0, "width": 0.0}},
    "errorMargin": {"mib": 0.0},
}


@dataclass(frozen=True)
class Run:
    """A measured case with what its settings mean."""

    case: Mapping[str, Any]
    request: MemoryRequest
    limits: Limits
    shard: ModelShard
    step: Step

    @property
    def model(self) -> str:
        """Name of the model in the measurements."""
        return str(self.case["model"])

    @property
    def v2(self) -> bool:
        """Whether the run had the V2 runner."""
        return self.limits.runner == "V2"

    @property
    def graphs(self) -> bool:
        """Whether the run had CUDA graphs."""
        return not self.request.enforce_eager

    @property
    def cold(self) -> bool:
        """Whether the compile cache was empty."""
        return self.graphs and self.request.compile_cache == "cold"

    @property
    def flashinfer(self) -> bool:
        """Whether the run attended with FlashInfer and an FP8 KV cache."""
        return bool(self.case.get("attention_backend") == "FLASHINFER" and self.request.kv_cache_dtype != "auto")

    def measured(self, name: str) -> float:
        """A measured figure."""
        return float(self.case[name])


def fit(cases: Iterable[Mapping[str, Any]], date: str) -> VllmConstants:
    """The constants that fit the cases best; the error margin is left at 0."""
    every = list(cases)
    facts = MemoryFacts(
        vllm=VllmConstants.model_validate(_THEORY),
        versions=load_catalog().memory.versions,
        unmeasured=load_catalog().memory.unmeasured,
    )
    runs = [_run(case, facts) for case in every if not case.get("patch") and case.get("weights_mib")]
    document = {key: dict(value) if isinstance(value, dict) else value for key, value in _THEORY.items()}
    document |= {"source": SOURCE, "date": date, "measurements": len(every), "used": len(runs)}

    def constants() -> VllmConstants:
        return VllmConstants.model_validate(document)

    document["weights"] = _fit_weights(runs, constants())
    document["forward"] = _fit_forward(runs, constants())
    document["sampler"] = _fit_sampler(runs, constants())
    document["nonTorch"] = _fit_non_torch(runs)
    document["graphs"] = _fit_graphs(runs)
    document["runtime"] = _fit_runtime(every, runs, constants())
    return constants()


def with_error_margin(cases: Sequence[Mapping[str, Any]], constants: VllmConstants) -> VllmConstants:
    """Constants whose error margin covers 19 of 20 pools of models left out of the fit, and their residuals."""
    left_out = [
        abs(entry.prediction.available_kv_mib - float(entry.measured["available_kv_mib"]))
        for entry in leave_one_out(cases, constants.date)
        if not entry.set_aside and "available_kv_mib" in entry.measured
    ]
    margin = statistics.quantiles(left_out, n=20)[-1] if len(left_out) > 1 else 0.0
    covered = constants.model_copy(update={"error_margin": ErrorMargin(mib=float(10 * -(-margin // 10)))})
    document = {**covered.model_dump(by_alias=True), "residuals": _residuals(cases, covered, left_out)}
    return VllmConstants.model_validate(document)


def leave_one_out(cases: Sequence[Mapping[str, Any]], date: str = "") -> list[Any]:
    """Comparisons of every case with a prediction whose constants were fitted without the case's model."""
    compared = []
    for model in sorted({str(case["model"]) for case in cases}):
        constants = fit([case for case in cases if case["model"] != model], date)
        facts = MemoryFacts(
            vllm=constants, versions=load_catalog().memory.versions, unmeasured=load_catalog().memory.unmeasured
        )
        compared += compare({line: case for line, case in enumerate(cases, 1) if case["model"] == model}, facts)
    return sorted(compared, key=lambda entry: entry.line)


def as_yaml(constants: VllmConstants) -> str:
    """The constants as a file of the catalog."""
    document = constants.model_dump(by_alias=True, exclude_none=True)
    return yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description="Fits the constants of memory plans to measurements.")
    parser.add_argument("measurements", type=Path, nargs="?", default=measurements_path())
    parser.add_argument("--date", required=True, help="date of the fit, as it shall stand in the file")
    parser.add_argument("--output", type=Path, help="file to write; standard output if absent")
    options = parser.parse_args(arguments)
    text = fitted_yaml(options.measurements.read_text("utf-8"), options.date)
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.write_text(text, "utf-8")


def fitted_yaml(measurements: str, date: str) -> str:
    """The catalog's file for the measurements' text."""
    cases = list(read_cases(measurements).values())
    return as_yaml(with_error_margin(cases, fit(cases, date)))


def _run(case: Mapping[str, Any], facts: MemoryFacts) -> Run:
    request = case_request(case)
    limits, shard = limits_of(request, facts), shard_of(request)
    return Run(case, request, limits, shard, step_of(request, shard, limits))


def _fit_weights(runs: list[Run], constants: VllmConstants) -> dict[str, Any]:
    """Bits by format from what is left of the weights after tables, the allocator's rests by precision."""
    samples = list({(run.model, run.case["weights_format"]): run for run in runs}.values())
    weights: dict[str, Any] = constants.weights.model_dump(by_alias=True)

    def left(run: Run) -> float:
        return run.measured("weights_mib") - weights_mib(
            run.request, run.shard, _with(constants, weights).weights, streams=True, split_limit_mib=_SPLIT_LIMIT_MIB
        )

    for precision in (16, 8, 4):
        alike = [run for run in samples if _precision(run) == precision and not _long(run)]
        distances = {rest: _distance_with_rest(alike, weights, precision, rest, left) for rest in _REST_CHOICES}
        # torch itself leaves rests up to 1 MiB; another figure needs measurements that say so.
        best = min(distances, key=lambda rest: (distances[rest], abs(rest - _REST_OF_TORCH)))
        weights["allocatorWasteMib"][precision] = best
    long = [left(run) for run in samples if _long(run)]
    weights["longPositions"]["mib"] = round(statistics.median(long), 1) if long else 0.0
    for name in sorted({run.request.weights_format for run in samples} - {"bf16"}):
        bits = [_bits_left(run, left(run)) for run in samples if run.request.weights_format == name]
        weights["linearBits"][name] = round(weights["linearBits"][name] + statistics.median(bits), 4)
    state = [
        (run.measured("load_peak_reserved_mib") - run.measured("weights_mib")) / run.step.row_vocabulary
        for run in runs
        if run.v2 and run.limits.max_num_seqs >= 128 and run.case.get("load_peak_reserved_mib")
    ]
    weights["rowStateBytes"] = round(statistics.median(state), 2) if state else weights["rowStateBytes"]
    return weights


def _distance_with_rest(
    runs: list[Run], weights: dict[str, Any], precision: int, rest: float, left: Callable[[Run], float]
) -> float:
    weights["allocatorWasteMib"][precision] = rest
    return round(sum(abs(left(run)) for run in runs), 3)


def _bits_left(run: Run, left: float) -> float:
    given = run.request.architecture
    tables = given.vocab_size * given.hidden_size * (1 if given.tied_embeddings else 2)
    return left * MIB * 8 / (given.parameters - tables)


def _fit_forward(runs: list[Run], constants: VllmConstants) -> dict[str, Any]:
    """Bytes per token and hidden width, from runs in which the forward pass is the peak."""
    forward: dict[str, Any] = constants.forward.model_dump(by_alias=True)
    theory = constants.forward
    eager = [run for run in runs if not run.graphs and _forward_bound(run, constants)]
    workspace = [run for run in eager if run.step.kernels == "dense"]
    # A step of four times the tokens has the same workspace: two of them give it exactly.
    pairs = [
        ((four.step.tokens / one.step.tokens) * _peak(one) - _peak(four)) / (four.step.tokens / one.step.tokens - 1)
        for one in workspace
        for four in workspace
        if one.model == four.model and four.step.tokens == 4 * one.step.tokens
    ]
    forward["workspaceMib"] = round(statistics.median(pairs), 2) if pairs else theory.workspace_mib
    by_family: dict[str, list[float]] = {}
    for run in eager:
        if run.step.kernels == "bitsandbytes":
            continue
        width_bytes = theory.feed_forward_bytes + (1 if run.step.kernels == "fp8" else 0)
        rest = _peak(run) - (forward["workspaceMib"] if run.step.kernels == "dense" else 0.0)
        hidden = rest * MIB / run.step.tokens - width_bytes * run.shard.feed_forward
        by_family.setdefault(family_group(run.request.family), []).append(hidden / run.shard.hidden)
    families = {name: round(statistics.median(values), 1) for name, values in sorted(by_family.items())}
    default = round(statistics.median(families.values()), 1) if families else 8.0
    forward["eagerHiddenBytes"] = {**families, "default": default}
    cold = [run for run in runs if run.cold and _peak(run) > 1.01 * _steady(run, constants)]
    rows = [(float(run.shard.vocabulary * run.shard.hidden) / MIB, run.step.token_hidden) for run in cold]
    peaks = [_peak(run) - (run.step.token_hidden if run.step.kernels == "fp8" else 0.0) for run in cold]
    solution = _least_squares(rows, peaks)
    if solution:
        forward["coldEmbeddingBytes"], forward["coldHiddenBytes"] = (round(value, 2) for value in solution)
    return forward


def _fit_sampler(runs: list[Run], constants: VllmConstants) -> dict[str, Any]:
    """The V1 runner's sampler: bytes per row and vocabulary entry, and per vocabulary entry."""
    sampler: dict[str, Any] = constants.sampler.model_dump(by_alias=True)
    beside = constants.sampler
    rows, peaks = [], []
    for run in runs:
        forward = forward_mib(run.step, constants, compiled=run.graphs)
        if run.v2 or run.cold or _peak(run) < 1.1 * forward:
            continue
        rows.append((run.step.row_vocabulary, run.shard.vocabulary / MIB))
        known = beside.hidden_bytes * run.step.token_hidden + constants.forward.workspace_mib
        peaks.append(_peak(run) - known - beside.row_hidden_bytes * run.step.rows * run.shard.hidden / MIB)
    solution = _least_squares(rows, peaks)
    if solution:
        sampler["v1RowBytes"], sampler["v1VocabularyBytes"] = round(solution[0], 2), round(solution[1], 1)
    return sampler


def _fit_non_torch(runs: list[Run]) -> dict[str, Any]:
    """What torch does not allocate; with the V1 runner's graphs by layers."""
    others = [run.measured("non_torch_mib") for run in runs if run.v2 or not run.graphs]
    by_model = {run.model: run for run in runs if run.graphs and not run.v2}
    rows = [(1.0, float(run.shard.layers)) for run in by_model.values()]
    base, layer = _least_squares(rows, [run.measured("non_torch_mib") for run in by_model.values()]) or (90.0, 0.0)
    return {
        "eager": round(statistics.median(others), 1),
        "graphs": {"base": round(base, 1), "layer": round(layer, 3), "width": 0.0},
    }


def _fit_graphs(runs: list[Run]) -> dict[str, Any]:
    """CUDA graphs by layers and width, one run for each model at its own precision; what FlashInfer adds."""
    usual = [run for run in runs if run.graphs and run.limits.max_num_seqs == 256]

    def fitted(chosen: list[Run], value: Callable[[Run], float]) -> tuple[dict[str, float], float]:
        plain = {run.model: run for run in reversed(chosen) if not run.flashinfer and _precision(run) == 16}
        rows = [(1.0, float(run.shard.layers), run.shard.feed_forward / 1000) for run in plain.values()]
        base, layer, width = _least_squares(rows, [value(run) for run in plain.values()]) or (400.0, 0.0, 0.0)
        more = [
            value(run) - (base + layer * run.shard.layers + width * run.shard.feed_forward / 1000)
            for run in chosen
            if run.flashinfer
        ]
        line = {"base": round(base, 1), "layer": round(layer, 3), "width": round(width, 3)}
        return line, round(statistics.median(more), 0) if more else 0.0

    def actual(run: Run) -> float:
        return 1024 * run.measured("cudagraph_actual_gib")

    captured = [run for run in usual if run.case.get("cudagraph_actual_gib")]
    reserved = [run for run in usual if not run.v2 and run.case.get("cudagraph_reserved_mib")]
    estimate, estimate_more = fitted(reserved, lambda run: run.measured("cudagraph_reserved_mib"))
    v1, _ = fitted([run for run in captured if not run.v2], actual)
    v2, actual_more = fitted([run for run in captured if run.v2], actual)
    outside = [
        (run.measured("l4_used_ready_est_mib") - run.measured("torch_reserved_ready_mib") - _PROCESS_MIB)
        / run.shard.layers
        for run in usual
        if run.case.get("torch_reserved_ready_mib") and not run.flashinfer
    ]
    return {
        "outsideTorchLayerMib": round(statistics.median(outside), 2) if outside else 8.3,
        "estimate": estimate,
        "v1Actual": v1,
        "v2Actual": v2,
        "flashinferEstimateMib": estimate_more or 914.0,
        "flashinferActualMib": actual_more or 348.0,
    }


def _fit_runtime(every: list[Mapping[str, Any]], runs: list[Run], constants: VllmConstants) -> dict[str, Any]:
    """What is used beyond weights, pool and graphs, by what decides it."""
    runtime: dict[str, Any] = constants.runtime.model_dump(by_alias=True)
    process = [
        run.measured("l4_used_ready_est_mib") - run.measured("torch_reserved_ready_mib")
        for run in runs
        if not run.graphs and run.case.get("torch_reserved_ready_mib")
    ]
    runtime["processMib"] = round(statistics.median(process), 0)
    runtime["startContextMib"] = _start_context(every, runtime["startContextMib"])

    def beyond(run: Run) -> float:
        pool = run.measured("kv_bytes_allocated") / MIB
        used = run.measured("l4_used_peak_est_mib") - float(runtime["processMib"])
        return used - run.measured("weights_mib") - pool

    ready = [run for run in runs if run.case.get("kv_bytes_allocated") and not run.flashinfer]
    eager2 = [run for run in ready if run.v2 and not run.graphs]
    sampled = [run for run in eager2 if beyond(run) > 1.1 * _steady(run, constants)]
    solution = _least_squares([(run.step.row_vocabulary, 1.0) for run in sampled], [beyond(run) for run in sampled])
    if solution:
        runtime["v2RowBytes"], runtime["v2BaseMib"] = round(solution[0], 2), round(solution[1], 0)
    v1 = [beyond(run) - _steady(run, constants) for run in ready if not run.v2 and not run.graphs]
    runtime["v1BaseMib"] = round(statistics.median(v1), 0) if v1 else 100.0
    by_sampler, by_forward = [], []
    for run in ready:
        if not run.v2 or not run.graphs:
            continue
        graphs = constants.graphs.v2_actual.at(run.shard.layers, run.shard.feed_forward)
        graphs *= graph_scale(run.limits.max_num_seqs)
        sampler = runtime["v2RowBytes"] * run.step.row_vocabulary + runtime["v2BaseMib"]
        if sampler > _steady(run, constants) + 300:
            by_sampler.append(beyond(run) - graphs - sampler)
        else:
            by_forward.append(beyond(run) - graphs - _steady(run, constants))
    runtime["v2GraphsMib"] = round(statistics.median(by_sampler), 0) if by_sampler else -60.0
    runtime["forwardGraphsMib"] = round(statistics.median(by_forward), 0) if by_forward else 225.0
    return runtime


def _start_context(every: list[Mapping[str, Any]], default: float) -> float:
    """Memory that was taken before vLLM compared what is free with its budget, from its own refusal."""
    for case in every:
        found = _FREE_AT_START.search(str(case.get("error", "")))
        if found:
            return round(float(case["emulated_total_mib"]) - 1024 * float(found[1]), 0)
    return default


def _residuals(cases: Sequence[Mapping[str, Any]], constants: VllmConstants, left_out: list[float]) -> dict[str, Any]:
    facts = MemoryFacts(
        vllm=constants, versions=load_catalog().memory.versions, unmeasured=load_catalog().memory.unmeasured
    )
    entries = [entry for entry in compare(cases, facts) if not entry.set_aside]

    def sizes(predicted: str, measured: str) -> list[float]:
        return [
            abs(float(getattr(entry.prediction, predicted)) - float(entry.measured[measured]))
            for entry in entries
            if measured in entry.measured
        ]

    used = [
        abs(entry.prediction.used_peak_mib - float(cases[entry.line - 1]["l4_used_peak_est_mib"]))
        for entry in entries
        if entry.measured.get("started")
    ]
    tokens = [abs(entry.tokens_error) for entry in entries if entry.tokens_error is not None]
    figures = {
        "weightsMib": sizes("weights_mib", "weights_mib"),
        "peakActivationMib": sizes("peak_activation_mib", "peak_activation_mib"),
        "kvCacheMib": sizes("available_kv_mib", "available_kv_mib"),
        "kvTokensPercent": tokens,
        "usedPeakMib": used,
        "kvCacheMibOfModelsLeftOut": left_out,
    }
    return {
        name: {
            "samples": len(values),
            "median": round(statistics.median(values), 2),
            "worst": round(max(values), 2),
        }
        for name, values in figures.items()
    }


def _with(constants: VllmConstants, weights: dict[str, Any]) -> VllmConstants:
    return constants.model_copy(update={"weights": type(constants.weights).model_validate(weights)})


def _peak(run: Run) -> float:
    return run.measured("peak_activation_mib")


def _steady(run: Run, constants: VllmConstants) -> float:
    """Peak of the profile without what a cold compile cache adds."""
    peak = max(forward_mib(run.step, constants, compiled=run.graphs), logits_mib(run.step, constants))
    return peak if run.v2 else max(peak, v1_sampler_mib(run.step, constants))


def _forward_bound(run: Run, constants: VllmConstants) -> bool:
    rivals = [logits_mib(run.step, constants)]
    if not run.v2:
        rivals.append(v1_sampler_mib(run.step, constants))
    if run.cold:
        rivals.append(cold_mib(run.step, constants))
    return _peak(run) > 1.05 * max(rivals)


def _precision(run: Run) -> int:
    return weights_format(run.request.weights_format).precision


def _long(run: Run) -> bool:
    return run.request.architecture.max_positions >= _LONG_POSITIONS


def _least_squares(rows: Sequence[Sequence[float]], values: Sequence[float]) -> tuple[float, ...] | None:
    """Coefficients that fit best, by the normal equations; None where the rows do not determine them."""
    if not rows or len(rows) < len(rows[0]):
        return None
    size = len(rows[0])
    matrix = [
        [sum(row[i] * row[j] for row in rows) for j in range(size)]
        + [sum(row[i] * value for row, value in zip(rows, values, strict=True))]
        for i in range(size)
    ]
    for column in range(size):
        pivot = max(range(column, size), key=lambda line: abs(matrix[line][column]))
        if abs(matrix[pivot][column]) < 1e-9:
            return None
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        for line in range(size):
            if line != column:
                factor = matrix[line][column] / matrix[column][column]
                matrix[line] = [a - factor * b for a, b in zip(matrix[line], matrix[column], strict=True)]
    return tuple(matrix[line][size] / matrix[line][line] for line in range(size))


__all__ = ["as_yaml", "fit", "fitted_yaml", "leave_one_out", "main", "truth_of", "with_error_margin"]

if __name__ == "__main__":
    main()
