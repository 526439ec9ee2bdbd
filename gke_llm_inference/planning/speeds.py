"""Speeds of a stack's servers, each worked out once: the one place where facts about speed enter a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gke_llm_inference.catalog import Catalog
    from gke_llm_inference.planning.memory import MemoryRequest
    from gke_llm_inference.planning.performance import PerformancePlan, PerformanceRequest


@dataclass(frozen=True)
class Speeds:
    """Plans the speed of servers; those that are alike are simulated once.

    Attributes:
        launch_us: time in which the nodes' hosts launch a kernel; that of the measured hosts if None.
        known: what was planned already, with the same catalog.

    """

    launch_us: float | None = None
    known: dict[object, PerformancePlan] = field(default_factory=dict)

    def plan(
        self, request: MemoryRequest, pool_tokens: int, context: int, asked: PerformanceRequest, catalog: Catalog
    ) -> PerformancePlan:
        """The speed of a server; see `plan_performance`."""
        # What predicts is imported by those alone who ask.
        from gke_llm_inference.planning.performance import plan_performance

        key = (request, pool_tokens, context, asked)
        if key not in self.known:
            self.known[key] = plan_performance(
                *key, memory=catalog.memory, facts=catalog.performance, launch_us=self.launch_us
            )
        return self.known[key]

    def least_replicas(
        self, request: MemoryRequest, pool_tokens: int, context: int, asked: PerformanceRequest, catalog: Catalog
    ) -> int | None:
        """The fewest replicas with which it may meet its objectives; see `performance.least_replicas`."""
        from gke_llm_inference.planning.performance import least_replicas

        return least_replicas(
            request,
            pool_tokens,
            context,
            asked,
            memory=catalog.memory,
            facts=catalog.performance,
            launch_us=self.launch_us,
        )
