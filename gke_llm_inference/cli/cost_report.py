"""What a whole stack costs, for people and programs: each part, the sum, and what it leaves out."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.planning.cost import Cost
from gke_llm_inference.planning.stack_cost import NOT_COUNTED, StackCost

_MISSING = "no price known"


def in_usd(cost: Cost) -> str:
    """A cost in words: while everything runs, with the fewest replicas, and idle."""
    if cost.hourly_usd is None:
        return _MISSING
    idle = "" if cost.idle_monthly_usd is None else f", {cost.idle_monthly_usd:,.0f} idle"
    if cost.least_hourly_usd is None:
        return f"{cost.hourly_usd:.2f} USD an hour, {cost.monthly_usd:,.0f} a month{idle}"
    return (
        f"{cost.least_hourly_usd:.2f} to {cost.hourly_usd:.2f} USD an hour, "
        f"{cost.least_monthly_usd:,.0f} to {cost.monthly_usd:,.0f} a month{idle}"
    )


def noted(cost: Cost, text: str, mark: str = " ({})") -> str:
    """A cost in words with what it leaves out; a missing price is said once."""
    if cost.hourly_usd is None and cost.note.startswith(_MISSING):
        return cost.note
    return text + (mark.format(cost.note) if cost.note else "")


def stack_cost_lines(cost: StackCost, times: str = "×") -> Iterator[str]:
    """The lines of a plan that say what the stack costs.

    Args:
        cost: the cost.
        times: what stands between a number and what it is of.

    """
    yield f"Stack costs {'at least ' if cost.is_least else ''}{in_usd(cost.total)}"
    for part in cost.parts:
        price = _MISSING if part.cost.hourly_usd is None else f"{part.cost.hourly_usd:.4f} USD an hour"
        yield f"  {part.title.replace('×', times)}: {noted(part.cost, price)}"
    if cost.one_year_usd is not None:
        yield (
            f"  GPU machines with a commitment: {cost.one_year_usd:.2f} USD an hour with one of one year, "
            f"{cost.three_years_usd:.2f} of three"
        )
    yield f"  not counted: {'; '.join(NOT_COUNTED)}"


def stack_cost_document(cost: StackCost) -> dict[str, Any]:
    """The same as plain data for JSON."""
    total = cost.total
    return {
        "atLeast": cost.is_least,
        "hourlyUsd": _rounded(total.hourly_usd),
        "monthlyUsd": _rounded(total.monthly_usd),
        "idleHourlyUsd": _rounded(total.idle_hourly_usd),
        "leastHourlyUsd": _rounded(total.least_hourly_usd),
        "oneYearGpuHourlyUsd": _rounded(cost.one_year_usd),
        "threeYearsGpuHourlyUsd": _rounded(cost.three_years_usd),
        "parts": [
            {"title": part.title, "hourlyUsd": _rounded(part.cost.hourly_usd), "note": part.cost.note}
            for part in cost.parts
        ],
        "notCounted": list(NOT_COUNTED),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
