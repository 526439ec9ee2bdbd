"""GPU quota that a stack needs, by Google's names: while everything runs, at its largest, and during an update."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import ProvisioningName
from gke_llm_inference.planning.node_pools import running_nodes
from gke_llm_inference.planning.plan import NodePoolPlan, ServerPlan, StackPlan
from gke_llm_inference.settings import Finding, suggestion

ALL_REGIONS = "GPUS_ALL_REGIONS"
"""The quota that every GPU of a project counts against, wherever it is."""
_OWN_AND_ALL = 2
_PREEMPTIBLE = ("spot", "flexStart")
"""Machines that count against the quotas of preemptible GPUs, flex-start among them."""


@dataclass(frozen=True, order=True)
class QuotaNeed:
    """GPUs that count against one quota.

    Attributes:
        name: quota's name.
        running: GPUs while every replica runs.
        largest: GPUs when every pool is at its largest, or when every server updates at once.

    """

    name: str
    running: int
    largest: int


@dataclass(frozen=True)
class QuotaUse:
    """What a project may use of a quota, and what it uses now."""

    limit: float
    used: float


@dataclass(frozen=True, kw_only=True)
class QuotaState:
    """A quota that a stack needs beside what its project has of it.

    Attributes:
        need: what the stack needs.
        use: what the project has; None where that was not asked, or Google does not list the quota.
        deployed: whether the stack runs already, so that its own GPUs are among those in use.

    """

    need: QuotaNeed
    use: QuotaUse | None = None
    deployed: bool = False

    @property
    def missing_at_rest(self) -> int | None:
        """GPUs that are missing while every replica runs; None where what the project has is not known."""
        return self._missing(self.need.running)

    @property
    def missing(self) -> int | None:
        """GPUs that are missing at most, during an update or with every pool at its largest; None as above."""
        return self._missing(self.need.largest)

    @property
    def limit_to_ask_for(self) -> int:
        """The limit that the stack needs, beside what others use."""
        return self.need.largest + math.ceil(self._used_by_others)

    @property
    def _used_by_others(self) -> float:
        if self.use is None:
            return 0.0
        own = self.need.running if self.deployed else 0
        return max(0.0, self.use.used - own)

    def _missing(self, needed: int) -> int | None:
        if self.use is None:
            return None
        return max(0, math.ceil(needed + self._used_by_others - self.use.limit))


def stack_quota_needs(plan: StackPlan, catalog: Catalog) -> tuple[QuotaNeed, ...]:
    """Quota of a planned stack, sorted by name."""
    nodes = {pool.key: running_nodes(pool, plan.servers) for pool in plan.node_pools}
    return quota_needs(plan.servers, plan.node_pools, nodes, catalog)


def quota_needs(
    servers: Iterable[ServerPlan], pools: Iterable[NodePoolPlan], nodes: dict[str, int], catalog: Catalog
) -> tuple[QuotaNeed, ...]:
    """Quota of a stack, sorted by name.

    Args:
        servers: the stack's servers.
        pools: its node pools.
        nodes: nodes of each pool while every replica runs, by the pool's key.
        catalog: the facts to decide by.

    """
    running: defaultdict[str, int] = defaultdict(int)
    largest: defaultdict[str, int] = defaultdict(int)

    def count(names: set[str], *, now: int, most: int) -> None:
        for name in names:
            running[name] += now
            largest[name] += most

    for pool in pools:
        gpus = pool.settings.accelerator.count
        count(
            _quotas_of(pool.settings.accelerator.type, pool.settings.provisioning.model, catalog),
            now=gpus * max(nodes.get(pool.key, 0), pool.settings.min_nodes),
            most=gpus * pool.settings.max_nodes,
        )
    for server in servers:
        if server.node_pool is None:
            now = server.pods * server.gpu_count
            count(_quotas(server, catalog), now=now, most=now + server.rollout.max_surge * server.gpu_count)
    return tuple(QuotaNeed(name, running[name], largest[name]) for name in sorted(running))


def _quotas(server: ServerPlan, catalog: Catalog) -> set[str]:
    """The quotas that a server's GPUs may count against: those of every tier, as all pods may come to be on one."""
    if server.capacity is None:
        return _quotas_of(server.gpu_type, "onDemand", catalog)
    return {name for tier in server.capacity.tiers for name in _quotas_of(tier.gpu_type, tier.model, catalog)}


def _quotas_of(gpu: str, model: ProvisioningName, catalog: Catalog) -> set[str]:
    """The quotas of a GPU; none where its nodes exist already, and Google's name of its quota is not known."""
    if gpu not in catalog.accelerators:
        return set()
    quota = catalog.accelerators[gpu].quota
    return {quota.spot if model in _PREEMPTIBLE else quota.on_demand, ALL_REGIONS}


def quota_problems(
    allowed: Mapping[str, int], servers: Sequence[ServerPlan], pools: Sequence[NodePoolPlan], catalog: Catalog
) -> list[Finding]:
    """Quotas that the stack states and comes to exceed, with every server at its most replicas.

    Args:
        allowed: GPUs that each quota allows, by its name.
        servers: the stack's servers.
        pools: its node pools.
        catalog: the facts to decide by.

    """
    known = {ALL_REGIONS}
    known |= {name for gpu in catalog.accelerators.values() for name in (gpu.quota.on_demand, gpu.quota.spot)}
    problems = [
        Finding(
            path=f"gpuQuota.{name}",
            what="is no quota of GPUs that the catalog knows",
            why="it would limit nothing",
            fix=suggestion(name, sorted(known)),
        )
        for name in sorted(allowed)
        if name not in known
    ]
    nodes = {pool.key: running_nodes(pool, servers) for pool in pools}
    # A server with several quotas falls back from one to the next: it must fit all of them together.
    alone = [server for server in servers if len(_quotas(server, catalog)) <= _OWN_AND_ALL]
    certain = {need.name: need.running for need in quota_needs(alone, pools, nodes, catalog)}
    for need in quota_needs(servers, pools, nodes, catalog):
        most = allowed.get(need.name)
        running = need.running if need.name == ALL_REGIONS else certain.get(need.name, 0)
        if most is not None and running > most:
            scaled = [server for server in servers if server.autoscaling is not None]
            lower = f"lower maxReplicas of {scaled[0].key}" if scaled else "lower replicas"
            problems.append(
                Finding(
                    path=f"gpuQuota.{need.name}",
                    what=f"{most:,} is less than the {running:,} GPUs that the stack comes to run",
                    why="Google makes no machine beyond the quota, and the rest of the pods would stay pending",
                    fix=f"ask Google for {running:,}, or {lower}",
                )
            )
    return problems
