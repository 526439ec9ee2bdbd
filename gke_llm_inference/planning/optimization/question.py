"""What is asked of the search: goals, a load, and what latency and price may be."""

from dataclasses import dataclass
from typing import Literal

from gke_llm_inference.planning.performance.workload import LatencyBound, Objectives, Workload

GoalName = Literal["cost", "latency", "objectives", "throughput"]


BEARABLE = Objectives(ttft=LatencyBound(milliseconds=10_000), tpot=LatencyBound(milliseconds=200))
"""What counts as served where no objectives are stated, unless the goal is throughput: this project's own bounds of
what somebody who waits and reads may still be given."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the search is asked.

    Attributes:
        goals: what to choose by, the first one first; others decide among what it cannot tell apart.
        workload: the requests.
        objectives: what latency and price may be.
        is_assumed: whether the objectives are assumed, as none are stated.
        replicas: replicas that the stack states; None where the search finds out.
        too_long: share of the requests that have more tokens than the context, and are cut to it.

    """

    goals: tuple[GoalName, ...]
    workload: Workload
    objectives: Objectives
    is_assumed: bool = False
    replicas: int | None = None
    too_long: float = 0.0
