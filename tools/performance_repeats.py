"""Runs that repeat one another: the same server under the same load, on whatever machine and at whatever hour.

How far they are apart is chance, mostly of the host: no prediction is nearer to one run than runs are to each other.
Predictions are therefore held against the mean of a load's runs as well as against each.
"""

import statistics
from collections.abc import Mapping
from typing import Any

_SERVER = (
    "kind",
    "gpu",
    "server",
    "version",
    "model",
    "weights_format",
    "kv_cache_dtype",
    "tensor_parallel",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
)
_LOAD = (
    "sequences",
    "arrival",
    "concurrency",
    "request_rate",
    "requests",
    "input_tokens",
    "output_tokens_mean",
    "shared_prefix_tokens",
)
_SAME_CONTEXT = 10
"""Tokens by which the mean contexts of the same decode step differ: steps at which sequences join and end."""


def repeated(cases: Mapping[int, Mapping[str, Any]]) -> list[list[int]]:
    """Lines of the cases, those of one server and load together."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for line, case in cases.items():
        context = round(float(case.get("context_tokens") or 0) / _SAME_CONTEXT)
        groups.setdefault((*(str(case.get(key)) for key in _SERVER + _LOAD), context), []).append(line)
    return list(groups.values())


def machine_of(case: Mapping[str, Any]) -> str:
    """The machine that a measured case ran on: the first part of its id."""
    return str(case["id"]).split("-")[0]


def averaged(
    cases: Mapping[int, Mapping[str, Any]], errors: Mapping[int, Mapping[str, float]]
) -> list[dict[str, float]]:
    """Errors of the predictions by quantity: for each server and load the mean over its runs, sign included."""
    return [
        {name: statistics.fmean(values) for name, values in found.items()} for found in _grouped(cases, errors) if found
    ]


def chance(cases: Mapping[int, Mapping[str, Any]], errors: Mapping[int, Mapping[str, float]], name: str) -> list[float]:
    """How far each run of a repeated load is from the mean of its runs, in percent; what was predicted is set aside."""
    apart = []
    for found in _grouped(cases, errors):
        values = found.get(name, [])
        if len(values) > 1:
            # A run's measured figure is its predicted one over this.
            ratios = [1 / (1 + error / 100) for error in values]
            mean = statistics.fmean(ratios)
            apart += [100 * (ratio / mean - 1) for ratio in ratios]
    return apart


def by_own_mean(
    cases: Mapping[int, Mapping[str, Any]], errors: Mapping[int, Mapping[str, float]], name: str
) -> list[float]:
    """Errors that remain if the mean of every load's runs is predicted exactly, in percent; 0 of a load that ran once.

    Repeats on hosts that are known to differ keep what was predicted of the difference.
    """
    off = []
    for found in _grouped(cases, errors):
        ratios = [1 / (1 + error / 100) for error in found.get(name, [])]
        mean = statistics.fmean(ratios) if ratios else 0.0
        off += [100 * (mean / ratio - 1) for ratio in ratios]
    return off


def _grouped(
    cases: Mapping[int, Mapping[str, Any]], errors: Mapping[int, Mapping[str, float]]
) -> list[dict[str, list[float]]]:
    """Errors by quantity of each server and load, a run each."""
    groups = []
    for lines in repeated(cases):
        found: dict[str, list[float]] = {}
        for line in lines:
            for name, error in errors.get(line, {}).items():
                found.setdefault(name, []).append(error)
        groups.append(found)
    return groups
