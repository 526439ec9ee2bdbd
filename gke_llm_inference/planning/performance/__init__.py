"""Speed of a server under a load: how long its steps take, and what its scheduler makes of them."""

from gke_llm_inference.planning.performance.bands import Band, Quantity, error_band
from gke_llm_inference.planning.performance.calibration import (
    Calibrated,
    Factors,
    Hardware,
    HardwareSpeed,
    calibrate,
    narrowed,
)
from gke_llm_inference.planning.performance.calibration_use import SpeedBasis, speed_basis, usual_basis
from gke_llm_inference.planning.performance.load import Lengths, Load, arrivals_ms, uniform_lengths
from gke_llm_inference.planning.performance.plan import (
    RESTS_ON,
    Judgement,
    PerformancePlan,
    PerformanceRequest,
    Price,
    SpeedVerdict,
    duration,
    least_replicas,
    plan_performance,
    rounded,
)
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
    "RESTS_ON",
    "Band",
    "Calibrated",
    "Distribution",
    "Factors",
    "Hardware",
    "HardwareSpeed",
    "Judgement",
    "LatencyBound",
    "Lengths",
    "Load",
    "Miss",
    "ModelShapes",
    "Objectives",
    "Percentiles",
    "PerformancePlan",
    "PerformanceRequest",
    "Point",
    "Prediction",
    "Price",
    "Quantity",
    "Replica",
    "Served",
    "ServerLimits",
    "SpeedBasis",
    "SpeedVerdict",
    "StepTimer",
    "Workload",
    "arrivals_ms",
    "calibrate",
    "duration",
    "error_band",
    "least_replicas",
    "narrowed",
    "objectives_of",
    "plan_performance",
    "predict",
    "replicas_for",
    "rounded",
    "server_limits",
    "shapes_of",
    "simulate",
    "speed_basis",
    "step_timer",
    "uniform_lengths",
    "usd_per_million",
    "usual_basis",
    "workload_of",
]
