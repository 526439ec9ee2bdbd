"""Speeds of a stack's servers, each worked out once: the one place where facts about speed enter a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gke_llm_inference.catalog import Catalog
    from gke_llm_inference.planning.memory import MemoryRequest
    from gke_llm_inference.planning.performance.calibration import Calibrated
    from gke_llm_inference.planning.performance.calibration_use import SpeedBasis
    from gke_llm_inference.planning.performance.plan import PerformancePlan, PerformanceRequest
    from gke_llm_inference.settings import Finding
    from gke_llm_inference.settings.calibration import Calibration


@dataclass(frozen=True)
class KnownSpeeds:
    """Plans the speed of servers; those that are alike are simulated once.

    Attributes:
        known: what was planned already, with the same catalog.
        fitted: what predictions of servers rest on, as far as it is known already, with the same catalog.
        fits: calibrations that were fitted already, with the same catalog.

    """

    known: dict[object, PerformancePlan] = field(default_factory=dict)
    fitted: dict[object, tuple[SpeedBasis, list[Finding]]] = field(default_factory=dict)
    fits: dict[object, Calibrated] = field(default_factory=dict)

    def basis(
        self, path: str, calibration: Calibration | None, model: str, request: MemoryRequest, catalog: Catalog
    ) -> tuple[SpeedBasis, list[Finding]]:
        """What predictions of a server rest on, and what is wrong with its calibration; see `speed_basis`."""
        from gke_llm_inference.planning.performance.calibration_use import speed_basis

        key = (path, calibration, model, request)
        if key not in self.fitted:
            self.fitted[key] = speed_basis(*key, catalog, self.fits)
        return self.fitted[key]

    def plan(
        self,
        request: MemoryRequest,
        pool_tokens: int,
        context: int,
        asked: PerformanceRequest,
        basis: SpeedBasis,
        catalog: Catalog,
    ) -> PerformancePlan:
        """The speed of a server; see `plan_performance`."""
        # What predicts is imported by those alone who ask.
        from gke_llm_inference.planning.performance.plan import plan_performance

        server = (request, pool_tokens, context, asked)
        key = (*server, basis.calibration, basis.own)
        if key not in self.known:
            self.known[key] = plan_performance(*server, memory=catalog.memory, facts=catalog.performance, basis=basis)
        return self.known[key]

    def least_replicas(
        self,
        request: MemoryRequest,
        pool_tokens: int,
        context: int,
        asked: PerformanceRequest,
        basis: SpeedBasis,
        catalog: Catalog,
    ) -> int | None:
        """The fewest replicas with which it may meet its objectives; see `performance.least_replicas`."""
        from gke_llm_inference.planning.performance.plan import least_replicas

        return least_replicas(
            request,
            pool_tokens,
            context,
            asked,
            memory=catalog.memory,
            facts=catalog.performance,
            basis=basis,
        )
