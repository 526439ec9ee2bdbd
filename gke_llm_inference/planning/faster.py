"""What would meet the objectives of a server that misses them: every proposal is planned and predicted anew."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gke_llm_inference.planning.alternatives import Candidate, FasterAlternative, faster_candidates, passing
from gke_llm_inference.planning.machines import candidates
from gke_llm_inference.planning.speed import basis_of, performance_of, performance_request, performance_with
from gke_llm_inference.planning.trials import exchangeable_model, tried
from gke_llm_inference.settings.node_pools import MOST_NODES
from gke_llm_inference.settings.servers import MOST_REPLICAS

if TYPE_CHECKING:
    from gke_llm_inference.planning.memory import MemoryPlan
    from gke_llm_inference.planning.performance.plan import PerformancePlan
    from gke_llm_inference.planning.stages import PlacedServer

_SHOWN = 3
_MOST_TRIED = 8


@dataclass(frozen=True)
class FasterTrials:
    """Proposals for servers of a stack; servers that are alike are tried once."""

    known: dict[str, tuple[FasterAlternative, ...]] = field(default_factory=dict)

    def __call__(self, server: PlacedServer, plan: PerformancePlan) -> tuple[FasterAlternative, ...]:
        """Up to three changes with which the server is planned and meets its objectives, cheapest first.

        What meets them with the error band to spare comes before what may meet them.
        """
        key = server.own.model_dump_json()
        if key not in self.known:
            self.known[key] = tuple(_best(_tried(server, plan)))
        return self.known[key]


def _best(found: list[FasterAlternative]) -> list[FasterAlternative]:
    """Those that are worth a word: none that costs as much as one that is surer, or that changes less."""

    def order(one: FasterAlternative) -> tuple[bool, float]:
        return one.performance.verdict != "meets", _price(one)

    # Of what costs the same on the same GPUs the first changes least; no more is paid there than for replicas alone.
    plain = {_on(one): _price(one) for one in found if _is_plain(one)}
    alike: dict[object, FasterAlternative] = {}
    for one in found:
        if _is_plain(one) or one.usd_per_hour is None or _price(one) < plain.get(_on(one), math.inf):
            alike.setdefault((_on(one), one.usd_per_hour), one)
    sure = min((_price(one) for one in found if one.performance.verdict == "meets"), default=math.inf)
    kept = [
        one for one in alike.values() if one.performance.verdict == "meets" or _price(one) < sure or sure == math.inf
    ]
    return sorted(kept, key=order)[:_SHOWN]


def _on(one: FasterAlternative) -> object:
    """The GPUs of a proposal and how sure it is: what else it changes is worth only what it saves."""
    return one.accelerator, one.gpus, one.performance.verdict


def _is_plain(one: FasterAlternative) -> bool:
    """Whether it changes replicas alone."""
    return all(name == "replicas" for name, _ in one.changes)


def _price(one: FasterAlternative) -> float:
    return one.usd_per_hour if one.usd_per_hour is not None else math.inf


def _tried(server: PlacedServer, plan: PerformancePlan) -> list[FasterAlternative]:
    """Proposals that the planner passes and that are fast enough; the cheapest are tried first."""
    found: list[FasterAlternative] = []
    for candidate, memory in _promising(server)[:_MOST_TRIED]:
        one = _faster(server, plan, candidate, memory)
        if one is not None:
            found.append(one)
        if sum(one.performance.verdict == "meets" for one in _best(found)) == _SHOWN:
            break
    return found


def _promising(server: PlacedServer) -> list[tuple[Candidate, MemoryPlan]]:
    """Changes that start and whose lone requests are fast enough, the cheapest first."""
    from gke_llm_inference.planning.performance.plan import Price

    assert server.memory is not None
    catalog, asked = server.stack.catalog, performance_request(server)
    found = []
    for place, candidate in enumerate(faster_candidates(server.memory.request, catalog, exchangeable_model(server))):
        memory = passing(candidate, catalog)
        if memory is None:
            continue
        usd = _usd(candidate, server)
        replicas = server.stack.speeds.least_replicas(
            candidate.request,
            memory.state.kv_cache_tokens,
            memory.limits.max_model_len,
            replace(asked, price=Price(usd_per_hour=usd)),
            basis_of(server, candidate.request)[0],
            catalog,
        )
        if replicas is not None:
            found.append((replicas * (usd or math.inf), place, candidate, memory))
    return [(candidate, memory) for *_, candidate, memory in sorted(found, key=lambda one: one[:2])]


def _usd(candidate: Candidate, server: PlacedServer) -> float | None:
    """List price of the cheapest machine of a candidate, sold as the server's own."""
    catalog, request = server.stack.catalog, candidate.request
    machines = candidates(request.accelerator or "", request.tensor_parallel, catalog)
    prices = catalog.price(machines[0], server.stack.cluster.region)[0] if machines else None
    provisioning = server.settings.tiers[0] if server.pool is None else server.pool.settings.provisioning
    if prices is None:
        return None
    return prices.spot if provisioning.model == "spot" else prices.on_demand


def _faster(
    server: PlacedServer, plan: PerformancePlan, candidate: Candidate, memory: MemoryPlan
) -> FasterAlternative | None:
    """A change with its plan; None where the planner refuses it or it misses the objectives."""
    replicas = plan.replicas
    if plan.workload.asked:
        needed = performance_with(server, memory).needed
        if needed is None or (needed == replicas and not candidate.changes):
            return None
        if needed > MOST_REPLICAS:
            return None
        if needed != replicas and server.settings.autoscaling is not None:
            return None  # its bounds say how far it goes
        replicas = needed
    elif not candidate.changes:
        return None
    changed = candidate.changes if replicas == plan.replicas else (*candidate.changes, ("replicas", replicas))
    trial, max_nodes = tried(server, changed), None
    if trial is None and server.pool is not None and replicas > plan.replicas:
        max_nodes = (server.pool.key, server.pool.settings.max_nodes + replicas - plan.replicas)
        trial = tried(_with_nodes(server, *max_nodes), changed) if max_nodes[1] <= MOST_NODES else None
    if trial is None or trial.server.settings.accelerator.type not in server.stack.catalog.performance.gpus:
        return None
    found = performance_of(trial.server)
    if found.verdict == "misses":
        return None
    usd, accelerator = found.price.usd_per_hour, trial.server.settings.accelerator
    count = f"{replicas:,} replica{'s' if replicas != 1 else ''}" if replicas != plan.replicas else ""
    assert trial.server.memory is not None
    # A calibration of the server as it is would be refused with the change.
    unmeasured = "no calibration" if basis_of(trial.server, trial.server.memory.request)[1] else ""
    return FasterAlternative(
        what=" and ".join(filter(None, (candidate.what, count, unmeasured))),
        changes=trial.changes,
        accelerator=accelerator.type,
        gpus=accelerator.count,
        machine_type=trial.machine,
        usd_per_hour=None if usd is None else usd * max(1, replicas),
        performance=found,
        node_pool=trial.node_pool,
        max_nodes=max_nodes if trial.node_pool is None else None,
    )


def _with_nodes(server: PlacedServer, key: str, max_nodes: int) -> PlacedServer:
    """The server in a stack whose pool may have so many nodes."""
    pools = server.stack.pools
    pool = pools[key].model_copy(update={"max_nodes": max_nodes})
    return replace(server, stack=replace(server.stack, pools={**pools, key: pool}))
