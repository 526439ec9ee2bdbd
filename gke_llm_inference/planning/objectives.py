"""Whether a server is fast enough: what is said where it is not, or where its speed cannot be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gke_llm_inference.planning.fit import pool_needed
from gke_llm_inference.planning.plan import Decision
from gke_llm_inference.settings import Finding, ServerSettings, suggestion
from gke_llm_inference.settings.servers import MOST_REPLICAS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gke_llm_inference.planning.alternatives import FasterAlternative
    from gke_llm_inference.planning.memory import MemoryPlan
    from gke_llm_inference.planning.performance.plan import Judgement, PerformancePlan
    from gke_llm_inference.planning.performance.workload import Workload
    from gke_llm_inference.planning.stages import PlacedServer
    from gke_llm_inference.settings.findings import Severity

_MINUTES = 10


def asks_for_speed(server: PlacedServer) -> bool:
    """Whether the speed of a server is planned: where it states what it is asked, or how fast it must be."""
    return server.settings.workload is not None or server.settings.objectives is not None


def assumed_workload(plan: PerformancePlan) -> Decision:
    """What is said of objectives without a workload."""
    name = plan.workload.name
    return Decision("objectives", f"workload: {{profile: {name}}}", f"none is stated; {name} is {plan.workload.source}")


def has_known_speed(server: PlacedServer) -> bool:
    """Whether its speed can be planned: it starts, on a GPU whose roofs are known, with layers that are counted."""
    roofs = server.stack.catalog.performance.gpus
    starts = server.memory is not None and server.memory.starts
    return starts and server.settings.accelerator.type in roofs and _is_counted(server)


def _is_counted(server: PlacedServer) -> bool:
    from gke_llm_inference.planning.performance.shapes import accounts_for

    return accounts_for(server.request, server.stack.catalog.memory.vllm.weights)


# Requests a second below which a load is taken for a slip.
_LEAST_RATE = 1 / 3600


def workload_findings(server: PlacedServer) -> list[Finding]:
    """What is wrong with a server's workload and objectives before anything is predicted."""
    path, workload, catalog = server.path, server.settings.workload, server.stack.catalog
    profile = workload.profile if workload else None
    findings = []
    if profile is not None and profile not in catalog.workloads:
        findings.append(
            Finding(
                path=f"{path}.workload.profile",
                what=f"{profile} is not a profile of the catalog",
                why="nothing is known of its requests",
                fix=suggestion(profile, catalog.workloads),
            )
        )
    gpu = server.settings.accelerator.type
    if gpu not in catalog.performance.gpus:
        findings.append(
            _unknown_speed(
                server,
                gpu,
                "the catalog has no roofs of this GPU, from which speed is predicted",
                f"use one of: {', '.join(sorted(catalog.performance.gpus))}; or ",
            )
        )
    elif not _is_counted(server):
        findings.append(
            _unknown_speed(
                server,
                server.settings.model,
                "its layers are of several kinds, and speed is predicted for models whose layers are alike",
                "",
            )
        )
    if server.memory is not None and not findings:
        findings += _of_lengths(server, server.memory)
    if workload is not None and workload.request_rate is not None and workload.request_rate < _LEAST_RATE:
        findings.append(
            Finding(
                path=f"{path}.workload.requestRate",
                what="is less than a request an hour",
                why="every request finds an idle server, so that queues, replicas and the price of a token say nothing",
                fix="state requests a second, such as 0.5, or concurrency",
                severity="warning",
            )
        )
    return findings


def _unknown_speed(server: PlacedServer, what: str, why: str, instead: str) -> Finding:
    stated = server.settings.objectives is not None
    key = "objectives" if stated else "workload"
    return Finding(
        path=f"{server.path}.{key}",
        what=f"the speed of {what} is not known",
        why=why,
        fix=f"{instead}remove {key}",
        severity="problem" if stated and not server.settings.allow_slow else "warning",
    )


