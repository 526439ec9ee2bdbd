"""What choosing by prediction costs: over configurations of one model on one GPU that served the same load.

All of a group's servers cost the same an hour, so that a token's cost is one over the tokens a second.
"""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.performance_facts import left_out_path

_CONFIGURATION = ("weights_format", "kv_cache_dtype", "max_num_batched_tokens", "max_num_seqs")
_LOAD = ("concurrency", "input_tokens", "output_tokens_mean", "requests", "shared_prefix_tokens")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The configuration that is predicted to be the cheapest of a group, beside the one that was.

    Attributes:
        regret: cost of the chosen one over the cheapest, less one, in percent.

    """

    model: str
    gpu: str
    load: str
    configurations: int
    chosen: str
    cheapest: str
    regret: float


def choices(cases: Mapping[int, Mapping[str, Any]], errors: Mapping[int, Mapping[str, float]]) -> list[Choice]:
    """Choices among the closed loops of these cases, from the errors of their predicted throughput in percent."""
    groups: dict[tuple[Any, ...], dict[tuple[Any, ...], list[tuple[float, float]]]] = {}
    for line, case in cases.items():
        error = errors.get(line, {}).get("output_tokens_per_second")
        if error is None or not case.get("concurrency"):
            continue
        measured = float(case["output_tokens_per_second"])
        group = groups.setdefault(tuple(case.get(key) for key in ("model", "gpu", *_LOAD)), {})
        runs = group.setdefault(tuple(case.get(key) for key in _CONFIGURATION), [])
        runs.append((measured, measured * (1 + error / 100)))
    return [_choice(key, group) for key, group in groups.items() if len(group) > 1]


def left_out_errors(without: str) -> dict[int, dict[str, float]]:
    """Errors of the measurements by their line, where their model or GPU was left out of the fit."""
    entries = [json.loads(line) for line in left_out_path().read_text("utf-8").splitlines()]
    return {entry["line"]: entry["errors"] for entry in entries if entry["without"] == without}


def mean_regret(chosen: Iterable[Choice]) -> float:
    """Mean of the regrets, in percent."""
    return statistics.fmean(choice.regret for choice in chosen)


def _choice(key: tuple[Any, ...], group: Mapping[tuple[Any, ...], list[tuple[float, float]]]) -> Choice:
    measured = {name: statistics.fmean(run[0] for run in runs) for name, runs in group.items()}
    predicted = {name: statistics.fmean(run[1] for run in runs) for name, runs in group.items()}
    chosen, cheapest = (max(figures, key=lambda name: figures[name]) for figures in (predicted, measured))
    model, gpu, concurrency, prompt, output, *_ = key
    return Choice(
        model=str(model),
        gpu=str(gpu),
        load=f"{concurrency} at once, {prompt:,} in, {output:,.0f} out",
        configurations=len(group),
        chosen=_title(chosen),
        cheapest=_title(cheapest),
        regret=100 * (measured[cheapest] / measured[chosen] - 1),
    )


def _title(configuration: tuple[Any, ...]) -> str:
    weights, cache, batched, _ = configuration
    text = str(weights)
    if "fp8" in str(cache):
        text += ", FP8 cache"
    return f"{text}, {batched:,} tokens a step"
