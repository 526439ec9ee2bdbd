"""How good memory plans are, and how fast: against measurements, beside two published formulas.

`python -m benchmarks.memory` prints Markdown: errors with the constants of the catalog, errors for models that were
left out of the fit, two formulas of other projects on the same cases, figures that others published, and times.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog import GIB, ModelArchitecture, load_catalog
from gke_llm_inference.catalog.memory_facts import measurements_path
from gke_llm_inference.planning.memory.activation import forward_mib, logits_mib, step_of, v1_sampler_mib
from gke_llm_inference.planning.memory.plan import plan_memory
from gke_llm_inference.planning.memory.request import MemoryRequest, limits_of, weights_format
from gke_llm_inference.planning.memory.sharding import MIB, shard_of
from tools.fit_memory import leave_one_out
from tools.memory_accuracy import Comparison, case_request, compare, read_cases

_DENSE_LIMIT, _MEDIAN_LIMIT, _OTHER_LIMIT = 3.0, 1.0, 7.0
_PLANS = 1000

# llm-d-planner's calibration of vLLM 0.19.0 on H100 with 8,192 batched tokens and 1,024 sequences: peak activation in
# GiB by architecture (peers' published table). None of these runs is in the fit.
_PUBLISHED_PEAKS = {
    "Gemma 7B": ("google/gemma-7b", 3.63),
    "Gemma 2 9B": ("google/gemma-2-9b-it", 3.65),
    "Llama 3.1 8B": ("meta-llama/Llama-3.1-8B-Instruct", 1.89),
    "Qwen2 7B": ("Qwen/Qwen2.5-7B-Instruct", 2.25),
}


@dataclass(frozen=True)
class Estimate:
    """What a formula says of a case: tokens of KV cache, and whether the server fits."""

    tokens: float
    fits: bool


def kaito(request: MemoryRequest) -> Estimate:
    """KAITO's formula (pkg/workspace/estimator/nodesestimator/estimator.go).

    size = safetensors bytes × 1.02; available = GPU memory × 0.84; reserve = 2.3 GiB + context × bytes per token;
    GPUs = int(size / ((available − reserve) / 1.05)) + 1; bytes per token = 2 × layers × KV heads × head width × 2. The
    memory is what torch sees, which is to its advantage. Tokens are what it leaves beside size × 1.05 and 2.3 GiB.
    """
    size = checkpoint_bytes(request) * 1.02
    available = request.gpu_memory_mib * MIB * 0.84
    token = token_bytes(request.architecture)
    context = request.max_model_len or request.architecture.max_positions
    room = (available - 2.3 * GIB - context * token) / 1.05
    tokens = (available - 2.3 * GIB - size * 1.05) / token
    return Estimate(max(0.0, tokens), room > 0 and int(size / room) + 1 <= 1)


def twice_parameters(request: MemoryRequest) -> Estimate:
    """Parameters × 2 bytes × 1.2 (AI Runway, and most calculators): what is left of the GPU is KV cache."""
    need = request.architecture.parameters * 2 * 1.2
    left = request.gpu_memory_mib * MIB - need
    return Estimate(max(0.0, left / token_bytes(request.architecture)), left >= 0)


def checkpoint_bytes(request: MemoryRequest) -> float:
    """Bytes of the checkpoint's files: linear layers at the format's bits, embeddings at 16."""
    given = request.architecture
    chosen = weights_format(request.weights_format)
    tables = given.vocab_size * given.hidden_size * (1 if given.tied_embeddings else 2)
    # FP8 on load and bitsandbytes read a checkpoint at its own precision.
    bits = 16.0 if chosen.on_load else load_catalog().memory.vllm.weights.linear_bits[request.weights_format]
    return tables * 2 + (given.parameters - tables) * bits / 8


def token_bytes(given: ModelArchitecture) -> int:
    """Bytes of one token's KV cache at 16 bits over all layers."""
    return 2 * given.layers * given.kv_heads * given.head_dim * 2


def main() -> None:
    """Print everything."""
    cases = list(read_cases(measurements_path().read_text("utf-8")).values())
    _errors("Measured models: constants fitted to all of them", cases, compare(cases))
    _errors("Models left out: constants fitted to the others, each model in turn", cases, leave_one_out(cases))
    _formulas(cases)
    _published()
    _times(cases)


def _errors(title: str, cases: list[dict[str, Any]], compared: list[Comparison]) -> None:
    _write(f"## {title}\n")
    counted = [entry for entry in compared if not entry.set_aside]
    _write(f"{len(compared)} cases, {len(compared) - len(counted)} set aside (torch or vLLM itself was changed)\n")
    _write("| model | cases | tokens: median % | worst % | KV MiB: median % | worst % |")
    _write("| --- | ---: | ---: | ---: | ---: | ---: |")
    for model in sorted({str(case["model"]) for case in cases}):
        entries = [entry for entry in counted if cases[entry.line - 1]["model"] == model]
        _write(f"| {model} | {len(entries)} | {_pair(_tokens(entries))} | {_pair(_pools(entries))} |")
    dense = [entry for entry in counted if _is_dense(cases[entry.line - 1])]
    others = [entry for entry in counted if not _is_dense(cases[entry.line - 1])]
    _write("")
    _verdict("dense models, worst", max(_tokens(dense)), _DENSE_LIMIT)
    _verdict("dense models, median", statistics.median(_tokens(dense)), _MEDIAN_LIMIT)
    _verdict("sliding-window models, worst", max(_tokens(others)), _OTHER_LIMIT)
    wrong = [entry for entry in counted if entry.wrong]
    _write(f"* wrong verdicts: {len(wrong)} of {len(counted)}")
    for entry in wrong:
        _write(f"  * {entry.name}: {entry.wrong}")
    starts = [entry for entry in counted if entry.measured.get("started") not in (None, entry.prediction.starts)]
    _write(f"* starts or not, told wrongly: {len(starts)} of {len(counted)}\n")


