"""Which GPUs, weights and limits serve a load at the least cost."""

from gke_llm_inference.planning.optimization.question import Question
from gke_llm_inference.planning.optimization.search import Optimum, Option, optimize, pareto, settings_of

__all__ = ["Optimum", "Option", "Question", "optimize", "pareto", "settings_of"]
