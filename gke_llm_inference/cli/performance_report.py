"""The speed of a server for people and programs: lines of its plan, or the same as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gke_llm_inference.planning.objectives import proposal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gke_llm_inference.planning.alternatives import FasterAlternative
    from gke_llm_inference.planning.performance.bands import Band
    from gke_llm_inference.planning.performance.load import Lengths
    from gke_llm_inference.planning.performance.plan import Judgement, PerformancePlan
    from gke_llm_inference.planning.performance.replica import Distribution, Point
    from gke_llm_inference.planning.performance.workload import LatencyBound, Workload

_PERCENTILES = (50, 90, 95, 99)


def performance_lines(plan: PerformancePlan, faster: Sequence[FasterAlternative]) -> Iterator[str]:
    """A server's speed as lines of its plan, and what would be faster."""
    from gke_llm_inference.planning.performance.plan import RESTS_ON

    workload, point = plan.workload, plan.point
    yield (
        f"  workload   {workload.name}: {_tokens(workload.inputs)} in, {_tokens(workload.outputs)} out"
        + (f", {plan.load(workload.asked)}" if workload.asked else "")
    )
    planned = "" if workload.asked and plan.replicas else ", which leaves headroom"
    yield f"  speed      at {plan.load(point.load)} per replica{planned}:"
    if plan.keeps_up:
        yield f"    TTFT     {_latency(point.ttft_ms)} {_band(plan.ttft)}"
    else:
        yield "    TTFT     grows without end: more comes in than is served"
    yield f"    TPOT     {_latency(point.tpot_ms)} {_band(plan.tpot)}"
    out, into = plan.output_tokens_per_second, plan.input_tokens_per_second
    total = f", {out * plan.replicas:,.0f} with {plan.replicas:,} replicas" if plan.replicas > 1 else ""
    yield f"    output   {out:,.0f} tokens a second{total} {_band(plan.throughput)}; input {into:,.0f}"
    yield f"    GPU      {point.utilization:.0%} busy"
    if point.preemptions:
        requests = len(point.ttft_ms.values)
        yield f"    cache    {point.preemptions} of {requests} requests lose theirs and are computed again"
    within = " within the objectives" if plan.judgements else ""
    if plan.highest is None:
        yield "    highest  no load is within the objectives"
    else:
        yield f"    highest  {plan.load(plan.highest.load)} per replica{within} {_band(plan.throughput)}"
    if plan.needed is not None:
        yield f"    replicas {plan.needed:,} needed, with {1 - plan.headroom:.0%} to spare; {plan.replicas:,} given"
    output, input_ = plan.usd_per_million_output_tokens, plan.usd_per_million_input_tokens
    if output is not None and input_ is not None:
        least = "at least " if plan.price.is_least else ""
        band = _band(plan.throughput)
        yield f"    price    {least}{_usd(output)} USD per million output tokens, input not counted {band};"
        yield f"             {least}{_usd(input_)} per million input tokens, output not counted"
    else:
        yield f"    price    not known: {plan.price.note or 'the catalog has no price of the machine'}"
    for index, one in enumerate(plan.judgements):
        verdict, label = one.verdict or "cannot be judged", "" if index else "objectives"
        yield f"  {label:<10} {verdict}: {one.text}, at most {one.amount(one.limit)} is asked"
    yield f"  rests on   {RESTS_ON[plan.basis]}"
    if plan.too_long:
        yield f"             {plan.too_long:.1%} of the requests do not fit the context, and are planned cut to it"
    yield from (f"             {note}" for note in plan.notes)
    for index, alternative in enumerate(faster):
        yield f"  {'faster' if not index else '':<10} {proposal(alternative)}"


def workload_document(workload: Workload) -> dict[str, Any]:
    """The JSON form of a workload: tokens, requests a second or in flight."""
    return {
        "profile": workload.name,
        "source": workload.source,
        "inputTokens": {"p50": workload.inputs.p50, "p90": workload.inputs.p90},
        "outputTokens": {"p50": workload.outputs.p50, "p90": workload.outputs.p90},
        "requestRate": workload.rate,
        "concurrency": workload.concurrency,
        "burstiness": workload.burstiness,
        "prefixCacheHitRate": workload.prefix_hit_rate,
    }


