"""Prometheus's own engine: queries in, lines out."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEP = 30
"""Seconds between two scrapes, as Managed Service for Prometheus's collectors are told."""
# TGI's counters are called so.
_HARMLESS = "metric might not be a counter, name does not end in"


@dataclass(frozen=True)
class Series:
    """What a scrape of each step from 0 on found; None where it found nothing."""

    labels: Mapping[str, str]
    values: tuple[float | None, ...]

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.labels["__name__"]


@dataclass(frozen=True)
class Line:
    """One line of an answer: its values by second."""

    labels: Mapping[str, str]
    points: Mapping[int, float]

    def at(self, second: int) -> float | None:
        """The value at a second; None where the line has a gap."""
        return self.points.get(second)


@dataclass(frozen=True)
class Engine:
    """The program that `local/binaries` builds of Prometheus's Go module."""

    path: Path

    def ask(self, series: Sequence[Series], queries: Sequence[str], seconds: int) -> list[list[Line]]:
        """The lines of each query, with a point for each step from 0 to `seconds`.

        Raises:
            ValueError: a query cannot be parsed or evaluated, or the engine warns of it.

        """
        asked = {
            "step": STEP,
            "series": [{"labels": dict(one.labels), "values": one.values} for one in series],
            "queries": [{"expr": one, "start": 0, "end": seconds, "step": STEP} for one in queries],
        }
        ended = subprocess.run([self.path], input=json.dumps(asked), capture_output=True, text=True, check=True)
        answers = json.loads(ended.stdout)
        told = [
            f"{query}: {text}"
            for query, answer in zip(queries, answers, strict=True)
            for text in (answer.get("error"), *answer.get("warnings", ()))
            if text and _HARMLESS not in text
        ]
        if told:
            raise ValueError("\n".join(told))
        return [[_line(line) for line in answer["lines"]] for answer in answers]


def _line(line: dict[str, Any]) -> Line:
    return Line(line["labels"], {int(second): float(value) for second, value in line["points"]})
