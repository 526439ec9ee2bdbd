"""What `models --best` found, as text and as JSON."""

from collections.abc import Sequence
from typing import Any

from gke_llm_inference.cli.optimize_report import option_document
from gke_llm_inference.planning.model_choices import Holder, ModelChoices
from gke_llm_inference.planning.optimization import Optimum, Option
from gke_llm_inference.planning.optimization.option import alone
from gke_llm_inference.terminal import wrapped


def _cells(goal: str, what: str, context: str, price: str, token: str) -> str:
    return f"{goal:<10} {what:<36.36}{context:>9}{price:>8}{token:>16}".rstrip() + "\n"


HEADING = _cells("model", "GPUs and weights", "context", "USD/h", "ms a token")


def choices_text(choices: ModelChoices) -> str:
    """A model and its two choices, or what holds it and why nothing is chosen."""
    lines = f"{choices.model}\n"
    for goal, option in (("cheapest", choices.cheapest), ("fastest", choices.fastest)):
        if option is not None:
            lines += _choice(f"  {goal}", option)
    if choices.cheapest is None:
        if choices.holder is not None:
            context = f"{choices.holder.plan.limits.max_model_len:,}"
            lines += _cells("  by memory", f"{choices.holder.gpus} × {choices.holder.gpu}", context, "?", "not known")
        lines += "".join(f"{line}\n" for line in wrapped(choices.why, "  ", "    "))
    return lines


def footing(found: Sequence[ModelChoices]) -> str:
    """What the figures are of."""
    chosen = [one for one in found if one.cheapest is not None]
    text = (
        f"{len(chosen)} of {len(found)} have a choice. Cheapest: the least cost an hour; fastest: the least time of a "
        "mean request, for at most five times the price of the cheapest. Context: the longest request; time a token: "
        "the median with one request at a time and how far it may be off. The stack file of a choice: optimize "
        "--model ID --goal cost, or latency."
    )
    return "".join(f"{line}\n" for line in wrapped(text))


def choices_document(choices: ModelChoices) -> dict[str, Any]:
    """The JSON document: stable keys, USD, ms, tokens."""
    return {
        "model": choices.model,
        "cheapest": _best(choices.cost),
        "fastest": _best(choices.latency),
        "holder": _holder(choices.holder) if choices.holder else None,
        "why": choices.why,
    }


def _choice(goal: str, option: Option) -> str:
    candidate = option.candidate
    token = f"{alone(option.replica).tpot_ms.p50:,.1f} ± {option.bands.tpot.percent:.0f} %"
    context = f"{candidate.plan.limits.max_model_len:,}"
    return _cells(goal, candidate.name, context, f"{option.usd_per_hour:,.2f}", token)


def _best(optimum: Optimum | None) -> dict[str, Any] | None:
    return option_document(optimum.best, optimum.question) if optimum and optimum.best else None


def _holder(holder: Holder) -> dict[str, Any]:
    return {
        "accelerator": holder.gpu,
        "gpus": holder.gpus,
        "machineType": holder.machine_type,
        "maxModelLen": holder.plan.limits.max_model_len,
        "verdict": holder.plan.verdict,
    }
