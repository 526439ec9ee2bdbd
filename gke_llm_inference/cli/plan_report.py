"""A plan for people and programs: a table with a memory bar, or the same as JSON."""

import math
from collections.abc import Iterator
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.cli.access_report import access_document, access_lines, gateway_document
from gke_llm_inference.cli.autoscaling_report import adapter_document, autoscaling_document, autoscaling_lines
from gke_llm_inference.cli.capacity_report import capacity_document, capacity_lines
from gke_llm_inference.cli.choice_report import choice_document, choice_lines
from gke_llm_inference.cli.cost_report import in_usd, noted, stack_cost_document, stack_cost_lines
from gke_llm_inference.cli.flows_report import UNGUARDED, enforced
from gke_llm_inference.cli.model_source_report import model_source_document
from gke_llm_inference.cli.model_store_report import model_store_document, model_store_lines
from gke_llm_inference.cli.observability_report import (
    alert_lines,
    alerts_document,
    dashboard_lines,
    metrics_document,
    metrics_lines,
    not_watched_document,
    stack_lines,
    tracing_document,
    tracing_lines,
)
from gke_llm_inference.cli.performance_report import performance_document, performance_lines
from gke_llm_inference.cli.pod_report import patch_document, patch_lines, pod_document, pod_lines
from gke_llm_inference.cli.registry_report import registry_document, registry_lines
from gke_llm_inference.planning.alternatives import Alternative
from gke_llm_inference.planning.cost import Cost, pool_cost, server_cost, total_cost, usd_per_million_tokens
from gke_llm_inference.planning.groups.plan import GroupPlan
from gke_llm_inference.planning.memory import MemoryPlan
from gke_llm_inference.planning.memory.result import floored
from gke_llm_inference.planning.network_policy.flows import DIRECTIONS
from gke_llm_inference.planning.node_pools import least_running_nodes, running_nodes
from gke_llm_inference.planning.plan import ServerPlan, StackPlan
from gke_llm_inference.planning.pod.patch_plan import ARROW
from gke_llm_inference.planning.quota import stack_quota_needs
from gke_llm_inference.planning.stack_cost import stack_cost
from gke_llm_inference.settings import Finding
from gke_llm_inference.terminal import Look, printable, wrapped

_INDENT = " " * 13
_BAR_WIDTH = 56
_START_TITLES = {
    "download": "download",
    "load": "load",
    "process": "server",
    "compile": "compilation",
    "graphs": "CUDA graphs",
}
_BAR_PARTS = (
    ("weightsGib", "weights", "█", "#"),
    ("activationGib", "activations", "▓", "="),
    ("cudaGraphsGib", "CUDA graphs", "▒", "+"),
    ("nonTorchGib", "non-torch", "▚", "%"),
    ("kvCacheGib", "KV cache", "░", "."),
)
"""Parts of a GPU's memory, each with the sign that it has in the bar, and with the one of a terminal without it."""


def stack_document(plan: StackPlan, catalog: Catalog, only: str | None = None) -> dict[str, Any]:
    """The plan of a stack as plain data for JSON.

    Args:
        plan: the plan.
        catalog: the facts that it was made with.
        only: name of the one server to report on; all if None.

    """
    costs = _costs(plan, catalog)
    return {
        "region": plan.cluster.region,
        "servers": {
            server.key: _server_document(server, plan, costs[server.key], catalog)
            for server in plan.servers
            if only in (None, server.key)
        },
        "gateways": gateway_document(plan.access),
        "metricsAdapter": adapter_document(plan.metrics_adapter),
        "imageRegistry": registry_document(plan.image_registry),
        "modelStore": model_store_document(plan.model_store),
        "bootDiskAllowlist": list(plan.boot_disk_allowlist.patterns) if plan.boot_disk_allowlist else None,
        "dashboards": [one.title for one in plan.observability.dashboards],
        "alerts": {
            "ofCluster": alerts_document(None, plan.observability),
            "notificationChannels": list(plan.observability.channels),
        },
        "cost": _cost_document(_total(plan, catalog), catalog),
        "stackCost": stack_cost_document(stack_cost(plan, catalog)),
        "quota": [
            {"name": need.name, "running": need.running, "largest": need.largest}
            for need in stack_quota_needs(plan, catalog)
        ],
        "warnings": [_finding_document(warning) for warning in plan.warnings],
    }


