"""Tries what would fit instead of a server that does not: every proposal is planned as a server of its own."""

from dataclasses import dataclass, field, replace
from typing import Any

from pydantic.alias_generators import to_snake

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning import steps
from gke_llm_inference.planning.alternatives import Alternative, alternatives, on_more_nodes, rank
from gke_llm_inference.planning.capacity_tiers.asked import machine_tiers, makes_nodes
from gke_llm_inference.planning.flow import Findings
from gke_llm_inference.planning.machines import candidates, holds
from gke_llm_inference.planning.memory import MemoryPlan
from gke_llm_inference.planning.node_pools import check_pools
from gke_llm_inference.planning.placement import place
from gke_llm_inference.planning.pods import pod_request
from gke_llm_inference.planning.stages import AskedServer, CommandedServer, PlacedServer, SizedServer
from gke_llm_inference.settings import (
    AcceleratorSettings,
    ExistingCluster,
    Finding,
    NodePoolSettings,
    ProvisioningSettings,
    ServerSettings,
)
from gke_llm_inference.settings.findings import problems_of

Changes = tuple[tuple[str, str | int | float | bool], ...]
"""Settings of a server by their names in the configuration."""


@dataclass(frozen=True)
class Trials:
    """Proposals for servers of a stack; servers that are alike are tried once."""

    known: dict[str, tuple[Alternative, ...]] = field(default_factory=dict)

    def __call__(self, server: CommandedServer, plan: MemoryPlan) -> tuple[Alternative, ...]:
        """Changes with which the server is planned without a problem, cheapest first."""
        key = server.own.model_dump_json()
        if key not in self.known:
            found = (
                _tried(server, one)
                for one in alternatives(plan.request, server.stack.catalog, model=exchangeable_model(server))
            )
            fitting = [one for one in found if one is not None]
            spread = (_tried(server, one) for one in on_more_nodes(plan.request, server.stack.catalog, fitting))
            fitting += [one for one in spread if one is not None]
            self.known[key] = tuple(sorted(fitting, key=lambda one: rank(one, plan.request)))
        return self.known[key]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A server with changes, planned up to its place.

    Attributes:
        changes: settings of the server by their names in the configuration, its node pool among them.
        machine: machine that it is planned for; None where the nodes are not known.
        node_pool: a node pool that the stack would have to have as well; None if none.

    """

    server: PlacedServer
    changes: Changes
    machine: str | None
    node_pool: tuple[str, NodePoolSettings] | None


def exchangeable_model(server: CommandedServer) -> str | None:
    """The model for which other checkpoints may be proposed; none for one that lies elsewhere than at Hugging Face."""
    return server.own.model if server.own.downloads else None


def _tried(server: CommandedServer, change: Alternative) -> Alternative | None:
    """The proposal with the machine that it is planned for; None where the planner refuses it."""
    sized = _sized_with(server, change.changes)
    if sized is None:
        return None
    if not server.stack.pools_are_sound:
        return change  # what runs where is not known before the pools are right
    trial = _placed(server, sized, change.changes)
    if trial is None:
        return None
    return replace(
        change,
        changes=trial.changes,
        machine_type=trial.machine,
        usd_per_hour=_times(sized.settings.nodes, _on_demand(trial.machine, server.stack.catalog)),
        node_pool=trial.node_pool,
    )


def tried(server: CommandedServer, changes: Changes) -> Trial | None:
    """The server with changes; None where the planner refuses it, or where no place can be known."""
    sized = _sized_with(server, changes)
    if sized is None or not server.stack.pools_are_sound:
        return None
    return _placed(server, sized, changes)


def _sized_with(server: CommandedServer, changes: Changes) -> SizedServer | None:
    """The server with changes up to its pod; None where the planner refuses it, or where it does not start."""
    settings = changed(server.own, dict(changes))
    if settings is None:
        return None
    sized = _sized_alone(AskedServer(key=server.key, settings=settings, stack=server.stack))
    return None if isinstance(sized, Finding) else sized


def _placed(server: CommandedServer, sized: SizedServer, changes: Changes) -> Trial | None:
    """The place of a server with changes; None where it finds none."""
    found = _placed_alone(sized)
    if isinstance(found, Finding):
        return None
    placed, pool = found
    machine = _machine(placed)
    if machine is None and sized.settings.accelerator.type in sized.stack.catalog.accelerators:
        return None
    return Trial(
        server=placed,
        changes=(*changes, *((("nodePool", pool[0]),) if pool and server.own.node_pool else ())),
        machine=machine,
        node_pool=pool,
    )


def refusal_alone(asked: AskedServer, provisioning: ProvisioningSettings) -> Finding | None:
    """Why the planner refuses a server that is planned without the others; None where it passes.

    Args:
        asked: the server.
        provisioning: how the machines of a node pool are provisioned that the stack would have to have as well.

    """
    sized = _sized_alone(asked)
    if isinstance(sized, Finding):
        return sized
    if not asked.stack.pools_are_sound:
        return None  # what runs where is not known before the pools are right
    placed = _placed_alone(sized, provisioning)
    return placed if isinstance(placed, Finding) else None


def _sized_alone(asked: AskedServer) -> SizedServer | Finding:
    """The server up to its pod, or the first problem."""
    findings: Findings = []
    alone = replace(asked.stack, propose=None, propose_faster=None, choose=None)
    sized = _sized(replace(asked, stack=alone), findings)
    problems = problems_of(findings)
    if problems or sized is None or sized.memory is None or not sized.memory.starts:
        return problems[0] if problems else _no_room(asked)
    return sized


def _placed_alone(
    sized: SizedServer, provisioning: ProvisioningSettings | None = None
) -> tuple[PlacedServer, tuple[str, NodePoolSettings] | None] | Finding:
    """The place of a server without the others, with the node pool that the stack would have to have as well."""
    stack = sized.stack
    added: dict[str, NodePoolSettings] = {}
    if _needs_pool(sized):
        added = _pool_for(sized, provisioning)
        sized = replace(
            sized,
            settings=sized.settings.model_copy(update={"node_pool": None}),
            stack=replace(stack, pools={**stack.pools, **added}),
        )
        problems = problems_of(check_pools(added, stack.cluster, stack.catalog)[1])
        if problems:
            return problems[0]
    placement = place([sized], sized.stack)
    problems = problems_of(placement.findings)
    if problems or not placement.servers:
        return problems[0] if problems else _no_room(sized)
    return placement.servers[0], next(iter(added.items()), None)


def _no_room(asked: AskedServer) -> Finding:
    return Finding(path=asked.path, what="does not fit", why="its memory or its place has no room", fix="")


def changed(own: ServerSettings, changes: dict[str, Any]) -> ServerSettings | None:
    """A server's settings with changes; None where they do not go with the others."""
    if "model" in changes and (own.revision or own.architecture or own.config_file):
        return None  # they are those of the model that is exchanged
    update: dict[str, Any] = {"allow_unfit": False}
    gpus: dict[str, Any] = {}
    for name, value in changes.items():
        if name.startswith("accelerator."):
            gpus[to_snake(name.removeprefix("accelerator."))] = value
        else:
            update[to_snake(name)] = value
    if gpus and any(tier.machine_type or tier.accelerator for _, tier in machine_tiers(own)):
        return None  # the tiers name their GPUs
    if gpus:
        forgotten = {"choices": (), **({"memory_mib": None} if "type" in gpus else {})}
        update["accelerator"] = own.accelerator.model_copy(update={**forgotten, **gpus})
    # Presets leave alone what the stack states: a change is stated.
    changed = type(own).model_validate({**own.model_dump(exclude_unset=True), **_plain(update)})
    return changed if own.measured_speed is None else changed.calibrated_by(own.measured_speed)