def _formulas(cases: list[dict[str, Any]]) -> None:
    _write("## Other formulas on the same cases\n")
    _write("| formula | tokens: median % | worst % | fits, and vLLM refuses | does not fit, and runs |")
    _write("| --- | ---: | ---: | ---: | ---: |")
    entries = [entry for entry in compare(cases) if not entry.set_aside]
    rows: dict[str, Callable[[MemoryRequest], Estimate]] = {
        "this project": _ours,
        "KAITO": kaito,
        "parameters × 2 × 1.2": twice_parameters,
    }
    for name, formula in rows.items():
        errors, refused, runs = [], 0, 0
        for entry in entries:
            case = cases[entry.line - 1]
            estimate = formula(case_request(case))
            if case.get("kv_tokens_logged"):
                errors.append(100 * abs(estimate.tokens / float(case["kv_tokens_logged"]) - 1))
            refused += entry.truth == "refused" and estimate.fits
            runs += entry.truth == "runs" and not estimate.fits
        _write(f"| {name} | {_pair(errors)} | {refused} | {runs} |")
    _write("")


def _ours(request: MemoryRequest) -> Estimate:
    plan = plan_memory(request, load_catalog().memory)
    # A tight plan counts as one that fits: it says that the server starts.
    return Estimate(plan.state.kv_cache_tokens, plan.starts)


def _published() -> None:
    """Figures that others published for versions and GPUs that were not measured here."""
    facts = load_catalog().memory
    models = load_catalog().models
    _write("## Published by others, not in the fit\n")
    _write("Peak activation, vLLM 0.19.0 on H100 (llm-d-planner), 8,192 tokens and 1,024 sequences:\n")
    _write("| model | published GiB | planned GiB | % |")
    _write("| --- | ---: | ---: | ---: |")
    for title, (name, published) in _PUBLISHED_PEAKS.items():
        request = MemoryRequest(
            architecture=models[name],
            family=models[name].family,
            gpu_memory_mib=81009,
            version="0.19.0",
            max_num_seqs=1024,
            max_num_batched_tokens=8192,
        )
        step = step_of(request, shard_of(request), limits_of(request, facts))
        steady = max(forward_mib(step, facts.vllm, compiled=True), logits_mib(step, facts.vllm))
        planned = max(steady, v1_sampler_mib(step, facts.vllm)) / 1024
        _write(f"| {title} | {published:.2f} | {planned:.2f} | {100 * (planned / published - 1):+.1f} |")
    plan = plan_memory(
        MemoryRequest(
            architecture=_QWEN3_4B,
            family="qwen3",
            gpu_memory_mib=22561,
            version="0.25.1",
            max_model_len=32768,
            compile_cache="warm",
        ),
        load_catalog().memory,
    )
    published_tokens = 83488
    error = 100 * (plan.state.kv_cache_tokens / published_tokens - 1)
    _write(
        f"\nKV tokens of Qwen3-4B on one real L4, vLLM 0.25.1 (vLLM's documentation; utilization taken as that "
        f"version's default): published {published_tokens}, planned {plan.state.kv_cache_tokens} ({error:+.1f} %)\n"
    )


_QWEN3_4B = ModelArchitecture(
    parameters=4_022_468_096,
    layers=36,
    hidden_size=2560,
    intermediate_size=9728,
    attention_heads=32,
    kv_heads=8,
    head_dim=128,
    vocab_size=151936,
    max_positions=40960,
    tied_embeddings=True,
)


def _times(cases: list[dict[str, Any]]) -> None:
    _write("## Time\n")
    requests = [case_request(case) for case in cases]
    single = []
    for request in requests:
        started = time.perf_counter()
        plan_memory(request, load_catalog().memory)
        single.append(1000 * (time.perf_counter() - started))
    started = time.perf_counter()
    for number in range(_PLANS):
        plan_memory(requests[number % len(requests)], load_catalog().memory)
    seconds = time.perf_counter() - started
    _write(f"* one plan: median {statistics.median(single):.2f} ms, slowest {max(single):.2f} ms")
    _write(f"* {_PLANS} plans: {seconds:.2f} s")


def _is_dense(case: Mapping[str, Any]) -> bool:
    given = case_request(case).architecture
    return given.sliding_window is None and given.experts is None


def _tokens(entries: list[Comparison]) -> list[float]:
    return [abs(entry.tokens_error) for entry in entries if entry.tokens_error is not None]


def _pools(entries: list[Comparison]) -> list[float]:
    return [abs(entry.kv_error) for entry in entries if entry.kv_error is not None]


def _pair(errors: list[float]) -> str:
    return f"{statistics.median(errors):.2f} | {max(errors):.2f}" if errors else "– | –"


def _verdict(what: str, value: float, limit: float) -> None:
    _write(f"* KV tokens, {what}: {value:.2f} % ({'within' if value <= limit else 'BEYOND'} {limit:.0f} %)")


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
