"""Pure decisions: settings and catalog in, a frozen plan out. Needs neither Pulumi nor a cloud."""

from gke_llm_inference.planning.plan import (
    ClusterPlan,
    NodePoolPlan,
    PodResources,
    ProbePlan,
    RolloutPlan,
    ServerPlan,
    ShutdownPlan,
    StackPlan,
    TokenPlan,
    Toleration,
)
from gke_llm_inference.planning.stack import StackIdentity, plan_stack

__all__ = [
    "ClusterPlan",
    "NodePoolPlan",
    "PodResources",
    "ProbePlan",
    "RolloutPlan",
    "ServerPlan",
    "ShutdownPlan",
    "StackIdentity",
    "StackPlan",
    "TokenPlan",
    "Toleration",
    "plan_stack",
]
