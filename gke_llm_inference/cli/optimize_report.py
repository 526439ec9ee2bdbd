"""What `optimize` found, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from gke_llm_inference.cli.performance_report import workload_document
from gke_llm_inference.planning.optimization import BEARABLE, Optimum, Option, Question
from gke_llm_inference.planning.optimization.offers import NOT_STATED
from gke_llm_inference.planning.optimization.told import latencies, limits_of, what_of
from gke_llm_inference.planning.optimize import SHOWN, Asked, fragment
from gke_llm_inference.planning.performance.plan import ObjectiveName, SpeedVerdict, worst
from gke_llm_inference.planning.performance.replica import HEADROOM, Distribution
from gke_llm_inference.planning.performance.workload import LatencyBound, Objectives, Workload
from gke_llm_inference.terminal import rendered, wrapped

if TYPE_CHECKING:
    from gke_llm_inference.catalog.performance_facts import PerformanceFacts

NAMESPACE = "gke-llm-inference"
_BASES = {
    "measured": "measured kernels on this GPU",
    "transferred": "kernels measured on an H100, roofs of this GPU",
    "estimated": "roofs of this GPU from its data sheet or others' tables",
}
_OBJECTIVES: dict[ObjectiveName, str] = {
    "ttft": "the first token",
    "tpot": "the time per token",
    "maxUsdPerMillionTokens": "the price",
}
_GOALS = {
    "cost": "the least cost",
    "latency": "the least time of a mean request",
    "objectives": "the least cost at which the objectives are met",
    "throughput": "the least cost of an output token",
}


def optimum_text(asked: Asked, optimum: Optimum, facts: PerformanceFacts) -> str:
    """The answer, the table of the best, and the fragment of a stack file."""
    question, workload = optimum.question, optimum.question.workload
    goal = question.goals[0]
    parts: list[Any] = [
        "\n".join(
            wrapped(
                f"{asked.model} in {asked.region}, workload {workload.name}: {_tokens(workload.inputs)} in, "
                f"{_tokens(workload.outputs)} out, {_load(workload)}. Goal {goal}: {_GOALS[goal]}."
            )
        )
    ]
    if question.too_long:
        parts += ["", *wrapped(f"{question.too_long:.1%} of the requests do not fit the context, and are cut to it.")]
    parts += [f"\n{line}" for line in _unstated(optimum)]
    if optimum.best is None:
        stated = question.objectives != Objectives() and not question.is_assumed
        parts.append(f"\nNothing {'meets the objectives' if stated else 'serves the load'}.")
        if optimum.nearest is not None:
            parts += ["", *_verdict("Nearest", optimum.nearest, optimum, facts)]
    else:
        parts += ["", *_verdict("Best", optimum.best, optimum, facts)]
    if optimum.advised is not None:
        parts += ["", *_advice(optimum.advised)]
    if optimum.options:
        parts += ["", _table(optimum)]
    for heading, pairs in (("Too slow", optimum.too_slow), ("Refused", optimum.refused)):
        if pairs:
            parts.append(f"\n{heading}:")
            parts += ["\n".join(wrapped(f"{name}: {why}", "  ", "    ")) for name, why in _grouped(pairs)]
    if optimum.best is not None:
        parts += ["", "In the stack's file, for a Standard cluster:", "", fragment_text(asked, optimum.best)]
    return rendered(*parts)


def fragment_text(asked: Asked, option: Option) -> str:
    """The part of a stack file that deploys an option."""
    keyed = {f"{NAMESPACE}:{key}": value for key, value in fragment(asked, option).items()}
    text: str = yaml.safe_dump({"config": keyed}, sort_keys=False, default_flow_style=None, width=78)
    return text


def optimum_document(asked: Asked, optimum: Optimum) -> dict[str, Any]:
    """The JSON document: stable keys, USD, ms, requests and tokens per second."""
    question = optimum.question
    workload = question.workload
    best = optimum.best
    return {
        "model": asked.model,
        "region": asked.region,
        "goal": question.goals[0],
        "workload": {**workload_document(workload), "tooLong": round(question.too_long, 4)},
        "objectives": {
            "ttftP95Ms": _milliseconds(question.objectives.ttft),
            "tpotP95Ms": _milliseconds(question.objectives.tpot),
            "assumed": question.is_assumed,
        },
        "considered": optimum.considered,
        "simulations": optimum.simulations,
        "best": option_document(best, question) if best else None,
        "nearest": option_document(optimum.nearest, question) if optimum.nearest else None,
        "advised": {**option_document(optimum.advised, question), "why": optimum.advised.candidate.offer.advised}
        if optimum.advised
        else None,
        "settings": fragment(asked, best) if best else None,
        "options": [option_document(option, question) for option in optimum.options[:SHOWN]],
        "tooSlow": [{"candidate": name, "why": why} for name, why in optimum.too_slow],
        "refused": [{"candidate": name, "why": why} for name, why in optimum.refused],
    }


def option_document(option: Option, question: Question) -> dict[str, Any]:
    """An option: stable keys, USD, ms, requests and tokens per second."""
    candidate, point = option.candidate, option.point
    return {
        "accelerator": candidate.gpu,
        "gpus": candidate.gpus,
        "machineType": candidate.offer.machine_type,
        "provisioning": candidate.offer.provisioning,
        "model": candidate.weights.model.id,
        "weights": candidate.weights_title,
        "kvCacheDtype": candidate.kv_cache,
        "maxModelLen": candidate.plan.limits.max_model_len,
        "maxNumSeqs": candidate.sequences,
        "maxNumBatchedTokens": candidate.batched_tokens,
        "replicas": option.replicas,
        "usdPerHour": _rounded(option.usd_per_hour),
        "usdPerMonth": _rounded(option.usd_per_month),
        "usdPerMillionOutputTokens": _rounded(option.usd_per_million_output_tokens),
        "verdict": _verdict_of(option, question),
        "highestRate": round(option.most.rate, 3),
        "rate": round(point.rate, 3),
        "ttftMs": _percentiles(point.ttft_ms),
        "tpotMs": _percentiles(point.tpot_ms),
        "outputTokensPerSecond": round(point.output_tokens_per_second, 1),
        "utilization": round(point.utilization, 3),
        "basis": option.bands.tpot.basis,
        "errorPercent": {
            "rate": round(option.bands.rate.percent, 1),
            "ttft": round(option.bands.ttft.percent, 1),
            "ttftAtP95": round(option.bands.ttft.at(95).percent, 1),
            "tpot": round(option.bands.tpot.percent, 1),
            "tpotAtP95": round(option.bands.tpot.at(95).percent, 1),
        },
    }


def _percentiles(values: Distribution) -> dict[str, float]:
    return {name: round(getattr(values, name), 2) for name in ("p50", "p90", "p95", "p99")}


def _milliseconds(bound: LatencyBound | None) -> float | None:
    return None if bound is None else bound.milliseconds


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _load(workload: Workload) -> str:
    if workload.concurrency is not None:
        return f"{workload.concurrency:,} requests in flight"
    return f"{workload.rate:,g} requests a second" if workload.rate else "no load stated"


def _unstated(optimum: Optimum) -> list[str]:
    """What is said where no objectives were given."""
    question, shown = optimum.question, optimum.best or optimum.nearest
    if not question.is_assumed or shown is None:
        return []
    if question.objectives == BEARABLE:
        text = (
            "No objectives given: up to 10 s to the first token and 200 ms per token at p95 count as served; "
            "state --ttft-p95 and --tpot-p95."
        )
    else:
        first = shown.point.ttft_ms.p95 / 1000
        text = f"No objectives given, and the first token takes {first:,.0f} s at p95; state --ttft-p95."
    return ["\n".join(wrapped(text))]


def _verdict(heading: str, option: Option, optimum: Optimum, facts: PerformanceFacts) -> list[str]:
    candidate, point, bands = option.candidate, option.point, option.bands
    replicas = f"{option.replicas} replica{'s' if option.replicas != 1 else ''} of "
    lines = [
        f"{heading}: {replicas}{candidate.name}, on {candidate.offer.machine_type}",
        f"  {_price(option)}, {option.usd_per_million_output_tokens:,.2f} USD per million output tokens (± "
        f"{bands.rate.percent:.0f} %), input not counted",
        f"  first token {point.ttft_ms.p50:,.0f} ms at the median, {point.ttft_ms.p95:,.0f} at p95 "
        f"(± {bands.ttft.at(95).percent:.0f} %); per token {point.tpot_ms.p50:.1f}, {point.tpot_ms.p95:.1f} "
        f"(± {bands.tpot.at(95).percent:.0f} %)",
    ]
    if heading == "Best":
        lines.append(
            f"  a replica gets {point.rate:.2f} requests a second, and is predicted to meet the objectives at "
            f"{option.most.rate:.2f} too"
        )
        lines += _certainty(option, optimum)
    if candidate.weights.model.checkpoint != "none":
        lines.append(f"  the weights are those of {candidate.weights.model.id}")
    if candidate.weights.preference or candidate.kv_cache != "auto":
        lines.append("  fewer bits change answers: try it with your own prompts")
    lines.append(f"  estimated from vLLM {facts.version}: {_BASES[bands.tpot.basis]}")
    return [line for text in lines for line in wrapped(text.strip(), text[: len(text) - len(text.lstrip())], "    ")]


def _certainty(best: Option, optimum: Optimum) -> list[str]:
    """Whether the best meets stated objectives for certain; where it may not, what does."""
    verdict = _verdict_of(best, optimum.question)
    if verdict is None:
        return []
    if verdict == "meets":
        return ["  meets the objectives with its error band to spare"]
    doubtful = [_OBJECTIVES[name] for name, one in best.verdicts(optimum.question.objectives).items() if one != "meets"]
    lines = [f"  may meet the objectives: the error band of {' and '.join(doubtful)} reaches beyond"]
    sure = [one for one in optimum.options if _verdict_of(one, optimum.question) == "meets"]
    if sure:
        least = min(sure, key=lambda one: one.cost)
        lines.append(f"  meets them with its band to spare: {what_of(least)}, {_price(least)}")
    return lines


def _verdict_of(option: Option, question: Question) -> SpeedVerdict | None:
    """The worst of the verdicts on stated objectives; None without any."""
    return None if question.is_assumed else worst(option.verdicts(question.objectives).values())


def _price(option: Option) -> str:
    if option.usd_per_month is not None:
        return f"{option.usd_per_month:,.0f} USD a month"
    return f"{option.usd_per_hour:,.2f} USD an hour"


def _advice(option: Option) -> list[str]:
    """What would be cheaper or faster, and the machines are not asked for so."""
    why = option.candidate.offer.advised
    if why == NOT_STATED:
        why = "--gpus does not name them"
    spot = option.candidate.offer.provisioning == "spot"
    lines = [f"Advised: {what_of(option)}, {_price(option)}; {latencies(option)}", f"  {why}"]
    if spot:
        lines.append("  Google may take Spot VMs back at any time; --spot searches among them")
    return [line for text in lines for line in wrapped(text.strip(), text[: len(text) - len(text.lstrip())], "    ")]


def _table(optimum: Optimum) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    by_month = optimum.question.workload.asked is not None
    table.add_column("GPUs and weights", overflow="fold")
    for name in ("replicas", "USD/month" if by_month else "USD/h", "USD/M", "TTFT", "TPOT", "serves/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for option in optimum.options[:SHOWN]:
        candidate, point = option.candidate, option.point
        price = option.usd_per_month
        table.add_row(
            f"{candidate.name}{limits_of(candidate)}".replace("nvidia-", "").replace("bfloat16", "bf16"),
            str(option.replicas),
            f"{price:,.0f}" if price is not None else f"{option.usd_per_hour:,.2f}",
            f"{option.usd_per_million_output_tokens:,.2f}",
            f"{point.ttft_ms.p95:,.0f}{_doubt(option, 'ttft', optimum.question)}",
            f"{point.tpot_ms.p95:.0f}{_doubt(option, 'tpot', optimum.question)}",
            f"{option.most.rate:.2f}",
        )
    table.caption = f"ms at p95; a replica gets at most {HEADROOM:.0%} of a rate that it serves"
    if any(_verdict_of(option, optimum.question) == "may meet" for option in optimum.options[:SHOWN]):
        table.caption += "\n?: may meet its objective; the error band reaches beyond"
    return table


def _doubt(option: Option, objective: ObjectiveName, question: Question) -> str:
    """The mark of a latency whose error band reaches beyond a stated objective."""
    verdict = None if question.is_assumed else option.verdicts(question.objectives).get(objective)
    return "?" if verdict == "may meet" else ""


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
