"""Draws what `optimize` found: latency against throughput, and cost against latency with the Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gke_llm_inference.errors import ConfigError
from gke_llm_inference.planning.optimization import Optimum, Option, pareto
from gke_llm_inference.planning.optimization.told import limits_of

if TYPE_CHECKING:
    from pathlib import Path

    from gke_llm_inference.planning.optimize import Asked

_CURVES = 5
_SHARES = (0.1, 0.3, 0.5, 0.7, 0.85, 1.0)
"""Parts of the load that a replica serves, at which its curve has points."""
_NEAR = 0.06


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

    figure, (speed, cost) = pyplot.subplots(1, 2, figsize=(12, 6), layout="constrained")
    question, options = optimum.question, optimum.options
    figure.suptitle(f"{asked.model}, {question.workload.name}, {asked.region}: predicted, with error bands")
    for place, option in enumerate(options[:_CURVES]):
        _curve(speed, option, f"C{place}", _percentile(optimum))
    if (tpot := question.objectives.tpot) is not None and not question.is_assumed:
        speed.axhline(tpot.milliseconds, color="0.4", linestyle="--", linewidth=1)
        speed.annotate(
            f"objective, {tpot.milliseconds:g} ms",
            (0.99, tpot.milliseconds),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            color="0.4",
        )
    speed.set(
        xlabel="output tokens per second of a replica",
        ylabel=f"time per token at p{_percentile(optimum):g}, ms",
        title=f"latency against throughput, the first {min(_CURVES, len(options))}",
    )
    speed.set_ylim(bottom=0)
    speed.set_xlim(left=0)
    _costs(cost, optimum)
    if options:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the picture cannot be written: {error}") from None
    finally:
        pyplot.close(figure)


def _curve(axes: Any, option: Option, color: str, percentile: float) -> None:
    """Time per token over throughput up to the load that a replica serves, with the band as shading."""
    replica, most = option.replica, option.most
    is_closed = replica.workload.is_closed
    loads = sorted({max(1, round(share * most.load)) if is_closed else share * most.load for share in _SHARES})
    points = [replica.at(load) for load in loads]
    rates = [point.output_tokens_per_second for point in points]
    latencies = [point.tpot_ms.at(percentile) for point in points]
    band = option.bands.tpot.percent / 100
    axes.plot(rates, latencies, color=color, marker="o", markersize=3)
    axes.fill_between(
        rates,
        [value * (1 - band) for value in latencies],
        [value * (1 + band) for value in latencies],
        color=color,
        alpha=0.12,
        linewidth=0,
    )


def _costs(axes: Any, optimum: Optimum) -> None:
    """Cost over time per token of every option by its number, with the band as a bar and the Pareto front as a line."""
    options = optimum.options
    front = list(pareto(options))
    axes.step(
        [option.point.tpot_ms.p50 for option in front],
        [option.cost for option in front],
        where="post",
        color="0.7",
        linewidth=1,
        zorder=1,
    )
    drawn: list[tuple[float, float]] = []
    widest = max((option.point.tpot_ms.p50 for option in options), default=0.0)
    dearest = max((option.cost for option in options), default=0.0)
    for place, option in enumerate(options):
        x, y = option.point.tpot_ms.p50, option.cost
        color = f"C{place}" if place < _CURVES else "0.55"
        axes.errorbar(
            [x],
            [y],
            xerr=[x * option.bands.tpot.percent / 100],
            color=color,
            linewidth=1,
            capsize=2,
            alpha=0.6,
            zorder=2,
        )
        axes.scatter([x], [y], color=color, s=25, zorder=3, label=f"{place + 1}  {_label(option)}")
        # Numbers of options that lie on each other stand above each other.
        near = sum(1 for a, b in drawn if abs(a - x) < _NEAR * widest and abs(b - y) < _NEAR * dearest)
        drawn.append((x, y))
        axes.annotate(
            str(place + 1),
            (x, y),
            xytext=(0, 13 + 17 * near),
            textcoords="offset points",
            ha="center",
            va="center",
            color="white",
            fontsize=7,
            fontweight="bold",
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": color, "edgecolor": "none"},
            zorder=4,
        )
    unit = "USD per month" if optimum.question.workload.asked else "USD per million output tokens"
    axes.set(
        xlabel="time per token, median, ms",
        ylabel=unit,
        title="cost against latency; on the line nothing is both cheaper and faster",
    )
    axes.set_ylim(bottom=0, top=1.25 * dearest or None)
    axes.set_xlim(left=0)


def _percentile(optimum: Optimum) -> float:
    tpot = optimum.question.objectives.tpot
    return tpot.percentile if tpot is not None else 95


def _label(option: Option) -> str:
    replicas = f"{option.replicas} replicas of " if option.replicas > 1 else ""
    name = f"{option.candidate.name}{limits_of(option.candidate)}"
    return f"{replicas}{name}".replace("nvidia-", "").replace("bfloat16", "bf16")
