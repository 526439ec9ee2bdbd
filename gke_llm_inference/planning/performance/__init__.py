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
from gke_llm_inference.planning.performance.shapes import ModelShapes, shapes_of
from gke_llm_inference.planning.performance.simulation import Served, ServerLimits, simulate
from gke_llm_inference.planning.performance.step_time import StepTimer

__all__ = [
    "Band",
    "Lengths",
    "Load",
    "ModelShapes",
    "Percentiles",
    "Prediction",
    "Quantity",
    "Served",
    "ServerLimits",
    "StepTimer",
    "arrivals_ms",
    "error_band",
    "predict",
    "server_limits",
    "shapes_of",
    "simulate",
    "step_timer",
    "uniform_lengths",
]