def stack_text(plan: StackPlan, catalog: Catalog, only: str | None = None, look: Look | None = None) -> str:
    """The plan of a stack as text of the terminal's width, with what goes beyond below its values."""
    look = look or Look()
    costs = _costs(plan, catalog)
    lines: list[str] = []
    for server in plan.servers:
        if only in (None, server.key):
            lines += [*_server_lines(server, costs[server.key], plan, catalog, look), ""]
    total = _total(plan, catalog)
    lines += [f"GPUs{': ' if total.hourly_usd is None else ' cost '}{noted(total, in_usd(total))}"]
    lines += stack_cost_lines(stack_cost(plan, catalog), look.times)
    lines += [
        f"Quota {need.name}: {need.running} running, {need.largest} max" for need in stack_quota_needs(plan, catalog)
    ]
    lines += registry_lines(plan.image_registry)
    lines += model_store_lines(plan.model_store)
    if plan.boot_disk_allowlist:
        lines += [f"Nodes may start with the disk image {one}" for one in plan.boot_disk_allowlist.patterns]
    lines += dashboard_lines(plan.observability)
    lines += stack_lines(plan.observability)
    if plan.warnings:
        lines += ["", "Warnings", *(f"  {line}" for warning in plan.warnings for line in str(warning).splitlines())]
    shown = (printable(line).replace(ARROW, look.arrow) for line in lines)
    return "".join(f"{part}\n" for line in shown for part in wrapped(line, rest=_INDENT) or [""])


def _group_document(group: GroupPlan) -> dict[str, Any]:
    return {"nodes": group.nodes, "layers": list(group.layers), "tensorParallel": group.tensor_parallel}


def _server_document(server: ServerPlan, plan: StackPlan, cost: Cost, catalog: Catalog) -> dict[str, Any]:
    memory = server.memory
    resources = server.resources
    prefix = f"servers.{server.key}"
    return {
        "task": server.task,
        "model": server.model,
        "adapters": {one.name: {"id": one.id, "revision": one.revision, "rank": one.rank} for one in server.adapters},
        "revision": server.revision,
        "server": server.kind,
        "version": server.version,
        "image": server.image,
        "replicas": server.replicas,
        **({"group": _group_document(server.group)} if server.group else {}),
        "autoscaling": autoscaling_document(server.autoscaling),
        "verdict": memory.verdict if memory else None,
        "memory": _memory_document(memory) if memory else None,
        "placement": {
            "machineType": server.machine_type,
            "nodePool": server.node_pool,
            "gpuType": server.gpu_type,
            "gpus": server.gpu_count,
            "cpu": resources.pod_cpu_millicores / 1000,
            "memoryGib": resources.pod_memory_gib,
            "ephemeralGib": resources.ephemeral_storage_gib,
        },
        "modelSource": model_source_document(server),
        "capacity": capacity_document(server),
        "startup": {
            "expectedSeconds": server.start.expected_seconds,
            "budgetSeconds": server.probes.startup_seconds,
            "newNodeSeconds": server.start.new_node_seconds,
            "laterNodeSeconds": server.start.later_node_seconds,
            "restartSeconds": server.start.restart_seconds,
            "parts": [
                {
                    "part": part.key,
                    "seconds": math.ceil(part.seconds),
                    "restartSeconds": math.ceil(part.restart_seconds),
                    "laterSeconds": math.ceil(part.seconds if part.later_seconds is None else part.later_seconds),
                    "why": part.why,
                    "basis": part.basis,
                    "source": part.source,
                }
                for part in server.start.parts
            ],
            "progressDeadlineSeconds": server.rollout.progress_deadline_seconds,
            "graceSeconds": server.shutdown.grace_seconds,
        },
        "shutdown": {
            "sleepSeconds": server.shutdown.sleep_seconds,
            "timeoutSeconds": server.shutdown.timeout_seconds,
            "graceSeconds": server.shutdown.grace_seconds,
            "answerSeconds": server.shutdown.answer_seconds,
            "afterSignal": server.shutdown.after,
            "longestAnswer": {
                "tokens": server.shutdown.longest.tokens,
                "tokenMs": round(server.shutdown.longest.token_ms, 1),
                "seconds": server.shutdown.longest.seconds,
                "basis": server.shutdown.longest.basis,
            },
        },
        "rollout": {
            "strategy": server.rollout.strategy,
            "maxSurge": server.rollout.max_surge,
            "maxUnavailable": server.rollout.max_unavailable,
            "reason": server.rollout.reason,
        },
        "pod": pod_document(server.pod),
        "podPatch": patch_document(server.pod_patch),
        "networkPolicy": {
            "enforced": enforced(server),
            **{direction: list(server.network_policy.features(direction)) for direction in DIRECTIONS},
        }
        if server.network_policy
        else None,
        "cost": {
            **_cost_document(cost, catalog),
            "usdPerMillionTokens": _rounded(
                usd_per_million_tokens(cost, server.replicas, server.measured_tokens_per_second)
            ),
        },
        "access": access_document(server, plan.access),
        "metrics": metrics_document(server, plan.observability),
        "tracing": tracing_document(server),
        "alerts": alerts_document(server.key, plan.observability),
        "notWatched": not_watched_document(server.key, plan.observability),
        "args": list(server.all_arguments),
        "env": dict(server.environment),
        "decisions": [str(decision) for decision in server.decisions],
        "choice": choice_document(server.choice),
        "warnings": [
            _finding_document(warning)
            for warning in plan.warnings
            if warning.path == prefix or warning.path.startswith(f"{prefix}.")
        ],
        "alternatives": [
            {
                "what": one.what,
                "changes": dict(one.changes),
                "nodePool": None if one.node_pool is None else one.node_pool[0],
                "verdict": one.plan.verdict,
                "largestContext": one.plan.largest_context,
                "gpus": one.gpus,
                "machineType": one.machine_type,
                "usdPerHour": _alternative_usd(one, plan.cluster.region, catalog),
            }
            for one in server.alternatives
        ],
        "performance": None if server.performance is None else performance_document(server.performance, server.faster),
    }


