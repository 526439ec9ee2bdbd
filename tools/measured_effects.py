"""What a change of one setting did to servers that ran, beside what is predicted of the same runs.

Runs are paired that differ in nothing but the change. Each pair is told as a ratio: after over before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.files import directory
from gke_llm_inference.catalog.performance_facts import measurements_path, published_path
from gke_llm_inference.planning.memory import plan_memory
from tools.memory_accuracy import case_request, read_cases
from tools.performance_accuracy import compare

Quantity = Literal["step_ms", "output_tokens_per_second", "ttft_ms.p50"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)

_BEFORE = {"weights_format": "bf16", "kv_cache_dtype": "auto", "max_num_batched_tokens": 2048}
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "fp8": {"": {"weights_format": "fp8"}},
    "awq": {"": {"weights_format": "awq"}},
    "gptq": {"": {"weights_format": "gptq"}},
    "compressed-tensors": {
        "FP8": {"weights_format": "ctfp8"},
        "W8A8": {"weights_format": "ctw8a8"},
        "W4A16": {"weights_format": "ctw4a16"},
    },
    "fp8-kv-cache-e4m3": {"": {"kv_cache_dtype": "fp8"}},
    "fp8-kv-cache-e5m2": {"": {"kv_cache_dtype": "fp8_e5m2"}},
    "chunked-prefill": {
        "chunks of 512": {"max_num_batched_tokens": 512},
        "chunks of 8,192": {"max_num_batched_tokens": 8192},
    },
}
"""What a technique changes in a measured case, by a name where there are several; vLLM's `fp8` of a cache is E4M3."""
_SAME_CONTEXT = 0.02
"""Share by which mean contexts of the same step may differ: runs end their bursts a token apart."""
_SHORT_CONTEXT = 256
"""Steps with longer contexts were measured at few batches, and are left out."""
_TOLD: dict[Quantity, tuple[str | None, ...]] = {
    "step_ms": (None,),
    "output_tokens_per_second": ("closed",),
    "ttft_ms.p50": ("poisson",),
}
"""Arrivals of the loads for which a quantity says something: an open loop's throughput is that of its arrivals."""
_FIRST_START = {
    "started": True,
    "compile_cache": "cold",
    "model_runner": "V2",
    "enforce_eager": False,
    "max_num_seqs": 256,
    "gpu_memory_utilization": 0.9,
}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One quantity of two runs that differ in one setting.

    Attributes:
        change: its name in `CHANGES`.
        sequences: requests that decode, or that are in flight; 0 for requests that arrive at a rate.
        input_tokens: prompt tokens of a served load; 0 for a step.
        measured: after over before, as it ran.
        predicted: the same of the predictions.
        published: whose runs these are; empty for those of the catalog.

    """

    gpu: str
    model: str
    change: str
    quantity: Quantity
    sequences: int
    input_tokens: int
    measured: float
    predicted: float
    published: str = ""


@dataclass(frozen=True, kw_only=True)
class PoolPair:
    """Tokens of the KV cache in an L4's memory, at a first start, without and with a change."""

    model: str
    change: str
    measured: tuple[int, int]
    planned: tuple[int, int]


@cache
def pairs(technique: str) -> tuple[Pair, ...]:
    """Every pair of runs of a technique, sorted; steps at a short context only, of which there is one a batch."""
    found: list[Pair] = []
    for name, change in CHANGES.get(technique, {}).items():
        wanted = {**_BEFORE, **change}
        for before in _cases():
            if _setting(before) != _BEFORE:
                continue
            for after in _cases():
                if _setting(after) == wanted and _alike(before, after):
                    found += _pairs(before, after, name)
    return tuple(sorted(found, key=_order))


