"""Draws what panels show of simulated series, in the order and with the words of the dashboard."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gke_llm_inference.planning.observability.panels import Panel, Unit
    from tests.promql.engine import Line

_ACROSS = 3
_UNITS: dict[Unit, str] = {
    "requests": "requests",
    "percent": "%",
    "seconds": "seconds",
    "tokens/s": "tokens/s",
    "per minute": "per minute",
    "requests/s": "requests/s",
    "replicas": "replicas",
    "USD/h": "USD/h",
    "USD": "USD",
}
_FACTOR = 100
"""Above so many times its least value, a latency or a price is drawn on a scale of powers of ten."""


def draw(
    path: Path,
    title: str,
    panels: Sequence[Panel],
    lines: Mapping[tuple[str, str], Line],
    phases: Sequence[tuple[float, float, str]],
) -> None:
    """Writes one picture of all panels; the same input gives the same bytes.

    Args:
        path: the SVG, or PNG, that is written.
        title: what is shown.
        panels: the panels.
        lines: the answer to each query, by the panel's title and the line's name.
        phases: first and last minute of what happens, and its name.

    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update(
        {
            "axes.spines.right": False,
            "axes.spines.top": False,
            "font.size": 9,
            "svg.fonttype": "none",
            "svg.hashsalt": "dashboards",
        }
    )
    from matplotlib import pyplot

    rows = -(-len(panels) // _ACROSS)
    figure, grid = pyplot.subplots(rows, _ACROSS, figsize=(13, 2.5 * rows + 1), layout="constrained", squeeze=False)
    figure.suptitle(f"Simulated data, not Grafana: {title}", fontsize=12)
    for place in range(rows * _ACROSS):
        axes = grid[place // _ACROSS][place % _ACROSS]
        if place >= len(panels):
            axes.set_axis_off()
            continue
        panel = panels[place]
        highest, lowest = 0.0, math.inf
        for number, line in enumerate(panel.lines):
            points = lines[panel.title, line.name].points
            minutes = [second / 60 for second in points]
            values = list(points.values())
            highest = max([highest, *(value for value in values if not math.isnan(value))])
            lowest = min([lowest, *(value for value in values if value > 0)])
            axes.plot(minutes, values, color=f"C{number}", linewidth=1.4, label=line.name)
        for threshold in panel.thresholds:
            axes.axhline(threshold.value, color="C3", linestyle="--", linewidth=1, label=threshold.name)
            highest = max(highest, threshold.value)
        if panel.unit in ("seconds", "USD") and highest > _FACTOR * lowest:
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.25 * highest or 1)
        for first, last, _ in phases[1::2]:
            axes.axvspan(first, last, color="0.5", alpha=0.1, linewidth=0)
        axes.set_xlim(phases[0][0], phases[-1][1])
        axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold")
        axes.set_ylabel(_UNITS[panel.unit])
        axes.legend(frameon=False, fontsize=7.5, loc="best")
        if place // _ACROSS == rows - 1 or place + _ACROSS >= len(panels):
            axes.set_xlabel("minutes")
    told = "; ".join(f"{first:g}-{last:g} {name}" for first, last, name in phases)
    figure.text(0.5, -0.01, f"minutes {told}", ha="center", va="top", fontsize=9, color="0.3")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
