"""Speed of a server under a load: how long its steps take, and what its scheduler makes of them."""

from gke_llm_inference.planning.performance.load import Lengths, Load, arrivals_ms, uniform_lengths
from gke_llm_inference.planning.performance.prediction import (
    Percentiles,
    Prediction,
    predict,
    server_limits,
    step_timer,
)
from gke_llm_inference.planning.performance.shapes import ModelShapes, shapes_of
from gke_llm_inference.planning.performance.simulation import Served, ServerLimits, simulate
from gke_llm_inference.planning.performance.step_time import StepTimer

__all__ = [
    "Lengths",
    "Load",
    "ModelShapes",
    "Percentiles",
    "Prediction",
    "Served",
    "ServerLimits",
    "StepTimer",
    "arrivals_ms",
    "predict",
    "server_limits",
    "shapes_of",
    "simulate",
    "step_timer",
    "uniform_lengths",
]