@cache
def pool_pairs(technique: str) -> tuple[PoolPair, ...]:
    """Pools of servers that started in an L4's memory without the change and with it, sorted."""
    path = directory("memory") / "l4-measurements-vllm-0.26.0.jsonl"
    cases = [case for case in read_cases(path.read_text("utf-8")).values() if _first_start(case)]
    found: dict[tuple[str, str], PoolPair] = {}
    for name, change in CHANGES.get(technique, {}).items():
        wanted = {**_BEFORE, **change}
        for before in cases:
            for after in cases:
                same = before["model"] == after["model"] and _setting(before) == _BEFORE and _setting(after) == wanted
                if not same:
                    continue
                pair = PoolPair(
                    model=before["model"],
                    change=name,
                    measured=(_tokens(before), _tokens(after)),
                    planned=(_planned_tokens(before), _planned_tokens(after)),
                )
                found.setdefault((pair.model, name), pair)
    return tuple(found[key] for key in sorted(found))


@cache
def _cases() -> tuple[dict[str, Any], ...]:
    measured = list(read_cases(measurements_path().read_text("utf-8")).values())
    others = [case for case in read_cases(published_path().read_text("utf-8")).values() if case["default_kernels"]]
    published = [{"max_num_batched_tokens": 2048, **case, "published": case["source"]} for case in others]
    return tuple(case for case in measured + published if case.get("context_tokens", 0.0) <= _SHORT_CONTEXT)


def _setting(case: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "weights_format": case["weights_format"],
        "kv_cache_dtype": str(case.get("kv_cache_dtype", "auto")).split(" ")[0],
        "max_num_batched_tokens": case["max_num_batched_tokens"],
    }


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    keys = ("gpu", "model", "architecture", "sequences", "arrival", "concurrency", "request_rate", "input_tokens")
    if any(one.get(key) != other.get(key) for key in (*keys, "output_tokens_mean", "host_launch_us", "published")):
        return False
    contexts = [case.get("context_tokens", 0.0) for case in (one, other)]
    return bool(abs(contexts[0] - contexts[1]) <= _SAME_CONTEXT * max(contexts))


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any], change: str) -> Iterator[Pair]:
    """What is told of two runs: steps, throughput of a closed loop, first tokens at a rate."""
    predicted = [compare([case])[0].predicted for case in (before, after)]
    for quantity in QUANTITIES:
        truth = [_figure(case, quantity) for case in (before, after)]
        told = [_figure(figures, quantity) for figures in predicted]
        if not all((*truth, *told)) or before.get("arrival") not in _TOLD[quantity]:
            continue
        yield Pair(
            gpu=before["gpu"],
            model=before["model"],
            change=change,
            quantity=quantity,
            sequences=before.get("sequences") or before.get("concurrency") or 0,
            input_tokens=before.get("input_tokens", 0),
            measured=truth[1] / truth[0],
            predicted=told[1] / told[0],
            published=before.get("published", ""),
        )


def _figure(figures: Mapping[str, Any], quantity: Quantity) -> float:
    """A quantity of a case or a prediction; 0 where it has none."""
    value: Any = figures
    for key in quantity.split("."):
        value = value.get(key, 0.0) if isinstance(value, Mapping) else 0.0
    return float(value)


def _order(pair: Pair) -> tuple[Any, ...]:
    return (pair.published, pair.gpu, pair.model, pair.change, pair.quantity, pair.sequences, pair.input_tokens)


def _first_start(case: Mapping[str, Any]) -> bool:
    """Whether a case is a plain first start in an L4's memory that came up."""
    wanted = {**_FIRST_START, "emulated_total_mib": load_catalog().memory.versions.visible_memory["nvidia-l4"].mib}
    return all(case.get(key) == value for key, value in wanted.items()) and not {"extra", "patch"} & case.keys()


def _tokens(case: Mapping[str, Any]) -> int:
    """Tokens of the pool: the count that vLLM prints depends on the context by up to one block."""
    return int(case["num_gpu_blocks"]) * load_catalog().memory.vllm.block_tokens


def _planned_tokens(case: Mapping[str, Any]) -> int:
    facts = load_catalog().memory
    return plan_memory(case_request(case), facts).cold.blocks * facts.vllm.block_tokens
