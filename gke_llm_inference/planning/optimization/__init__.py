"""Which GPUs, weights and limits serve a load best by a goal: candidates, their speed, and the best of them."""

from gke_llm_inference.planning.optimization.choice import choose, optimum_of
from gke_llm_inference.planning.optimization.option import Option
from gke_llm_inference.planning.optimization.question import BEARABLE, GoalName, Question
from gke_llm_inference.planning.optimization.search import SIMULATIONS, Optimum, pareto

__all__ = [
    "BEARABLE",
    "SIMULATIONS",
    "GoalName",
    "Optimum",
    "Option",
    "Question",
    "choose",
    "optimum_of",
    "pareto",
]
