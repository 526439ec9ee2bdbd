"""What a search found, in words: the choice, the runners-up and why each lost, and what would be better."""

from collections.abc import Sequence

from gke_llm_inference.planning.cost import HOURS_PER_MONTH
from gke_llm_inference.planning.optimization.candidates import Candidate
from gke_llm_inference.planning.optimization.criteria import Criterion, criteria
from gke_llm_inference.planning.optimization.option import Option
from gke_llm_inference.planning.optimization.question import Question
from gke_llm_inference.planning.optimization.search import LATENCY_BUDGET, Optimum
from gke_llm_inference.planning.performance.replica import Point
from gke_llm_inference.planning.performance.workload import Workload
from gke_llm_inference.planning.plan import RunnerUp

RUNNERS_UP = 3


def what_of(option: Option) -> str:
    """An option: replicas, GPUs, weights, and limits that are not the server's own."""
    replicas = f"{option.replicas} replicas of " if option.replicas > 1 else ""
    return f"{replicas}{option.candidate.name}{limits_of(option.candidate)}"


def why_of(option: Option, question: Question) -> str:
    """By what an option won, with its figures and how far they may be off."""
    least = criteria(question)[0].title
    return f"least {least}{_load(question.workload)}: {figures(option)}"


def figures(option: Option) -> str:
    """Price and latencies, each with how far it may be off."""
    point = option.point
    price = (
        f"{option.usd_per_month:,.0f} USD a month"
        if option.usd_per_month is not None
        else f"{option.usd_per_hour:,.2f} USD an hour"
    )
    return (
        f"{price}, {option.usd_per_million_output_tokens:,.2f} USD per million output tokens (± "
        f"{option.bands.rate.percent:.0f} %); {latencies(option)} {load_of(point)}"
    )


def latencies(option: Option) -> str:
    """Time to the first token and per token at the 95th percentile, each with how far it may be off."""
    point, bands = option.point, option.bands
    return (
        f"first token {point.ttft_ms.p95:,.0f} ms at p95 (± {bands.ttft.at(95).percent:.0f} %), per token "
        f"{point.tpot_ms.p95:,.1f} ms (± {bands.tpot.at(95).percent:.0f} %)"
    )


def load_of(point: Point) -> str:
    """The load of a replica."""
    if point.load == 1 and point.rate != 1:
        return "with one request at a time"
    return f"at {point.rate:.2f} requests a second for each replica"


def assumed(workload: Workload) -> str:
    """What is said where a stack states no workload."""
    return f"the stack states no workload, so it is planned for the profile {workload.name}"


def runners_up(optimum: Optimum, chosen: Option) -> tuple[RunnerUp, ...]:
    """The next best of other GPUs or weights, and why each lost."""
    kinds: dict[str, Option] = {}
    for option in optimum.options:
        if option.candidate.name != chosen.candidate.name:
            kinds.setdefault(option.candidate.name, option)
    compared_by = criteria(optimum.question)
    return tuple(
        RunnerUp(
            what=what_of(option),
            usd_per_hour=option.usd_per_hour,
            replicas=option.replicas,
            ttft_ms=option.point.ttft_ms.p95,
            tpot_ms=option.point.tpot_ms.p95,
            why=why_lost(option, chosen, compared_by),
        )
        for option in list(kinds.values())[:RUNNERS_UP]
    )


def why_lost(option: Option, best: Option, compared_by: Sequence[Criterion]) -> str:
    """Why an option was not taken: by which criterion it is worse, or what it gives up where none tells them apart."""
    within = ""
    for criterion in compared_by:
        value, least = criterion.value(option), criterion.value(best)
        tolerance = criterion.tolerance(option, best)
        if value > least * (1 + tolerance):
            return f"{value / least - 1:.0%} more {criterion.title}"
        if abs(value - least) > 0.005 * least:
            within = f"{abs(value / least - 1):.0%} {'more' if value > least else 'less'} {criterion.title}, within ± "
            within += f"{tolerance:.0%}; "
    return within + _given_up(option.candidate, best.candidate)


def _given_up(one: Candidate, best: Candidate) -> str:
    if one.weights.preference > best.weights.preference:
        return f"{one.weights_title} gives up accuracy for no gain"
    if one.kv_cache != best.kv_cache:
        return "an FP8 KV cache gives up accuracy for no gain"
    if one.gpus > best.gpus:
        return "it takes more GPUs for no gain"
    if one.limits_changed > best.limits_changed:
        return "the choice is nearer to the server's defaults"
    return "its machine is dearer for no gain"


def advice(optimum: Optimum, best: Option | None) -> str:
    """What would be better and the stack rules out; empty if nothing is."""
    found = optimum.advised
    if found is None:
        return ""
    text = f"{what_of(found)}: {figures(found)}; {found.candidate.offer.advised}"
    if best is None:
        return text
    first = criteria(optimum.question)[0]
    return f"{text}; {1 - first.value(found) / first.value(best):.0%} less {first.title}"


def capped(optimum: Optimum) -> str:
    """What is said of the bound of the goal `latency`."""
    limit = optimum.limit_usd_per_hour
    if limit is None:
        return ""
    return (
        f"of what costs at most {LATENCY_BUDGET:g} times the cheapest, {limit * HOURS_PER_MONTH:,.0f} USD a month; "
        "a list under accelerator lifts that"
    )


def missed(optimum: Optimum) -> str:
    """Why nothing meets the objectives, by what comes nearest."""
    if optimum.too_slow:
        return "; ".join(f"{name}: {why}" for name, why in optimum.too_slow[:RUNNERS_UP])
    if optimum.refused:
        return "; ".join(f"{name}: {why}" for name, why in optimum.refused[:RUNNERS_UP])
    return "nothing fits"


def limits_of(candidate: Candidate) -> str:
    """Limits of a candidate that are not the server's own; empty if there are none."""
    keys = ("maxModelLen", "maxNumSeqs", "maxNumBatchedTokens")
    changed = dict(candidate.changes)
    told = [f"{key} {changed[key]}" for key in keys if key in changed]
    return f", {', '.join(told)}" if told else ""


def _load(workload: Workload) -> str:
    if workload.concurrency is not None:
        return f" for {workload.concurrency:,} requests of {workload.name} in flight"
    return f" for {workload.rate:,g} requests a second of {workload.name}" if workload.rate else f" for {workload.name}"
