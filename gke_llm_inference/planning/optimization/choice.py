"""What goals choose for a server of a stack: the settings that it leaves open, by the search."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from gke_llm_inference.planning.given import is_explicit, merged
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.optimization import told
from gke_llm_inference.planning.optimization.candidates import Candidate, candidates
from gke_llm_inference.planning.optimization.fewest import fewest_gpus
from gke_llm_inference.planning.optimization.offers import Offer, offers_of, predictable
from gke_llm_inference.planning.optimization.option import Option
from gke_llm_inference.planning.optimization.question import BEARABLE, GoalName, Question
from gke_llm_inference.planning.optimization.search import Optimum, search
from gke_llm_inference.planning.performance.calibration_use import SpeedBasis
from gke_llm_inference.planning.performance.workload import Objectives, Workload, objectives_of, workload_of
from gke_llm_inference.planning.plan import Decision, GoalChoice
from gke_llm_inference.planning.presets import Applied, Chosen
from gke_llm_inference.planning.stages import ModeledServer
from gke_llm_inference.settings import Finding, ServerSettings, TgiSettings

Passes = Callable[[ModeledServer, Mapping[str, Any], Offer], str | None]
"""Why the planner refuses a server with settings of a candidate; None where it passes."""

_SHORTEST_CONTEXT = 1024


def choose(server: ModeledServer, applied: Applied, passes: Passes) -> Chosen:
    """What the goals of a server choose for what the stack and its techniques leave open.

    Args:
        server: the server.
        applied: its settings with techniques applied, and its goals.
        passes: the planner's word on a candidate.

    """
    unchanged = Chosen(applied.settings, server.model)
    goals = tuple(name for name in get_args(GoalName) if name in applied.goals)
    goals = tuple(sorted(goals, key=applied.goals.index))
    profile = server.settings.workload.profile if server.settings.workload else None
    if not goals or (profile is not None and profile not in server.stack.catalog.workloads):
        return unchanged
    if "objectives" in goals and objectives_of(server.settings.objectives) == Objectives():
        return replace(unchanged, findings=(_no_objectives(server),))
    optimum = optimum_of(server, applied, goals, passes)
    if optimum is None:
        return _by_rule(server, applied, goals)
    chosen = optimum.best or optimum.nearest
    if chosen is None:
        findings = () if optimum.best or not _is_strict(goals) else (_nothing_meets(server, optimum),)
        return replace(_by_rule(server, applied, goals, "nothing that fits serves the load"), findings=findings)
    return _chosen(server, applied, goals, optimum, chosen)


def optimum_of(
    server: ModeledServer,
    applied: Applied,
    goals: tuple[GoalName, ...],
    passes: Passes,
    *,
    offers: Sequence[Offer] | None = None,
    shown: int = told.RUNNERS_UP + 1,
    any_latency: bool | None = None,
) -> Optimum | None:
    """What the search finds for a server; None where the speed of nothing that fits can be predicted.

    Args:
        server: the server.
        applied: its settings with techniques applied.
        goals: what to choose by.
        passes: the planner's word on a candidate.
        offers: GPUs to choose from; those of the stack if None.
        shown: how many candidates are worked out at least.
        any_latency: whether any latency will do where no objectives are stated; for the goal throughput if None.

    """
    stack, settings = server.stack, applied.settings
    workload = workload_of(settings.workload, stack.catalog.workloads)
    context = context_for(settings, server.model, workload)
    found = candidates(
        server, settings, applied.slots, offers_of(server, settings) if offers is None else offers, context
    )
    if not found:
        return None
    if is_explicit(settings, "replicas") and not settings.replicas:
        # Without a replica nobody gets the load: it is chosen for whoever starts one.
        workload = replace(workload, rate=None, concurrency=None)
    has_load = workload.asked is not None
    limit = settings.max_model_len or context
    open_replicas = has_load and not is_explicit(settings, "replicas") and settings.autoscaling is None
    objectives = objectives_of(settings.objectives)
    any_latency = goals[0] == "throughput" if any_latency is None else any_latency
    is_assumed = objectives == Objectives() and not any_latency
    question = Question(
        goals=goals,
        workload=workload.within(limit),
        objectives=BEARABLE if is_assumed else objectives,
        is_assumed=is_assumed,
        replicas=None if open_replicas else max(1, settings.most_replicas),
        too_long=workload.share_beyond(limit),
    )

    def refuses(candidate: Candidate, replicas: int) -> str | None:
        return passes(server, changes_of(candidate, replicas if open_replicas else None), candidate.offer)

    def basis_of(candidate: Candidate) -> SpeedBasis:
        measured, model = server.settings.measured_speed, candidate.weights.model.id
        return stack.speeds.basis(server.path, measured, model, candidate.plan.request, stack.catalog)[0]

    capped = not settings.accelerator.choices
    optimum = search(question, found, stack.catalog, refuses, basis_of, shown=shown, is_capped=capped)
    if optimum.best is None and is_assumed:
        # What nobody asked for rules nothing out.
        question = replace(question, objectives=Objectives())
        return search(question, found, stack.catalog, refuses, basis_of, shown=shown, is_capped=capped)
    return optimum


def changes_of(candidate: Candidate, replicas: int | None) -> dict[str, Any]:
    """Settings that a candidate gives, by key, sorted; with replicas where they are not the stack's."""
    return dict(sorted({**dict(candidate.changes), **({} if replicas is None else {"replicas": replicas})}.items()))


