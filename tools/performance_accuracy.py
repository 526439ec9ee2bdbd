"""How good predictions of speed are: for measured cases from their inputs alone, beside what was measured.

`python -m tools.performance_accuracy --cases FILE [--json]` reads one JSON object a line, with the fields of the
measurements in the catalog: `kind` decode or serve, `gpu`, `model` or an `architecture` with the keys of a
config.json, `weights_format`, `kv_cache_dtype`, limits, and the load. `arrivals_s` and `output_tokens` are replayed as
they ran; where they are absent, arrivals and lengths are drawn. `host_launch_us` is the time in which the host launches
one kernel. `speculative_tokens` are guessed and verified in every step, of which `tokens_per_step` come out (1 unless
stated: none accepted). Kernels of FP8 weights are those that the version takes on the GPU, for weights in blocks if
`weights_format` says so, unless `weights_format`, `linear_backend`, `engine_args` or `note` name others.

A case that states its pool (`kv_tokens`) ran in one process; one that does not was asked over the API server, whose
overhead is added, unless `api_server` says which. Cases that cannot be predicted are told, and the others predicted.
"""

import json
import math
import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.catalog.performance_facts import GpuRoofs, KernelClass, PerformanceFacts, read_performance_facts
from gke_llm_inference.planning.compatibility import request_problems
from gke_llm_inference.planning.memory.plan import plan_memory
from gke_llm_inference.planning.memory.request import WEIGHTS_FORMATS, MemoryRequest, weights_format
from gke_llm_inference.planning.performance.load import Load, arrivals_ms, uniform_lengths
from gke_llm_inference.planning.performance.prediction import Prediction, predict, server_limits
from gke_llm_inference.planning.performance.simulation import ServerLimits
from gke_llm_inference.planning.performance.step_time import StepTimer, block_kernel_class
from gke_llm_inference.planning.performance.timer import step_timer
from gke_llm_inference.settings import Finding, Refusal
from tools.accuracy import PartialReport, run
from tools.memory_accuracy import case_request, read_cases

Kind = Literal["decode", "serve"]