def _of_lengths(server: PlacedServer, memory: MemoryPlan) -> Iterator[Finding]:
    """Requests that the context does not hold."""
    from gke_llm_inference.planning.performance.workload import workload_of

    workload = workload_of(server.settings.workload, server.stack.catalog.workloads)
    context, most = memory.limits.max_model_len, memory.request.architecture.max_positions
    if (found := typical_beyond(server.path, workload, context, most)) is not None:
        yield found
        return
    share = workload.share_beyond(context)
    if share:
        yield Finding(
            path=f"{server.path}.workload",
            what=f"{share:.1%} of the requests of {workload.name} have more tokens than the context of {context:,}",
            why="the server rejects them or cuts their answers; its speed is planned with requests that are cut to fit",
            fix=f"{_raised(workload, most)}; or state shorter requests",
            severity="warning",
        )


def typical_beyond(path: str, workload: Workload, context: int, most: int) -> Finding | None:
    """That half of the requests do not fit a context; None where they do.

    Args:
        path: where the server stands in the configuration.
        workload: its requests.
        context: tokens that a request may have.
        most: tokens of the model's own longest context.

    """
    typical = workload.inputs.p50 + workload.outputs.p50
    if typical <= context:
        return None
    return Finding(
        path=f"{path}.workload",
        what=f"a request of {workload.name} has {typical:,.0f} tokens at the median, and the context {context:,}",
        why="the server rejects what does not fit its context",
        fix=f"{_raised(workload, most)}; or state shorter requests",
    )


def _raised(workload: Workload, most: int) -> str:
    longest = workload.longest
    return f"set maxModelLen to {longest:,} or more" if longest <= most else f"the model's own limit is {most:,}"


def speed_findings(
    path: str, settings: ServerSettings, plan: PerformancePlan, faster: Sequence[FasterAlternative]
) -> list[Finding]:
    """What a performance plan comes to: objectives that it misses or may miss, and replicas that are too few.

    Args:
        path: where the server stands in the configuration.
        settings: its settings with presets applied.
        plan: its performance plan.
        faster: what would meet the objectives, cheapest first.

    """
    instead = "; or ".join(proposal(one) for one in faster)
    fix = instead or "nothing that was tried meets the objectives; relax them, or ask gke-llm-inference optimize"
    if plan.verdict != "misses":
        fix = "measure it; or leave more room: more replicas, faster GPUs, a lower load"
    findings: list[Finding] = []
    for judgement in sorted(plan.judgements, key=lambda one: one.objective):
        if judgement.verdict is None:
            findings.append(_of_unknown_price(f"{path}.objectives.{judgement.objective}", plan, judgement))
        elif judgement.verdict != "meets":
            findings.append(_of_objective(path, settings, plan, judgement, fix))
            fix = f"what is proposed for {findings[-1].path.rpartition('.')[2]} meets this one too" if instead else fix
    scaled = "autoscaling.maxReplicas" if settings.autoscaling is not None else "replicas"
    return [*findings, *_of_replicas(path, scaled, plan)]


def _of_objective(
    path: str, settings: ServerSettings, plan: PerformancePlan, judgement: Judgement, fix: str
) -> Finding:
    missed = judgement.verdict == "misses"
    severity: Severity = "problem" if missed and not settings.allow_slow else "warning"
    return Finding(
        path=f"{path}.objectives.{judgement.objective}",
        what=f"{'is missed' if missed else 'may be missed'}: {judgement.text}, and at most "
        f"{judgement.amount(judgement.limit)} is asked",
        why=_why(plan, judgement),
        fix=fix,
        severity=severity,
    )


def _of_unknown_price(at: str, plan: PerformancePlan, judgement: Judgement) -> Finding:
    return Finding(
        path=at,
        what=f"cannot be judged: {judgement.text}",
        why=plan.price.note or "the price of the machine is not known",
        fix="run the server on a node pool of a Standard cluster, or remove the objective",
        severity="warning",
    )