def _plain(update: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.model_dump(exclude_unset=True) if key == "accelerator" else value for key, value in update.items()
    }


def _sized(asked: AskedServer, findings: Findings) -> SizedServer | None:
    """The server after the steps up to its pod; None where one of them ends its way."""
    modeled = steps.model(asked, findings)
    if modeled is None or problems_of(findings):
        return None
    limited = steps.limits(steps.presets(modeled, findings), findings)
    return steps.pod(steps.memory(steps.arguments(limited, findings), findings), findings)


def _needs_pool(server: SizedServer) -> bool:
    """Whether the stack has to have one more node pool for the server's GPUs."""
    stack, asked = server.stack, server.settings
    if makes_nodes(asked, stack.cluster.profile):
        return False
    if stack.cluster.profile == "autopilot" or (
        not stack.pools and isinstance(stack.cluster.settings, ExistingCluster)
    ):
        return False
    pools = stack.pools if asked.node_pool is None else {asked.node_pool: stack.pools.get(asked.node_pool)}
    return not any(
        pool is not None
        and pool.accelerator.type == asked.accelerator.type
        and pool.accelerator.count >= asked.accelerator.count
        for pool in pools.values()
    )


def _pool_for(server: SizedServer, provisioning: ProvisioningSettings | None = None) -> dict[str, NodePoolSettings]:
    """A pool for the server's GPUs, otherwise like the one that it would have without the change."""
    asked, pools = server.settings, server.stack.pools
    like = pools.get(asked.node_pool or "") or next(iter(pools.values()), NodePoolSettings())
    key = f"{asked.accelerator.type.removeprefix('nvidia-')}-x{asked.accelerator.count}"
    pool = NodePoolSettings(
        accelerator=AcceleratorSettings(type=asked.accelerator.type, count=asked.accelerator.count),
        max_nodes=max(1, asked.most_pods),
        provisioning=provisioning or like.provisioning,
        disk_size_gb=like.disk_size_gb,
        taints=like.taints,
    )
    return {key: pool}


def _machine(server: PlacedServer) -> str | None:
    """The machine of the server's pool; without one the cheapest that holds its pod and is sold as it asks."""
    if server.pool is not None:
        return server.pool.machine_type
    catalog, asked = server.stack.catalog, server.settings
    need = pod_request(server.resources)
    sold = server.stack.cluster.profile == "autopilot"
    for name in candidates(asked.accelerator.type, asked.accelerator.count, catalog):
        machine = catalog.machine_types[name]
        if holds(machine, need, catalog) and (not sold or asked.tiers[0].model in machine.provisioning):
            return name
    return None


def _times(nodes: int, usd: float | None) -> float | None:
    return None if usd is None else nodes * usd


def _on_demand(machine: str | None, catalog: Catalog) -> float | None:
    prices = catalog.machine_types[machine].usd_per_hour if machine else None
    return prices.on_demand if prices else None
