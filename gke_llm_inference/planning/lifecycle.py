"""How a server's pods end without cutting answers, as far as the machine and the server's version let them.

A pod that is deleted leaves the Service's endpoints and sleeps meanwhile, gets SIGTERM, drains and is killed when its
grace period is over. A server that waits for running answers after SIGTERM is told how long; where it does not, the
sleep has to cover them, as nothing tells the server that it is about to end.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gke_llm_inference.catalog.facts import ShutdownLimits
from gke_llm_inference.catalog.shutdown_facts import Drain, ServerShutdown
from gke_llm_inference.planning.memory.request import limits_of
from gke_llm_inference.planning.node_shutdown import NodeShutdown
from gke_llm_inference.planning.performance.timer import step_timer
from gke_llm_inference.planning.plan import AnswerBasis, ClusterPlan, LongestAnswer, ShutdownPlan
from gke_llm_inference.planning.stages import WeighedServer
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, NodePoolSettings, ServerSettings

# From the last answer to the end of the process: KServe leaves 5 s for it (kserve/kserve#5496), and more never hurts.
_EXIT_SECONDS = 10
# On Spot every second counts: a server that is killed after its last answer loses none.
_SPOT_EXIT_SECONDS = 2
# Of what Spot gives, the share that goes to endpoints before answers are waited for.
_SPOT_SLEEP_SHARE = 1 / 3
# A pod that sleeps through its drain holds its GPU to the end, even if nothing runs: two minutes in all, unless asked.
_LONGEST_SLEEPING_GRACE = 120
# Prompts that come in slow down the answers that run; a time that is too long costs nothing where the server waits, as
# it ends with the last answer.
_MARGIN = 1.5
# Coarse, so that a new fit of the prediction restarts no pods.
_STEP_SECONDS = 30
_ASSUMED_TOKEN_MS = 100.0
# Of an input that is embedded or ranked. Qwen3 Embedding 4B took 0.02 ms a token on an H200 with 8,192 in a step; an L4
# computes a tenth of that, and a request may wait for others.
_POOLED_TOKEN_MS = 1.0


@dataclass(frozen=True, kw_only=True)
class PodEnd:
    """Where a pod ends.

    Attributes:
        spot: whether its machine may be taken back.
        extended: whether its node pool may give it longer than GKE does by default.
        gateway: whether a load balancer outside of the cluster sends it requests.
        longer: whether its Spot machines take as long as they can, whatever it asks for.

    """

    spot: bool
    extended: bool = False
    gateway: bool = False
    longer: bool = False


def drain_of(version: str, facts: ServerShutdown) -> Drain:
    """What a version of a server does after SIGTERM."""
    known = [one for one in facts.drains if version_parts(one.since) <= version_parts(version)]
    return known[-1] if known else facts.drains[0]


def longest_answer(server: WeighedServer) -> LongestAnswer:
    """The longest answer that a server's limits allow: its tokens times what one takes while the server is full.

    A server is full when it decodes as many sequences as a batch may have, with the whole KV cache read in every step.
    """
    settings, catalog = server.settings, server.stack.catalog
    limits = server.memory.limits if server.memory else limits_of(server.request, catalog.memory)
    tokens = min(settings.max_output_tokens or limits.max_model_len, limits.max_model_len)
    gpu = catalog.performance.gpus.get(settings.accelerator.type)
    objective = settings.objectives.tpot if settings.objectives else None
    if settings.pools:
        return _answer(limits.max_model_len, _POOLED_TOKEN_MS, "assumed")
    if gpu is not None and server.memory is not None and server.memory.state.kv_cache_tokens > 0:
        pool = server.memory.state.kv_cache_tokens
        sequences = max(1, min(limits.max_num_seqs, pool))
        timer = step_timer(server.request, gpu, catalog.memory, catalog.performance)
        stages = server.request.pipeline_parallel  # a token visits them one after the other
        token_ms = max(stages * timer.gpu_ms(sequences, pool, 0, 0, 0), timer.host_ms(sequences, 0))
        return _answer(tokens, token_ms, "predicted")
    if objective is not None:
        return _answer(tokens, objective.milliseconds, "stated")
    return _answer(tokens, _ASSUMED_TOKEN_MS, "assumed")


def plan_shutdown(
    server: WeighedServer, end: PodEnd, elsewhere: Iterable[WeighedServer] = ()
) -> tuple[ShutdownPlan, list[Finding]]:
    """How the pods of a server end, and what stands against how its stack wants them to.

    Args:
        server: the server.
        end: where its pods end.
        elsewhere: the server on other GPUs that its pods may come to be on; the slowest decides.

    """
    limits = server.stack.catalog.gke.shutdown
    drain = drain_of(server.version, server.stack.catalog.shutdown[server.settings.server])
    longest = max(map(longest_answer, (server, *elsewhere)), key=lambda one: one.seconds)
    asked, path = server.settings.shutdown, f"{server.path}.shutdown"
    if end.spot:
        grace = _spot_grace(server.settings, limits, end)
        if end.longer and asked.grace_seconds is None and asked.drain_seconds is None:
            wanted = min(longest.seconds, limits.spot_extended)
            grace = max(grace, min(_needed_on_spot(wanted, limits, end), limits.spot_extended))
        times = _Times(grace, min(_propagation(limits, end), math.floor(grace * _SPOT_SLEEP_SHARE)), _SPOT_EXIT_SECONDS)
        findings = [*_spot_problems(path, server, grace, end), *times.problems(path, server.settings)]
        return times.plan(drain, asked.drain_seconds or max(1, times.room), longest, grace=grace), findings
    sleep = _propagation(limits, end)
    if asked.grace_seconds is not None:
        times = _Times(asked.grace_seconds, sleep, _EXIT_SECONDS)
        findings = times.problems(path, server.settings)
        plan = times.plan(drain, asked.drain_seconds or max(1, times.room), longest, grace=asked.grace_seconds)
    else:
        times = _Times(_longest_grace(drain, sleep, limits), sleep, _EXIT_SECONDS)
        wanted = max(_STEP_SECONDS, math.ceil(longest.seconds / _STEP_SECONDS) * _STEP_SECONDS)
        answer = asked.drain_seconds or min(wanted, times.room // _STEP_SECONDS * _STEP_SECONDS)
        findings = []
        plan = times.plan(drain, answer, longest)
    if plan.grace_seconds > limits.autoscaler:
        findings.append(_longer_than_the_autoscaler(path, plan, server.settings, limits))
    return plan, findings


def sleep_problems(cluster: ClusterPlan, limits: ShutdownLimits) -> list[Finding]:
    """The problem of a cluster that is known to be too old for pods that sleep before SIGTERM."""
    known = cluster.settings.gke_version
    if known is None or version_parts(known) >= version_parts(limits.sleep_since):
        return []
    return [
        Finding(
            path="cluster.gkeVersion",
            what=f"{known} is before {limits.sleep_since}, from which pods can sleep before they end",
            why="without it, requests reach servers that end, in every update",
            fix="upgrade the cluster",
        )
    ]


def spot_shutdown(
    pool: NodePoolSettings, servers: Iterable[ServerSettings], limits: ShutdownLimits
) -> NodeShutdown | None:
    """How long machines of a pool take to end: longer than by default where a server on Spot asks for it."""
    if pool.provisioning.model != "spot" or not any(asks_for_longer_spot(one, limits) for one in servers):
        return None
    return NodeShutdown(seconds=limits.spot_node, critical_seconds=limits.spot_critical)


def asks_for_longer_spot(settings: ServerSettings, limits: ShutdownLimits) -> bool:
    """Whether a server asks for more time on Spot than its pods get by default."""
    return _spot_grace(settings, limits, PodEnd(spot=True, extended=True)) > limits.spot


@dataclass(frozen=True)
class _Times:
    """A grace period, and what of it goes to the endpoints and to the end of the process."""

    grace: int
    sleep: int
    exit: int

    @property
    def room(self) -> int:
        """What is left for running answers."""
        return self.grace - self.sleep - self.exit

    def plan(self, drain: Drain, answer: int, longest: LongestAnswer, *, grace: int | None = None) -> ShutdownPlan:
        """The plan that gives running answers so many seconds."""
        waits = {"cuts": 0, "ignores": 0, "waits": answer if drain.flag else min(answer, drain.seconds or 0)}
        timeout = waits[drain.after]
        sleep = self.sleep + answer - timeout
        return ShutdownPlan(
            sleep_seconds=sleep,
            timeout_seconds=timeout,
            grace_seconds=grace or sleep + timeout + self.exit,
            answer_seconds=answer,
            after=drain.after,
            longest=longest,
            argument=f"{drain.flag}={timeout}" if drain.flag else None,
        )

    def problems(self, path: str, settings: ServerSettings) -> list[Finding]:
        """What does not fit into the grace period."""
        asked = settings.shutdown
        answer = asked.drain_seconds or 1
        if answer <= self.room:
            return []
        least = self.sleep + answer + self.exit
        parts = f"{self.sleep} s until no new request comes, {answer} s for running answers and {self.exit} s to end"
        return [
            Finding(
                path=f"{path}.graceSeconds" if asked.grace_seconds is not None else f"{path}.drainSeconds",
                what=f"{self.grace} s do not hold {parts}",
                why="Kubernetes kills what still runs when they are over",
                fix=f"use {least} or more" + (", or lower drainSeconds" if answer > 1 else ""),
            )
        ]


def _answer(tokens: int, token_ms: float, basis: AnswerBasis) -> LongestAnswer:
    seconds = math.ceil(tokens * token_ms * _MARGIN / 1000)
    return LongestAnswer(tokens=tokens, token_ms=token_ms, seconds=seconds, basis=basis)


def _longest_grace(drain: Drain, sleep: int, limits: ShutdownLimits) -> int:
    """The longest grace period that is planned without being asked for."""
    if drain.after != "waits":
        return _LONGEST_SLEEPING_GRACE
    return limits.autoscaler if drain.flag else sleep + (drain.seconds or 0) + _EXIT_SECONDS


def _propagation(limits: ShutdownLimits, end: PodEnd) -> int:
    return limits.gateway if end.gateway else limits.service


def _spot_grace(settings: ServerSettings, limits: ShutdownLimits, end: PodEnd) -> int:
    """The grace period that a server asks for on Spot: what it states, or what its drain needs."""
    asked = settings.shutdown
    if asked.grace_seconds is not None or asked.drain_seconds is None:
        return asked.grace_seconds or limits.spot
    return _needed_on_spot(asked.drain_seconds, limits, end)


def _needed_on_spot(drain_seconds: int, limits: ShutdownLimits, end: PodEnd) -> int:
    """The grace period in which a pod on Spot drains for so long."""
    needed = drain_seconds + _SPOT_EXIT_SECONDS
    return next(
        grace
        for grace in range(limits.spot, needed + limits.gateway + 1)
        if grace - min(_propagation(limits, end), math.floor(grace * _SPOT_SLEEP_SHARE)) >= needed
    )


def _spot_problems(path: str, server: WeighedServer, grace: int, end: PodEnd) -> Iterator[Finding]:
    """Why a Spot machine does not give that long."""
    stack = server.stack
    limits, asked = stack.catalog.gke.shutdown, server.settings.shutdown
    where = f"{path}.graceSeconds" if asked.grace_seconds is not None else f"{path}.drainSeconds"
    what = f"a grace period of {grace} s is more than pods get on Spot"
    if grace > limits.spot_extended:
        yield Finding(
            path=where,
            what=what,
            why=f"the machine is gone {limits.spot_node} s after Google's notice at most, and the last "
            f"{limits.spot_critical} s are for system pods",
            fix=f"use graceSeconds: {limits.spot_extended} or less, or machines on demand",
        )
    elif grace > limits.spot and not end.extended:
        yield Finding(
            path=where,
            what=what,
            why=f"it is {limits.spot} s there, and only a Spot pool of nodePools can be given more",
            fix=f"use graceSeconds: {limits.spot} or less, or machines on demand",
        )
    elif grace > limits.spot:
        yield from _version_findings(where, stack.cluster, limits)


def _version_findings(where: str, cluster: ClusterPlan, limits: ShutdownLimits) -> Iterator[Finding]:
    """Whether the cluster can give Spot machines longer than by default, as far as its version is known."""
    known, since = cluster.settings.gke_version, limits.spot_node_since
    if known is None:
        yield Finding(
            path=where,
            what=f"needs GKE {since} or later",
            why="Google would reject the node pool's shutdown times before that",
            fix="set cluster.gkeVersion to what the cluster runs",
            severity="warning",
        )
    elif version_parts(known) < version_parts(since):
        yield Finding(
            path=where,
            what=f"needs GKE {since} or later, and cluster.gkeVersion is {known}",
            why="Google would reject the node pool's shutdown times",
            fix=f"upgrade the cluster, or use graceSeconds: {limits.spot} or less",
        )


def _longer_than_the_autoscaler(
    path: str, plan: ShutdownPlan, settings: ServerSettings, limits: ShutdownLimits
) -> Finding:
    asked = "graceSeconds" if settings.shutdown.grace_seconds is not None else "drainSeconds"
    return Finding(
        path=f"{path}.{asked}",
        what=f"{plan.grace_seconds} s to end are more than the {limits.autoscaler} s that the autoscaler gives a pod",
        why="where it removes the node, what still runs is killed then",
        fix=f"use less than {limits.autoscaler} s in all, or lower maxOutputTokens",
        severity="warning",
    )
