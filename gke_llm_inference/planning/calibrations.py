"""What is said of a server's calibration: where it says nothing of the server, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gke_llm_inference.planning.objectives import asks_for_speed, has_known_speed
from gke_llm_inference.planning.plan import Decision
from gke_llm_inference.planning.speed import basis_of
from gke_llm_inference.settings import Finding

if TYPE_CHECKING:
    from gke_llm_inference.planning.stages import PlacedServer


def calibration_findings(server: PlacedServer) -> list[Finding]:
    """What is wrong with a server's calibration, or that nothing reads it."""
    if server.settings.measured_speed is None:
        return []
    if not asks_for_speed(server):
        return [
            Finding(
                path=f"{server.path}.calibration",
                what="is not read",
                why="the speed of a server is planned where it states a workload or objectives",
                fix=f"set {server.path}.workload, or remove calibration",
                severity="warning",
            )
        ]
    if not has_known_speed(server):
        return []  # what stands in the way is told already
    assert server.memory is not None
    found = basis_of(server, server.memory.request)[1]
    if server.choice is None:
        return found
    # What a goal chose may be another server than the one that was measured, and another tomorrow.
    return [replace(one, severity="warning") for one in found]


def calibration_decision(server: PlacedServer) -> Decision | None:
    """What a calibration says of a server's hardware; None without one."""
    assert server.memory is not None
    basis = basis_of(server, server.memory.request)[0]
    if basis.calibration is None or basis.hardware is None:
        return None
    factors, measured = basis.hardware.factors, basis.calibration
    times = f"memory {factors.memory:.2f}, compute {factors.compute:.2f}, host {factors.host:.2f}"
    of = "this server" if basis.own else f"{measured.model} in {measured.weights_format}"
    return Decision(
        "calibration",
        server.settings.calibration or "",
        f"{of} was measured on {measured.gpu_name}, {measured.measured}; times as long as planned otherwise: {times}",
    )
