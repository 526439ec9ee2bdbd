"""What the goals of a server chose, as text and as JSON: the choice, the runners-up, and why each lost."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.planning.cost import HOURS_PER_MONTH
from gke_llm_inference.planning.plan import GoalChoice, RunnerUp


def choice_document(choice: GoalChoice | None) -> dict[str, Any] | None:
    """The choice as JSON has it; None where no goal chose."""
    if choice is None:
        return None
    return {
        "goals": list(choice.goals),
        "what": choice.what,
        "why": choice.why,
        "settings": dict(choice.settings),
        "decisions": [str(decision) for decision in choice.decisions],
        "advice": choice.advice or None,
        "runnersUp": [
            {
                "what": one.what,
                "replicas": one.replicas,
                "hourlyUsd": round(one.usd_per_hour, 4),
                "monthlyUsd": round(one.usd_per_hour * HOURS_PER_MONTH, 2),
                "ttftP95Ms": round(one.ttft_ms, 1),
                "tpotP95Ms": round(one.tpot_ms, 2),
                "why": one.why,
            }
            for one in choice.runners_up
        ],
    }


def choice_lines(choice: GoalChoice | None) -> Iterator[str]:
    """The runners-up as lines of a server's plan; the choice itself is among its decisions."""
    for index, one in enumerate(choice.runners_up if choice else ()):
        yield f"  {'over' if not index else '':<10} {_runner_up(one)}"


def _runner_up(one: RunnerUp) -> str:
    return (
        f"{one.what}: {one.usd_per_hour * HOURS_PER_MONTH:,.0f} USD a month, first token {one.ttft_ms:,.0f} ms and "
        f"{one.tpot_ms:,.1f} ms per token at p95; {one.why}"
    )
