"""What `optimize` found, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from gke_llm_inference.planning.optimization import Optimum, Option, settings_of
from gke_llm_inference.planning.optimization.search import SHOWN
from gke_llm_inference.planning.performance import HEADROOM, Distribution, LatencyBound
from gke_llm_inference.terminal import rendered, wrapped

if TYPE_CHECKING:
    from gke_llm_inference.catalog.performance_facts import PerformanceFacts

NAMESPACE = "gke-llm-inference"
_BASES = {
    "measured": "measured kernels on this GPU",
    "transferred": "kernels measured on an H100, roofs of this GPU",
    "estimated": "roofs of this GPU from its data sheet or others' tables",
}


def optimum_text(optimum: Optimum, facts: PerformanceFacts) -> str:
    """The answer, the table of the best, and the fragment of a stack file."""
    question, workload = optimum.question, optimum.question.workload
    load = f"{workload.rate:g} requests a second" if workload.rate else "no rate given: by the price of a token"
    parts: list[Any] = [
        "\n".join(
            wrapped(
                f"{question.model} in {question.region}, workload {workload.name}: {_tokens(workload.inputs)} in, "
                f"{_tokens(workload.outputs)} out, {load}."
            )
        )
    ]
    if optimum.best is None:
        parts.append("\nNothing meets the objectives.")
    else:
        parts += ["", *_verdict(optimum.best, facts), "", _table(optimum)]
    for heading, pairs in (("Too slow", optimum.too_slow), ("Refused", optimum.refused)):
        if pairs:
            parts.append(f"\n{heading}:")
            parts += ["\n".join(wrapped(f"{name}: {why}", "  ", "    ")) for name, why in _grouped(pairs)]
    if optimum.best is not None:
        parts += ["", "In the stack's file, for a Standard cluster:", "", fragment(optimum.best, optimum.context)]
    return rendered(*parts)


def fragment(option: Option, context: int) -> str:
    """The part of a stack file that deploys an option."""
    raw = settings_of(option.candidate, option.replicas, context)
    keyed = {f"{NAMESPACE}:{key}": value for key, value in raw.items()}
    text: str = yaml.safe_dump({"config": keyed}, sort_keys=False, default_flow_style=None, width=78)
    return text


def optimum_document(optimum: Optimum) -> dict[str, Any]:
    """The JSON document: stable keys, USD, ms, requests and tokens per second."""
    question = optimum.question
    workload = question.workload
    return {
        "model": question.model,
        "region": question.region,
        "workload": {
            "profile": workload.name,
            "inputTokens": {"p50": workload.inputs.p50, "p90": workload.inputs.p90},
            "outputTokens": {"p50": workload.outputs.p50, "p90": workload.outputs.p90},
            "requestRate": workload.rate,
            "burstiness": workload.burstiness,
            "prefixCacheHitRate": workload.prefix_hit_rate,
            "source": workload.source,
        },
        "objectives": {
            "ttftP95Ms": _milliseconds(question.objectives.ttft),
            "tpotP95Ms": _milliseconds(question.objectives.tpot),
        },
        "considered": optimum.considered,
        "best": _option(optimum.best) if optimum.best else None,
        "settings": settings_of(optimum.best.candidate, optimum.best.replicas, optimum.context)
        if optimum.best
        else None,
        "options": [_option(option) for option in optimum.options[:SHOWN]],
        "tooSlow": [{"candidate": name, "why": why} for name, why in optimum.too_slow],
        "refused": [{"candidate": name, "why": why} for name, why in optimum.refused],
    }


def _option(option: Option) -> dict[str, Any]:
    candidate, point = option.candidate, option.point
    return {
        "accelerator": candidate.gpu,
        "gpus": candidate.gpus,
        "machineType": candidate.machine_type,
        "model": candidate.weights.model,
        "weights": candidate.weights.title,
        "kvCacheDtype": "fp8_e4m3" if candidate.fp8_cache else "auto",
        "maxNumSeqs": candidate.sequences,
        "maxNumBatchedTokens": candidate.batched_tokens,
        "replicas": option.replicas,
        "usdPerMonth": _rounded(option.usd_per_month),
        "usdPerMillionOutputTokens": _rounded(option.usd_per_million_output_tokens),
        "highestRate": round(option.most.rate, 3),
        "rate": round(point.rate, 3),
        "ttftMs": _percentiles(point.ttft_ms),
        "tpotMs": _percentiles(point.tpot_ms),
        "outputTokensPerSecond": round(point.output_tokens_per_second, 1),
        "utilization": round(point.utilization, 3),
        "basis": option.tpot_band.basis,
        "errorPercent": {"ttft": round(option.ttft_band.percent, 1), "tpot": round(option.tpot_band.percent, 1)},
    }


def _percentiles(values: Distribution) -> dict[str, float]:
    return {name: round(getattr(values, name), 2) for name in ("p50", "p90", "p95", "p99")}


def _milliseconds(bound: LatencyBound | None) -> float | None:
    return None if bound is None else bound.milliseconds


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _verdict(option: Option, facts: PerformanceFacts) -> list[str]:
    candidate, point = option.candidate, option.point
    replicas = f"{option.replicas} replica{'s' if option.replicas != 1 else ''} of "
    price = f"{option.usd_per_month:,.0f} USD a month, " if option.usd_per_month is not None else ""
    lines = [
        f"Best: {replicas}{candidate.name}, on {candidate.machine_type}",
        f"  {price}{option.usd_per_million_output_tokens:,.2f} USD per million output tokens, input not counted",
        f"  first token {point.ttft_ms.p50:,.0f} ms at the median, {point.ttft_ms.p95:,.0f} at p95 "
        f"(± {option.ttft_band.percent:.0f} %); per token {point.tpot_ms.p50:.1f}, {point.tpot_ms.p95:.1f} "
        f"(± {option.tpot_band.percent:.0f} %)",
        f"  a replica meets the objectives up to {option.most.rate:.2f} requests a second, and gets {point.rate:.2f}",
    ]
    if candidate.weights.preference or candidate.fp8_cache:
        lines.append("  fewer bits change answers: try it with your own prompts")
    lines.append(f"  estimated from vLLM {facts.version}: {_BASES[option.tpot_band.basis]}")
    return [line for text in lines for line in wrapped(text.strip(), text[: len(text) - len(text.lstrip())], "    ")]


def _table(optimum: Optimum) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    by_month = optimum.question.workload.rate is not None
    table.add_column("GPUs and weights", overflow="fold")
    for name in ("seqs", "tokens", "replicas", "USD/month" if by_month else "USD/M out", "TTFT", "TPOT", "most/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for option in optimum.options[:SHOWN]:
        candidate, point = option.candidate, option.point
        table.add_row(
            candidate.name.replace("nvidia-", ""),
            str(candidate.sequences),
            f"{candidate.batched_tokens:,}",
            str(option.replicas),
            f"{option.cost:,.0f}" if by_month else f"{option.cost:,.2f}",
            f"{point.ttft_ms.p95:,.0f}",
            f"{point.tpot_ms.p95:.0f}",
            f"{option.most.rate:.2f}",
        )
    table.caption = f"ms at p95; a replica gets at most {HEADROOM:.0%} of its highest rate"
    return table


def _tokens(lengths: Any) -> str:
    ninetieth = f" (p90 {lengths.p90:,.0f})" if lengths.p90 else ""
    return f"{lengths.p50:,.0f}{ninetieth} tokens"


def _grouped(pairs: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """Candidates with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, why in pairs:
        by_reason.setdefault(why, []).append(name)
    return sorted(
        (names[0] + (f" and {len(names) - 1} more" if names[1:] else ""), why) for why, names in by_reason.items()
    )
