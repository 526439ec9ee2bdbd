"""Draws what `optimize` found: latency against throughput, and cost against latency with the Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gke_llm_inference.errors import ConfigError
from gke_llm_inference.planning.optimization import Optimum, Option, pareto

if TYPE_CHECKING:
    from pathlib import Path

    from gke_llm_inference.planning.optimize import Asked

_CURVES = 6


def draw(asked: Asked, optimum: Optimum, path: Path) -> None:
    """Writes the picture as the file's ending says; an SVG has the same bytes for the same answer.

    Raises:
        ConfigError: the file cannot be written, or matplotlib does not know its ending.

    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update(
        {"svg.hashsalt": "optimize", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    from matplotlib import pyplot

    figure, (speed, cost) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    question = optimum.question
    figure.suptitle(f"{asked.model}, {question.workload.name}, {asked.region} (predicted)")
    shown = _distinct(optimum.options)
    for option in shown[:_CURVES]:
        rates = [point.output_tokens_per_second for point in option.curve]
        latencies = [point.tpot_ms.p95 for point in option.curve]
        speed.plot(rates, latencies, marker="o", markersize=3, label=_label(option))
    if (tpot := question.objectives.tpot) is not None:
        speed.axhline(tpot.milliseconds, color="0.5", linestyle="--", linewidth=1)
        speed.annotate(
            "objective",
            (0.99, tpot.milliseconds),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            color="0.4",
        )
    speed.set(xlabel="output tokens per second of a replica", ylabel="time per token, p95, ms")
    speed.set_ylim(bottom=0)
    speed.set_xlim(left=0)
    if shown:
        speed.legend(frameon=False, fontsize=8)
    unit = "USD per month" if question.workload.asked else "USD per million output tokens"
    front = list(pareto(optimum.options))
    cost.plot(
        [option.point.tpot_ms.p50 for option in front],
        [option.cost for option in front],
        color="0.75",
        linewidth=1,
        zorder=1,
    )
    for option in shown:
        on_front = option in front
        x, y = option.point.tpot_ms.p50, option.cost
        cost.scatter([x], [y], color="C0" if on_front else "0.6", s=30, zorder=2)
        if not on_front:
            continue
        cost.annotate(
            _label(option),
            (x, y),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=7,
            color="black",
        )
    cost.set(xlabel="time per token, median, ms", ylabel=unit)
    cost.set_ylim(bottom=0)
    cost.set_title("blue: nothing is both cheaper and faster", fontsize=9)
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the picture cannot be written: {error}") from None
    finally:
        pyplot.close(figure)


def _distinct(options: tuple[Option, ...]) -> list[Option]:
    """The best of each kind: other limits of the same GPUs and weights lie on top of it."""
    kinds: dict[str, Option] = {}
    for option in options:
        kinds.setdefault(option.candidate.name, option)
    return list(kinds.values())


def _label(option: Option) -> str:
    return option.candidate.name.replace("nvidia-", "").replace("bfloat16", "bf16")
