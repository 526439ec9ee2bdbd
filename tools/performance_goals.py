"""What predictions of speed have to reach: errors in percent, median and 90th percentile, by quantity."""

from collections.abc import Mapping

GOALS: Mapping[str, tuple[float, float]] = {
    "step_ms": (4.0, 13.0),
    "tpot_ms.p50": (5.0, 12.0),
    "output_tokens_per_second": (5.0, 8.0),
    "ttft_ms.p50": (12.0, 30.0),
}
"""Models that nothing was fitted to, on GPUs that were measured; runs that repeat a load averaged."""

L4_GOALS: Mapping[str, tuple[float, float]] = {
    "step_ms": (5.0, 8.0),
    "output_tokens_per_second": (6.0, 20.0),
    "ttft_ms.p50": (35.0, 50.0),
}
"""An L4, to which nothing is fitted."""

MEAN_REGRET = 5.0
"""Cost of the configuration that is predicted to be the cheapest over the truly cheapest, on average, in percent."""

SIMULATION_MS = 10.0
"""Time of one server, median."""


def verdict(name: str, spread: Mapping[str, float], goals: Mapping[str, tuple[float, float]]) -> str:
    """Whether a quantity's errors are within its goal, beside the goal; nothing where it has none."""
    if name not in goals:
        return ""
    median, p90 = goals[name]
    fine = spread["median"] <= median and spread["p90"] <= p90
    return f"{'within' if fine else 'BEYOND'} {median:.0f} / {p90:.0f}"