_ENOUGH_MIB = 10**6
_MANY_POSITIONS = 131_072
_REQUESTS = 10
"""Requests per place of a closed loop, where the case does not say how many ran."""
_MOST_REQUESTS = 4096
_MOST_SIMULATED = 100_000
_NEARLY = 0.1
"""Spread of lengths that a benchmark states as one number: were they equal, requests would start and end together."""
_LARGEST = 10**9
_KERNEL_NAMES: dict[str, KernelClass] = {
    "marlin": "marlin",
    "humming": "marlin",
    "triton": "triton",
    "cutlass": "fp8",
}
"""Kernels of FP8 weights by vLLM's names; Humming keeps activations in 16 bits, as Marlin does."""
_BACKEND = re.compile(r"linear(?:[ _-]backend)?[ =:]+(?:prefill )?(\w+)")
_FORMAT_NAMES = {"w4a16": "ctw4a16", "w8a8": "ctw8a8"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case's inputs.

    Attributes:
        context: tokens in the context of each sequence, for a decode step.
        load: requests, for a served load.

    """

    kind: Kind
    request: MemoryRequest
    gpu: str
    pool_tokens: int | None
    launch_us: float | None
    api_server: bool
    prefix_hit_rate: float
    sequences: int
    context: float
    load: Load | None
    speculative_tokens: int = 0
    tokens_per_step: float = 1.0
    linear: KernelClass | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A prediction beside what was measured.

    Attributes:
        line: number of the case.
        errors: by quantity, in percent of what was measured.

    """

    line: int
    id: str
    kind: Kind
    gpu: str
    model: str
    weights_format: str
    sequences: int
    predicted: dict[str, Any]
    measured: dict[str, Any]
    errors: dict[str, float]


def case_of(case: Mapping[str, Any]) -> Case:
    """The inputs of a case; what was measured is not read.

    Raises:
        Refusal: a field is missing or impossible; with every problem.

    """
    problems: list[Finding] = []
    kind = case.get("kind", "decode" if {"step_ms", "sequences"} & case.keys() else "serve")
    if kind not in ("decode", "serve"):
        problems.append(_wrong("kind", "decode or serve"))
    gpu = gpu_name(case.get("gpu"))
    if gpu is None:
        problems.append(_wrong("gpu", f"one of {', '.join(sorted(read_performance_facts().gpus))}"))
    memory = load_catalog().memory
    visible = memory.versions.visible_memory.get(gpu or "")
    text = case.get("weights_format")
    named = {"weights_format": _format(text)} if isinstance(text, str) else {}
    enough = {"emulated_total_mib": visible.mib if visible else _ENOUGH_MIB}
    request = case_request({**enough, **_with_positions(case), **named})
    if request.weights_format not in WEIGHTS_FORMATS:
        problems.append(_wrong("weights_format", f"one of {', '.join(WEIGHTS_FORMATS)}"))
    counts = {
        key: _count(case, key, problems)
        for key in (
            "tensor_parallel",
            "kv_tokens",
            "sequences",
            "concurrency",
            "requests",
            "shared_prefix_tokens",
            "speculative_tokens",
        )
    }
    numbers = {
        key: _number(case, key, problems)
        for key in (
            "context_tokens",
            "request_rate",
            "host_launch_us",
            "prefix_cache_hit_rate",
            "output_tokens_mean",
            "tokens_per_step",
        )
    }
    prompts = case.get("input_tokens")
    counts["input_tokens"] = None if isinstance(prompts, list) else _count(case, "input_tokens", problems)
    if problems:
        raise Refusal(problems)
    version = case.get("version")
    request = replace(
        request,
        tensor_parallel=counts["tensor_parallel"] or 1,
        accelerator=gpu,
        version=version if isinstance(version, str) else request.version,
    )
    api_server = case.get("api_server")
    load = None
    if kind == "serve":
        load = _load(case, counts, numbers)
    elif counts["sequences"] is None or numbers["context_tokens"] is None:
        raise Refusal([_wrong("sequences", "sequences and their mean context_tokens")])
    return Case(
        kind="serve" if load else "decode",
        request=request,
        gpu=gpu or "",
        pool_tokens=counts["kv_tokens"],
        launch_us=numbers["host_launch_us"],
        api_server=api_server if isinstance(api_server, bool) else counts["kv_tokens"] is None,
        prefix_hit_rate=_hit_rate(counts, numbers),
        sequences=counts["sequences"] or 0,
        context=numbers["context_tokens"] or 0.0,
        load=load,
        speculative_tokens=counts["speculative_tokens"] or 0,
        tokens_per_step=max(1.0, numbers["tokens_per_step"] or 1.0),
        linear=_linear_kernels(case, request, gpu or ""),
    )


def _with_positions(case: Mapping[str, Any]) -> Mapping[str, Any]:
    """A case whose architecture says how long a context may be; speed depends on what is asked alone."""
    config, key = case.get("architecture"), "max_position_embeddings"
    if not isinstance(config, Mapping) or key in config or key in (config.get("text_config") or ()):
        return case
    return {**case, "architecture": {**config, key: case.get("max_model_len") or _MANY_POSITIONS}}


def _linear_kernels(case: Mapping[str, Any], request: MemoryRequest, gpu: str) -> KernelClass | None:
    """Kernels that a case with FP8 weights names, or those for weights in blocks; None if neither."""
    if weights_format(request.weights_format).kernels != "fp8":
        return None
    weights = str(case.get("weights_format")).lower()
    told = str(case.get("linear_backend") or "").lower()
    texts = " ".join(str(case.get(key) or "") for key in ("engine_args", "note")).lower()
    named = [word for word in re.findall(r"\w+", weights + " " + told) if word in _KERNEL_NAMES]
    named += [word for word in _BACKEND.findall(texts) if word in _KERNEL_NAMES]
    if named:
        return _KERNEL_NAMES[named[0]]
    roofs = read_performance_facts().gpus[gpu]
    return block_kernel_class(roofs, request.version) if "block" in weights else None


def _hit_rate(counts: Mapping[str, int | None], numbers: Mapping[str, float | None]) -> float:
    """Share of a prompt that the prefix cache has: as stated, or what all prompts have in common."""
    stated, common = numbers["prefix_cache_hit_rate"], counts["shared_prefix_tokens"]
    rate = stated if stated is not None else (common or 0) / (counts["input_tokens"] or 1)
    return min(1.0, rate)


def _format(text: str) -> str:
    """The format that a text names first, such as fp8 of `fp8 block (Marlin)`."""
    word = text.lower().replace("/", " ").split(" ")[0]
    return _FORMAT_NAMES.get(word, word)


def gpu_name(given: object) -> str | None:
    """The catalog's name of a GPU that a case names by it or by its model."""
    if not isinstance(given, str):
        return None
    known = read_performance_facts().gpus
    text = given.lower().replace("_", "-").replace(" ", "-")
    if text in known:
        return text
    words = set(text.split("-"))
    found = [name for name in known if set(name.split("-")[1:2]) & words or (set(name.split("-")) - {"nvidia"}) & words]
    return found[0] if found else None


def timer_of(case: Case, memory: MemoryFacts, facts: PerformanceFacts, gpu: GpuRoofs | None = None) -> StepTimer:
    """The step times of a case's server."""
    return step_timer(
        case.request,
        gpu or facts.gpus[case.gpu],
        memory,
        facts,
        launch_us=case.launch_us,
        speculative_tokens=case.speculative_tokens,
        linear=case.linear,
    )


def limits_of_case(case: Case, memory: MemoryFacts, facts: PerformanceFacts) -> ServerLimits:
    """What bounds the batches of a case's server; its pool by the memory plan where it is not stated.

    A server that ran had room for each of its requests, whatever the plan says.

    Raises:
        Refusal: the memory of the server cannot be planned; with every problem of it.

    """
    pool = case.pool_tokens
    if pool is None:
        problems = request_problems(case.request, memory)
        if problems:
            raise Refusal(problems)
        pool = max(plan_memory(case.request, memory).state.kv_cache_tokens, longest_tokens(case))
    return server_limits(
        case.request,
        pool,
        memory,
        facts,
        prefix_hit_rate=case.prefix_hit_rate,
        api_server=case.api_server,
        tokens_per_step=case.tokens_per_step,
    )


def longest_tokens(case: Case) -> int:
    """Tokens of a case's longest request."""
    load = case.load
    return max(sum(pair) for pair in zip(load.prompts, load.outputs, strict=True)) if load else 0


def predict_case(case: Case, facts: PerformanceFacts | None = None) -> Prediction | float:
    """What is predicted of a case: a step's time in ms, or what a load's clients see.

    Raises:
        Refusal: the load does not fit the server.

    """
    facts, memory = facts or read_performance_facts(), load_catalog().memory
    timer = timer_of(case, memory, facts)
    if case.load is None:
        return timer.decode_ms(case.sequences, case.sequences * case.context)
    limits = limits_of_case(case, memory, facts)
    if longest_tokens(case) > limits.pool_tokens:
        raise Refusal([_wrong("input_tokens", f"requests that the pool of {limits.pool_tokens} tokens holds")])
    return predict(timer, limits, case.load)


def compare(
    cases: Mapping[int, Mapping[str, Any]] | Iterable[Mapping[str, Any]], facts: PerformanceFacts | None = None
) -> list[Comparison]:
    """Every case's prediction beside what was measured.

    Raises:
        Refusal: with every case that cannot be predicted, by its line.

    """
    compared, problems = _tried(cases, facts)
    if problems:
        raise Refusal(problems)
    return compared


def _tried(
    cases: Mapping[int, Mapping[str, Any]] | Iterable[Mapping[str, Any]], facts: PerformanceFacts | None
) -> tuple[list[Comparison], list[Finding]]:
    """The cases that can be predicted, and what is wrong with the others, by their lines."""
    compared, problems = [], []
    for line, given in cases.items() if isinstance(cases, Mapping) else enumerate(cases, 1):
        try:
            case = case_of(given)
            compared.append(_compared(line, given, case, predict_case(case, facts)))
        except Refusal as refusal:
            problems += [replace(found, path=f"line {line}: {found.path}") for found in refusal.problems]
    return compared, problems


def report(cases: Mapping[int, Mapping[str, Any]], as_json: bool = False, facts: PerformanceFacts | None = None) -> str:
    """Predictions beside measurements, then the errors' median, 90th percentile and worst.

    Raises:
        PartialReport: some cases cannot be predicted; with the report of the others.
        Refusal: none can.

    """
    compared, problems = _tried(cases, facts)
    if problems and not compared:
        raise Refusal(problems)
    text = _text(compared, as_json)
    if problems:
        raise PartialReport(problems, text)
    return text


def _text(compared: list[Comparison], as_json: bool) -> str:
    summary = summarize(compared)
    if as_json:
        entries = [
            {key: value for key, value in asdict(entry).items() if key not in ("sequences", "weights_format")}
            for entry in compared
        ]
        return json.dumps({"cases": entries, "summary": summary}, indent=2, allow_nan=False) + "\n"
    lines = ["predicted / measured"]
    for entry in compared:
        figures = "  ".join(
            f"{name} {_figure(entry.predicted, name):.4g} / {_figure(entry.measured, name):.4g} ({error:+.1f} %)"
            for name, error in entry.errors.items()
        )
        lines.append(f"{entry.line}  {entry.id}  {entry.kind}  {figures}")
    lines.append("")
    lines += [f"{name}: {_spread_text(spread)}" for name, spread in summary.items()]
    return "\n".join(lines) + "\n"


def summarize(compared: Iterable[Comparison]) -> dict[str, dict[str, float]]:
    """Sizes of the errors by quantity: samples, median, 90th percentile, worst, and the median with its sign."""
    errors: dict[str, list[float]] = {}
    for entry in compared:
        for name, error in entry.errors.items():
            errors.setdefault(name, []).append(error)
    return {name: spread(values) for name, values in errors.items()}


def spread(errors: Sequence[float]) -> dict[str, float]:
    """Samples, median, 90th percentile and worst of the errors' sizes, and their median with its sign."""
    sizes = sorted(abs(error) for error in errors)
    return {
        "samples": len(sizes),
        "median": round(statistics.median(sizes), 2),
        "p90": round(quantile(sizes, 0.9), 2),
        "worst": round(sizes[-1], 2),
        "bias": round(statistics.median(errors), 2),
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """Quantile of sorted values, linear between two."""
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def _compared(line: int, given: Mapping[str, Any], case: Case, prediction: Prediction | float) -> Comparison:
    predicted: dict[str, Any]
    if isinstance(prediction, float):
        predicted = {"step_ms": round(prediction, 4)}
    else:
        predicted = {
            "ttft_ms": {key: round(value, 3) for key, value in asdict(prediction.ttft_ms).items()},
            "tpot_ms": {key: round(value, 4) for key, value in asdict(prediction.tpot_ms).items()},
            "output_tokens_per_second": round(prediction.output_tokens_per_second, 2),
        }
    measured = {key: given[key] for key in predicted if given.get(key) is not None}
    names = {
        "decode": ("step_ms",),
        "serve": (
            "ttft_ms.p50",
            "tpot_ms.p50",
            "output_tokens_per_second",
            "ttft_ms.p90",
            "tpot_ms.p90",
            "ttft_ms.p99",
            "tpot_ms.p99",
        ),
    }[case.kind]
    errors = {}
    for name in names:
        # The throughput of an open loop follows from its arrivals.
        if name == "output_tokens_per_second" and case.load and case.load.arrivals_ms is not None:
            continue
        truth = _figure(measured, name)
        if truth:
            errors[name] = round(100 * (_figure(predicted, name) / truth - 1), 3)
    concurrency = case.load.concurrency if case.load else None
    return Comparison(
        line=line,
        id=str(given.get("id", given.get("model", "")))[:60],
        kind=case.kind,
        gpu=case.gpu,
        model=str(given.get("model", "architecture"))[:60],
        weights_format=case.request.weights_format,
        sequences=case.sequences or concurrency or 0,
        predicted=predicted,
        measured=measured,
        errors=errors,
    )


def _figure(figures: Mapping[str, Any], name: str) -> float:
    value: Any = figures
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usable else 0.0


def _load(case: Mapping[str, Any], counts: Mapping[str, int | None], numbers: Mapping[str, float | None]) -> Load:
    given_outputs = case.get("output_tokens")
    concurrency, rate = counts["concurrency"], numbers["request_rate"]
    problems = []
    given_prompts = case.get("input_tokens")
    listed = isinstance(given_prompts, list) and _are_numbers(given_prompts, least=1)
    if counts["input_tokens"] is None and not listed:
        problems.append(_wrong("input_tokens", "the prompt's tokens, or those of each request"))
    if (counts["requests"] or 0) > _MOST_SIMULATED:
        raise Refusal([*problems, _wrong("requests", f"at most {_MOST_SIMULATED}")])
    arrivals = _arrivals(case, concurrency, problems)
    if isinstance(given_outputs, list) and _are_numbers(given_outputs, least=1):
        outputs = tuple(int(value) for value in given_outputs)
    else:
        mean = numbers["output_tokens_mean"] or (given_outputs if isinstance(given_outputs, int | float) else None)
        if not mean or mean < 1:
            raise Refusal([*problems, _wrong("output_tokens", "each request's tokens, or output_tokens_mean")])
        count = counts["requests"] or len(arrivals or ()) or min(_MOST_REQUESTS, _REQUESTS * max(concurrency or 0, 10))
        outputs = uniform_lengths(mean, count, spread=_spread_of(case))
    if arrivals is not None and len(arrivals) != len(outputs):
        problems.append(_wrong("arrivals_s", "as many as output_tokens"))
    if arrivals is None and rate and (case.get("arrival") == "poisson" or concurrency is None):
        arrivals = arrivals_ms(rate, len(outputs))
    if arrivals is None and not concurrency:
        problems.append(_wrong("concurrency", "the requests in flight, or request_rate"))
    prompts = (counts["input_tokens"] or 1,) * len(outputs)
    if isinstance(given_prompts, list) and listed:
        prompts = tuple(int(value) for value in given_prompts)
        if len(prompts) != len(outputs):
            problems.append(_wrong("input_tokens", "as many as output_tokens"))
    if problems:
        raise Refusal(problems)
    return Load(
        prompts=prompts,
        outputs=outputs,
        arrivals_ms=arrivals,
        concurrency=None if arrivals is not None else concurrency,
    )


def _arrivals(case: Mapping[str, Any], concurrency: int | None, problems: list[Finding]) -> tuple[float, ...] | None:
    """When requests came, in ms, where the case has it and was no closed loop."""
    given, arrival = case.get("arrivals_s"), case.get("arrival")
    if given is None or (arrival != "poisson" and (arrival is not None or concurrency is not None)):
        return None
    if not isinstance(given, list) or not _are_numbers(given, least=0) or given != sorted(given):
        problems.append(_wrong("arrivals_s", "seconds that rise"))
        return None
    return tuple(1000 * float(value) for value in given)


def _spread_of(case: Mapping[str, Any]) -> float:
    """How far drawn lengths are from their mean: a single number of output tokens is nearly each request's."""
    if case.get("output_tokens_spread") == "none":
        return 0.0
    return 0.5 if case.get("output_tokens_mean") is not None else _NEARLY


def _are_numbers(values: list[Any], least: float) -> bool:
    return bool(values) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and least <= value < _LARGEST for value in values
    )


def _count(case: Mapping[str, Any], key: str, problems: list[Finding]) -> int | None:
    value = case.get(key)
    if value is None:
        return None
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 0 < value < _LARGEST:
        problems.append(_wrong(key, "a positive whole number"))
        return None
    return int(value)


def _number(case: Mapping[str, Any], key: str, problems: list[Finding]) -> float | None:
    value = case.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LARGEST:
        problems.append(_wrong(key, "a number that is not negative"))
        return None
    return float(value)


def _wrong(key: str, expected: str) -> Finding:
    return Finding(path=f"case.{key}", what=f"not {expected}", why="the prediction rests on it", fix=f"give {expected}")


def _spread_text(values: Mapping[str, float]) -> str:
    return (
        f"median {values['median']:.2f} %, p90 {values['p90']:.2f} %, worst {values['worst']:.2f} %, "
        f"bias {values['bias']:+.2f} % of {values['samples']:.0f}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print predictions beside measurements; 0 fine, 1 the file is wrong."""
    return run("tools.performance_accuracy", lambda text, as_json: report(read_cases(text), as_json), arguments)


if __name__ == "__main__":
    sys.exit(main())