def context_for(settings: ServerSettings, model: ServedModel, workload: Workload) -> int:
    """Tokens that a request may have: the longest of the workload and what the stack states of it, rounded up.

    Steps of a half and a whole power of two, so that a slightly longer request is no other context.
    """
    longest = model.architecture.max_positions
    wanted = max(workload.longest, (settings.max_output_tokens or 0) + 1, _SHORTEST_CONTEXT)
    if isinstance(settings, TgiSettings) and settings.max_input_tokens:
        wanted = max(wanted, settings.max_input_tokens + max(workload.answers))
    power = 1 << math.ceil(math.log2(wanted))
    return min(longest, power * 3 // 4 if wanted <= power * 3 // 4 else power)


def _chosen(
    server: ModeledServer, applied: Applied, goals: tuple[GoalName, ...], optimum: Optimum, chosen: Option
) -> Chosen:
    workload, settings = optimum.question.workload, applied.settings
    open_replicas = optimum.question.replicas is None
    changes = changes_of(chosen.candidate, chosen.replicas if open_replicas else None)
    notes = [told.why_of(chosen, optimum.question)]
    findings: list[Finding] = []
    if optimum.best is None:
        notes = [f"nearest to the objectives, which nothing meets: {told.figures(chosen)}"]
        if _is_strict(goals):
            findings.append(_nothing_meets(server, optimum, chosen))
    notes += _of_objectives(optimum, chosen)
    if settings.workload is None:
        notes.append(told.assumed(workload))
    if server.stack.cluster.profile == "autopilot":
        notes.append("compared by the machine's list price, as Autopilot's premium is not known")
    notes += [told.capped(optimum)] if optimum.limit_usd_per_hour is not None else []
    choice = GoalChoice(
        goals=goals,
        what=told.what_of(chosen),
        why="; ".join(notes),
        settings=tuple(changes.items()),
        runners_up=told.runners_up(optimum, chosen),
        advice=told.advice(optimum, optimum.best),
    )
    model = chosen.candidate.weights.model
    return Chosen(merged(settings, changes), model, choice.settings, choice, choice.decisions, tuple(findings))


def _of_objectives(optimum: Optimum, chosen: Option) -> list[str]:
    """What is said where the stack states no objectives."""
    question = optimum.question
    if not question.is_assumed:
        return []
    if question.objectives == BEARABLE:
        return [
            "no objectives are stated, so up to 10 s to the first token and 200 ms per token at p95 are taken as served"
        ]
    first = chosen.point.ttft_ms.p95 / 1000
    return [
        f"no objectives are stated, and nothing is faster than {first:,.0f} s to the first token at p95; state them"
    ]


def _by_rule(
    server: ModeledServer,
    applied: Applied,
    goals: tuple[GoalName, ...],
    missing: str = "nothing fits that could be compared",
) -> Chosen:
    """The fewest GPUs that hold weights and context, where no speed can be predicted, or none is enough."""
    settings, gpu = applied.settings, applied.settings.accelerator.type
    origin = ", ".join(goals)
    why = missing if gpu in predictable(server.stack.catalog) else f"the speed of {gpu} cannot be predicted"
    fewest = fewest_gpus(server, settings)
    if fewest is None:
        return Chosen(settings, server.model, decisions=(Decision(origin, "chooses nothing", why),))
    decision = Decision(origin, f"accelerator.count: {fewest.count}", f"{why}, so the fewest GPUs: {fewest.why}")
    given = (("accelerator.count", fewest.count),)
    return Chosen(merged(settings, dict(given)), server.model, given, decisions=(decision,))


def _is_strict(goals: tuple[GoalName, ...]) -> bool:
    return "objectives" in goals


def _no_objectives(server: ModeledServer) -> Finding:
    return Finding(
        path=f"{server.path}.presets[{server.settings.presets.index('objectives')}]",
        what="objectives has none to meet",
        why="it takes the cheapest GPUs that meet the server's objectives",
        fix="state the server's objectives, or use the preset cost",
    )


def _nothing_meets(server: ModeledServer, optimum: Optimum, nearest: Option | None = None) -> Finding:
    """The problem that nothing meets the objectives; a warning where the stack allows it."""
    allow = "" if server.settings.allow_slow else ", or set allowSlow"
    proposal = (
        f"raise the objectives{allow}; nearest is {told.what_of(nearest)}: {told.figures(nearest)}"
        if nearest
        else "raise the objectives"
    )
    if optimum.advised is not None:
        proposal = f"{told.advice(optimum, None)}; or {proposal}"
    return Finding(
        path=f"{server.path}.objectives",
        what="nothing that the stack may have meets them",
        why=told.missed(optimum),
        fix=proposal,
        severity="warning" if server.settings.allow_slow and nearest is not None else "problem",
    )
