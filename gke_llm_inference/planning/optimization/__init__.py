"""Which GPUs, weights and limits serve a load at the least cost."""

from gke_llm_inference.planning.optimization.question import Objectives, Question, Workload
from gke_llm_inference.planning.optimization.search import Optimum, Option, Point, optimize, pareto, settings_of

__all__ = ["Objectives", "Optimum", "Option", "Point", "Question", "Workload", "optimize", "pareto", "settings_of"]