def performance_document(plan: PerformancePlan, faster: Sequence[FasterAlternative]) -> dict[str, Any]:
    """The JSON form: stable keys; ms, requests and tokens a second per replica, USD, percent of error."""
    workload, objectives, point = plan.workload, plan.objectives, plan.point
    return {
        "workload": {**workload_document(workload), "shareBeyondContext": round(plan.too_long, 4)},
        "objectives": {
            "ttft": _bound(objectives.ttft),
            "tpot": _bound(objectives.tpot),
            "maxUsdPerMillionTokens": objectives.usd_per_million_tokens,
        },
        "verdict": plan.verdict,
        "judgements": [_judgement(one) for one in plan.judgements],
        "perReplica": {
            **_point(plan, point),
            **({} if plan.keeps_up else {"ttftMs": None}),
            "keepsUp": plan.keeps_up,
            "outputTokensPerSecond": round(plan.output_tokens_per_second, 1),
            "inputTokensPerSecond": round(plan.input_tokens_per_second, 1),
            "utilization": round(point.utilization, 3),
            "preemptions": point.preemptions,
        },
        "highest": None if plan.highest is None else _point(plan, plan.highest),
        "replicas": {"given": plan.replicas, "needed": plan.needed, "headroom": plan.headroom},
        "price": {
            "usdPerMillionOutputTokens": _rounded(plan.usd_per_million_output_tokens),
            "usdPerMillionInputTokens": _rounded(plan.usd_per_million_input_tokens),
            "isLeast": plan.price.is_least,
            "note": plan.price.note,
        },
        "error": {
            "ttft": _error(plan.ttft),
            "tpot": _error(plan.tpot),
            "tokensPerSecond": {"percent": round(plan.throughput.percent, 1), "basis": plan.throughput.basis},
        },
        "basis": plan.basis,
        "notes": list(plan.notes),
        "alternatives": [
            {
                "what": one.what,
                "changes": dict(one.changes),
                "nodePool": None if one.node_pool is None else one.node_pool[0],
                "maxNodes": None if one.max_nodes is None else {one.max_nodes[0]: one.max_nodes[1]},
                "verdict": one.performance.verdict,
                "gpus": one.gpus,
                "machineType": one.machine_type,
                "usdPerHour": _rounded(one.usd_per_hour),
            }
            for one in faster
        ],
    }


def _point(plan: PerformancePlan, point: Point) -> dict[str, Any]:
    return {
        "requestRate": None if plan.workload.is_closed else round(point.load, 4),
        "concurrency": round(point.load) if plan.workload.is_closed else None,
        "ttftMs": _percentiles(point.ttft_ms),
        "tpotMs": _percentiles(point.tpot_ms),
    }


def _judgement(one: Judgement) -> dict[str, Any]:
    return {
        "objective": one.objective,
        "percentile": one.percentile,
        "limit": one.limit,
        "predicted": _rounded(one.predicted),
        "atBest": _rounded(one.least),
        "verdict": one.verdict,
    }


def _percentiles(values: Distribution) -> dict[str, float]:
    return {f"p{percent}": round(values.at(percent), 2) for percent in _PERCENTILES}


def _bound(bound: LatencyBound | None) -> dict[str, float] | None:
    return None if bound is None else {"percentile": bound.percentile, "milliseconds": bound.milliseconds}


def _error(band: Band) -> dict[str, Any]:
    return {
        "percent": round(band.percent, 1),
        "percentAtP90": round(band.at(90).percent, 1),
        "percentAtP99": round(band.at(99).percent, 1),
        "basis": band.basis,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _usd(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.1 else f"{value:.2g}"


def _latency(values: Distribution) -> str:
    from gke_llm_inference.planning.performance.plan import duration

    return ", ".join(f"p{percent} {duration(values.at(percent))}" for percent in (50, 90, 99))


def _band(band: Band) -> str:
    tail = band.at(99).percent
    return f"(± {band.percent:.0f} %{f', p99 ± {tail:.0f} %' if tail > band.percent else ''})"


def _tokens(lengths: Lengths) -> str:
    ninetieth = f" (p90 {lengths.p90:,.0f})" if lengths.p90 else ""
    return f"{lengths.p50:,.0f}{ninetieth} tokens"