def _memory_document(memory: MemoryPlan) -> dict[str, Any]:
    return {
        **memory.gib(),
        "kvCacheTokens": memory.state.kv_cache_tokens,
        "blocks": memory.state.blocks,
        "kvBytesPerToken": memory.kv_bytes_per_token,
        "largestContext": memory.largest_context,
        "askedContext": memory.limits.max_model_len,
        "contextNote": memory.context_note,
        "maxConcurrency": floored(memory.state.max_concurrency, 2),
        "coldStart": {"verdict": memory.cold.verdict, "kvCacheTokens": memory.cold.kv_cache_tokens},
        "restart": {"verdict": memory.warm.verdict, "kvCacheTokens": memory.warm.kv_cache_tokens},
        "errorBandGib": round(memory.error_margin_mib / 1024, 3),
        "calibrated": memory.calibrated,
        "reason": memory.reason,
        "notes": list(memory.notes),
    }


def _cost_document(cost: Cost, catalog: Catalog) -> dict[str, Any]:
    return {
        "hourlyUsd": _rounded(cost.hourly_usd),
        "monthlyUsd": _rounded(cost.monthly_usd),
        "idleHourlyUsd": _rounded(cost.idle_hourly_usd),
        "leastHourlyUsd": _rounded(cost.hourly_usd if cost.least_hourly_usd is None else cost.least_hourly_usd),
        "priceDate": catalog.prices.date,
        "priceRegion": cost.region,
        "note": cost.note,
    }


def _finding_document(finding: Finding) -> dict[str, str]:
    return {"path": finding.path, "what": finding.what, "why": finding.why, "fix": finding.fix}


def _server_lines(server: ServerPlan, cost: Cost, plan: StackPlan, catalog: Catalog, look: Look) -> Iterator[str]:
    resources, region = server.resources, plan.cluster.region
    yield f"{server.key}: {server.kind} {server.version}, {server.model}"
    if server.adapters:
        yield f"  adapters   {', '.join(f'{one.name} (rank {one.rank})' for one in server.adapters)}"
    count = f"{server.replicas}" if server.autoscaling is None else f"{server.least_replicas} to {server.replicas}"
    machines = f"{server.group.nodes} machines with {server.gpu_count}" if server.group else f"{server.gpu_count}"
    yield f"  replicas   {count}, each on {machines} {look.times} {server.gpu_type}"
    if server.memory is not None:
        yield from _memory_lines(server.memory, look)
    machine = server.machine_type or "a node of the cluster"
    yield (
        f"  machine    {machine}: pod of {resources.pod_cpu_millicores / 1000:g} vCPU, {resources.pod_memory_gib} GiB, "
        f"{resources.ephemeral_storage_gib} GiB storage"
    )
    yield from capacity_lines(server)
    yield from _start_lines(server)
    if server.group is not None:
        yield f"  group      {server.group.summary}"
    yield f"  rollout    {server.rollout.strategy}: {server.rollout.reason}"
    yield from autoscaling_lines(server.autoscaling)
    yield f"  network    {_network(server)}"
    yield from access_lines(server, plan.access)
    yield from metrics_lines(server, plan.observability)
    yield from tracing_lines(server)
    yield from alert_lines(server, plan.observability)
    yield from pod_lines(server.pod)
    yield from patch_lines(server.pod_patch)
    dated = f", {cost.region}, {catalog.prices.date}" if cost.region else ""
    yield f"  cost       {noted(cost, in_usd(cost) + dated, '; {}')}"
    for index, one in enumerate(server.alternatives):
        usd = _alternative_usd(one, region, catalog)
        price = f", {usd:.2f} USD an hour" if usd is not None else ""
        yield f"  {'instead' if not index else '':<10} {one.what}: {one.plan.verdict}{price}"
    per_million = usd_per_million_tokens(cost, server.replicas, server.measured_tokens_per_second)
    if per_million is not None:
        measured = f"the measured {server.measured_tokens_per_second:g} a second"
        yield f"  tokens     {per_million:.2f} USD a million, at {measured}"
    if server.performance is not None:
        yield from performance_lines(server.performance, server.faster)
    yield from (
        f"  {'decided' if not index else ''!s:<10} {decision}" for index, decision in enumerate(server.decisions)
    )
    yield from choice_lines(server.choice)


