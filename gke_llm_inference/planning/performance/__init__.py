"""Speed of a server under a load: how long its steps take, and what its scheduler makes of them."""

from gke_llm_inference.planning.performance.bands import Band, Quantity, error_band
from gke_llm_inference.planning.performance.load import Lengths, Load, arrivals_ms, uniform_lengths
from gke_llm_inference.planning.performance.prediction import (
    Percentiles,
    Prediction,
    predict,
    server_limits,
    step_timer,
)
from gke_llm_inference.planning.performance.replica import (
    HEADROOM,
    Distribution,
    Miss,
    Point,
    Replica,
    replicas_for,
    usd_per_million,
)
from gke_llm_inference.planning.performance.shapes import ModelShapes, shapes_of
from gke_llm_inference.planning.performance.simulation import Served, ServerLimits, simulate
from gke_llm_inference.planning.performance.step_time import StepTimer
from gke_llm_inference.planning.performance.workload import (
    DEFAULT_PROFILE,
    LatencyBound,
    Objectives,
    Workload,
    objectives_of,
    workload_of,
)

__all__ = [
    "DEFAULT_PROFILE",
    "HEADROOM",
    "Band",
    "Distribution",
    "LatencyBound",
    "Lengths",
    "Load",
    "Miss",
    "ModelShapes",
    "Objectives",
    "Percentiles",
    "Point",
    "Prediction",
    "Quantity",
    "Replica",
    "Served",
    "ServerLimits",
    "StepTimer",
    "Workload",
    "arrivals_ms",
    "error_band",
    "objectives_of",
    "predict",
    "replicas_for",
    "server_limits",
    "shapes_of",
    "simulate",
    "step_timer",
    "uniform_lengths",
    "usd_per_million",
    "workload_of",
]