def _why(plan: PerformancePlan, judgement: Judgement) -> str:
    load = f"at {load_of(plan)}"
    if judgement.verdict == "may meet":
        if plan.notes:
            return f"{load}, as an estimate: {plan.notes[0]}"
        if judgement.predicted is None:
            return _overload(plan)
        return f"{load}, and the error band of ± {judgement.band.percent:.0f} % reaches beyond the objective"
    if judgement.is_out_of_reach and judgement.least is not None:
        least = judgement.amount(judgement.least)
        if judgement.objective == "tpot":
            return f"one step of a lone request takes {least} already, and makes one token"
        if judgement.objective == "ttft":
            return f"a lone prompt takes {least} to its first token already"
        return f"within the other objectives a replica's tokens cost {least} a million at least"
    if judgement.objective == "maxUsdPerMillionTokens":
        most = "" if plan.keeps_up else "at most "
        return f"{load}, a replica makes {most}{plan.output_tokens_per_second:,.0f} output tokens a second"
    return load if plan.keeps_up else _overload(plan)


def _of_replicas(path: str, setting: str, plan: PerformancePlan) -> Iterator[Finding]:
    """Fewer replicas than the load needs."""
    if plan.workload.asked is None:
        return
    if plan.needed is None:
        if not plan.keeps_up:
            yield _too_few(path, setting, plan, "more")
        return
    if plan.replicas < plan.needed:
        yield _too_few(path, setting, plan, f"{plan.needed:,}")


def _too_few(path: str, setting: str, plan: PerformancePlan, needed: str) -> Finding:
    highest = plan.highest
    if not plan.replicas:
        why = "without a replica nobody answers"
    elif not plan.keeps_up:
        why = _overload(plan)
    else:
        within = " within the objectives" if plan.judgements else ""
        most = f"; a replica serves up to {plan.load(highest.load)}{within}" if highest else ""
        why = f"at {load_of(plan)}{most}, of which {plan.headroom:.0%} is given; {plan.ttft_text}"
    return Finding(
        path=f"{path}.{setting}",
        what=f"{plan.replicas} for {plan.load(plan.workload.asked or 0.0)}, which need {needed}",
        why=why,
        fix=_more_replicas(setting, plan),
        severity="warning",
    )


def _more_replicas(setting: str, plan: PerformancePlan) -> str:
    if plan.needed is None:
        return "add replicas"
    if plan.needed > MOST_REPLICAS:
        return f"use faster GPUs or several servers; one has {MOST_REPLICAS:,} replicas at most"
    return f"set {setting} to {plan.needed:,}"


def _overload(plan: PerformancePlan) -> str:
    """What becomes of a queue that grows."""
    capacity = plan.capacity or 0.0
    waits = (plan.point.load / capacity - 1) * 60 * _MINUTES
    return (
        f"at {load_of(plan)}, of which it serves {plan.load(capacity)} (± {plan.throughput.percent:.0f} %): the queue "
        f"grows, and after {_MINUTES} minutes a request waits {waits:,.0f} s"
    )


def proposal(one: FasterAlternative) -> str:
    """A proposal, with what it needs and what it comes to."""
    usd = f"{one.usd_per_hour:,.2f} USD an hour" if one.usd_per_hour is not None else ""
    least = "at least " if usd and one.performance.price.is_least else ""
    told = ", ".join(filter(None, (one.performance.verdict or "", f"{least}{usd}" if usd else "")))
    nodes = f", with nodePools.{one.max_nodes[0]}.maxNodes {one.max_nodes[1]:,}" if one.max_nodes else ""
    return f"{one.what}{pool_needed(one.node_pool)}{nodes} ({told})"


def load_of(plan: PerformancePlan) -> str:
    """What a replica gets."""
    return f"{plan.load(plan.point.load)} per replica"