def _start_lines(server: ServerPlan) -> Iterator[str]:
    start = server.start
    node, image = start.part("node"), start.part("imagePull")
    inside = [
        f"{_START_TITLES[part.key]} {math.ceil(part.seconds)}" for part in start.parts if part.key in _START_TITLES
    ]
    parts, allowed = ", ".join(inside), server.probes.startup_seconds
    yield f"  start      {start.expected_seconds} s expected: {parts}; {allowed} s allowed"
    yield (
        f"  new node   {start.new_node_seconds} s: node {math.ceil(node.seconds)}, image {math.ceil(image.seconds)} "
        f"({image.why}), then the start"
    )
    if server.compile_cache:
        kept = server.compile_cache
        yield f"  later      {start.later_node_seconds} s on a new node, with what earlier pods compiled"
        yield f"             {kept.key} on {kept.place}"
    yield f"  restart    {start.restart_seconds} s in the same pod"
    yield f"  shutdown   {server.shutdown.summary}"
    yield f"             {server.shutdown.longest_summary}"


def _network(server: ServerPlan) -> str:
    """What a server's policies allow, in the words of the table of flows."""
    if server.network_policy is None:
        return UNGUARDED
    into, out = (", ".join(server.network_policy.features(direction)) for direction in DIRECTIONS)
    rest = "all else is denied" if server.network_policy.enforced else "all else is denied, if policies are enforced"
    return f"in: {into}; out: {out}; {rest}"


def memory_bar(memory: MemoryPlan, look: Look) -> str:
    """The parts of a GPU's memory as a bar."""
    parts = memory.gib()
    bar = ""
    for name, _, sign, plain in _BAR_PARTS:
        share = max(0.0, parts[name]) / parts["gpuMemoryGib"]
        bar += (plain if look.ascii_only else sign) * round(_BAR_WIDTH * share)
    return f"[{bar[:_BAR_WIDTH]:<{_BAR_WIDTH}}]"


def _memory_lines(memory: MemoryPlan, look: Look) -> Iterator[str]:
    parts = memory.gib()
    total = parts["gpuMemoryGib"]
    yield f"  GPU memory {memory_bar(memory, look)}"
    pools = memory.request.pooling
    for name, title, sign, plain in _BAR_PARTS[: -1 if pools else None]:
        yield f"    {plain if look.ascii_only else sign} {title:<12}{parts[name]:>7.2f} GiB"
    yield f"      usable      {parts['usableGib']:>7.2f} of {total:.2f} GiB"
    state = memory.state
    yield f"  verdict    {memory.verdict}" + (f": {memory.reason}" if memory.reason else "")
    if pools:
        yield f"  inputs     {memory.limits.max_model_len:,} tokens each, {memory.largest_context:,} max"
        yield f"  a step     {memory.limits.max_num_seqs:,} inputs, {memory.limits.max_num_batched_tokens:,} tokens"
    else:
        yield f"  KV cache   {state.kv_cache_tokens:,} tokens, {memory.warm.kv_cache_tokens:,} after a restart"
        yield (
            f"  context    {memory.limits.max_model_len:,} requested, {memory.largest_context:,} max; "
            f"{floored(state.max_concurrency)} requests at once"
        )
    if memory.context_note:
        yield f"             {memory.context_note}"
    if not memory.calibrated:
        yield "             estimated: this server, version and number of GPUs were not measured"


def _costs(plan: StackPlan, catalog: Catalog) -> dict[str, Cost]:
    pools = {pool.key: pool for pool in plan.node_pools}
    return {
        server.key: server_cost(server, pools.get(server.node_pool or ""), plan.cluster, catalog)
        for server in plan.servers
    }


def _total(plan: StackPlan, catalog: Catalog) -> Cost:
    if plan.node_pools:
        costs = [
            pool_cost(
                pool,
                running_nodes(pool, plan.servers),
                plan.cluster,
                catalog,
                least_nodes=least_running_nodes(pool, plan.servers),
            )
            for pool in plan.node_pools
        ]
        servers = _costs(plan, catalog)
        costs += [servers[server.key] for server in plan.servers if server.node_pool is None]
    else:
        costs = list(_costs(plan, catalog).values())
    return total_cost(costs)


def _alternative_usd(one: Alternative, region: str | None, catalog: Catalog) -> float | None:
    """USD per hour on demand of an alternative's machines, in the region's prices where there are any."""
    prices = catalog.price(one.machine_type, region)[0] if one.machine_type else None
    return int(dict(one.changes).get("nodes", 1)) * prices.on_demand if prices else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
