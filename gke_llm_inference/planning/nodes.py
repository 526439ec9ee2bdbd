"""Nodes that a plan's pools run while every replica does."""

import math
from collections.abc import Iterable

from gke_llm_inference.planning.plan import NodePoolPlan, ServerPlan


def running_nodes(pool: NodePoolPlan, servers: Iterable[ServerPlan]) -> int:
    """Nodes of a pool while every replica runs: by GPUs, as GPUs are what pods on such nodes compete for."""
    clients = pool.settings.sharing.max_clients if pool.settings.sharing else 1
    gpus = sum(server.replicas * server.gpu_count for server in servers if server.node_pool == pool.key)
    return max(pool.settings.min_nodes, math.ceil(gpus / (pool.settings.accelerator.count * clients)))
