"""Applies presets to a server's settings: techniques first, then goals for what is left open.

A preset only fills settings that the stack leaves open. Whatever it decides, and whatever it leaves alone because the
stack says otherwise, becomes a `Decision` with its reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic.alias_generators import to_snake

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.preset_facts import Goal, GoalChoice, PresetNeeds, PresetRule, Technique
from gke_llm_inference.planning.compatibility import request_problems, setting_problems
from gke_llm_inference.planning.extra import overridden
from gke_llm_inference.planning.machines import gpu_counts
from gke_llm_inference.planning.memory import MemoryPlan, MemoryRequest, memory_request, plan_memory
from gke_llm_inference.planning.memory.sharding import heads_divide, kv_heads_divide
from gke_llm_inference.planning.models import ServedModel, known_checkpoints
from gke_llm_inference.planning.plan import Decision
from gke_llm_inference.settings import Finding, ServerSettings, suggestion
from gke_llm_inference.settings.findings import problems_of

_field = lru_cache(maxsize=1024)(to_snake)

# Limits that a preset advises; what the stack says of the others may leave no room for them.
_LIMITS = ("maxModelLen", "maxOutputTokens", "maxNumSeqs", "maxNumBatchedTokens")


@dataclass(frozen=True)
class Applied:
    """A server's settings with its presets applied, and what is to be said about it."""

    settings: ServerSettings
    decisions: tuple[Decision, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass
class _Work:
    path: str
    settings: ServerSettings
    version: str
    model: ServedModel
    catalog: Catalog
    gpus: Sequence[int] | None = None
    slots: dict[str, str] = field(default_factory=dict)
    values: dict[str, tuple[Any, str]] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def apply_presets(
    path: str,
    settings: ServerSettings,
    version: str,
    model: ServedModel,
    catalog: Catalog,
    gpus: Sequence[int] | None = None,
) -> Applied:
    """Settings with presets applied, or the problems of applying them.

    Args:
        path: where the server stands in the configuration.
        settings: the server's settings.
        version: version of the server.
        model: the model that it loads.
        catalog: the facts to decide by.
        gpus: numbers of GPUs that a goal may choose from, fewest first; those of all machines if None.

    """
    work = _Work(path, settings, version, model, catalog, gpus)
    presets = catalog.presets
    goals: list[tuple[str, Goal]] = []
    for index, name in enumerate(settings.presets):
        where = f"{path}.presets[{index}]"
        preset = presets.get(name)
        if preset is None:
            work.findings.append(
                Finding(
                    path=where,
                    what=f"{name} is not a preset",
                    why="a misspelled preset would be ignored silently",
                    fix=suggestion(name, presets),
                )
            )
        elif name in settings.presets[:index]:
            work.findings.append(
                Finding(path=where, what=f"{name} is listed twice", why="it is applied once", fix="remove one of them")
            )
        elif isinstance(preset, Goal):
            goals.append((name, preset))
        else:
            _apply_technique(work, where, name, preset)
    work.findings += _explicit_refusals(work)
    if not problems_of(work.findings):
        for name, goal in goals:
            for choice in goal.choices:
                _apply_choice(work, name, choice)
    return Applied(
        _merged(settings, {key: value for key, (value, _) in work.values.items()}),
        tuple(work.decisions),
        tuple(work.findings),
    )


def _apply_technique(work: _Work, where: str, name: str, preset: Technique) -> None:
    taken = work.slots.get(preset.slot)
    if taken is not None:
        work.findings.append(
            Finding(
                path=where,
                what=f"{name} conflicts with {taken}",
                why=f"both decide on the same thing: {_slot_in_words(preset.slot)}",
                fix=f"keep one of {taken} and {name}",
            )
        )
        return
    problem = _unmet_need(work, where, name, preset.needs)
    rule = _rule(work, preset)
    if rule is None:
        problem = problem or Finding(
            path=where,
            what=f"{name} is not supported for {work.settings.server} {work.version}",
            why="no rule of the catalog covers this version",
            fix="use a newer version",
        )
    elif rule.refused is not None:
        # That the server lacks a technique says more than what the technique would need there.
        problem = Finding(
            path=where,
            what=f"{name} is not possible with {work.settings.server} {work.version}",
            why=rule.refused.why,
            fix=rule.refused.instead,
        )
    if problem is not None or rule is None:
        work.findings += [problem] if problem else []
        return
    work.slots[preset.slot] = name
    if rule.risk is not None:
        work.findings.append(
            Finding(
                path=where, what=f"{name} {rule.risk.what}", why=rule.risk.why, fix=rule.risk.fix, severity="warning"
            )
        )
    _give(work, name, rule.settings, preset.summary, rule.note)
    count = work.values.get("accelerator.count", (work.settings.accelerator.count, ""))[0]
    if preset.slot == "parallelism" and count == 1:
        work.findings.append(
            Finding(
                path=where,
                what=f"{name} has no effect with one GPU",
                why="the stack sets accelerator.count to 1, and explicit settings win over presets",
                fix="raise accelerator.count, or remove it to get two",
                severity="warning",
            )
        )


def _apply_choice(work: _Work, goal: str, choice: GoalChoice) -> None:
    if work.settings.server not in choice.servers:
        return
    if choice.presets:
        _choose_technique(work, goal, choice)
    if choice.settings and not _breaks(work, choice.settings):
        _give(work, goal, choice.settings, choice.why, "")
    if choice.parallelism == "fewestGpus":
        _choose_gpus(work, goal, choice.why)


def _choose_technique(work: _Work, goal: str, choice: GoalChoice) -> None:
    presets = work.catalog.presets
    for name in choice.presets:
        preset = presets[name]
        assert isinstance(preset, Technique)
        taken = work.slots.get(preset.slot)
        if taken is not None:
            work.decisions.append(Decision(goal, f"keeps {taken}", "already chosen"))
            return
        rule = _rule(work, preset)
        own = _decided_by_stack(work, rule)
        if own:
            work.decisions.append(Decision(goal, f"leaves {own} unchanged", "set explicitly by the stack"))
            return
        usable = rule is not None and rule.refused is None and rule.risk is None
        if rule is None or not usable or _unmet_need(work, "", name, preset.needs) or _breaks(work, rule.settings):
            continue
        work.slots[preset.slot] = name
        work.decisions.append(Decision(goal, f"uses {name}", choice.why))
        _give(work, name, rule.settings, preset.summary, rule.note)
        return
    work.decisions.append(
        Decision(goal, f"uses none of {', '.join(choice.presets)}", "none fits this server, version and checkpoint")
    )


def _decided_by_stack(work: _Work, rule: PresetRule | None) -> str:
    """The first setting of a rule that the stack gives itself, and differently; empty if there is none."""
    values = _flat(rule.settings) if rule is not None else {}
    return next(
        (
            key
            for key, value in values.items()
            if _is_explicit(work.settings, key) and _current(work.settings, key) not in (None, value)
        ),
        "",
    )


def _explicit_refusals(work: _Work) -> list[Finding]:
    """Problems of settings that the stack gives itself and that every technique behind them is refused for."""
    problems = []
    for key in ("quantization", "kvCacheDtype"):
        value = _current(work.settings, key) if _is_explicit(work.settings, key) else None
        if value is None:
            continue
        rules = [
            _rule(work, preset)
            for preset in work.catalog.presets.values()
            if isinstance(preset, Technique)
            and any(rule.settings.get(key) == value for rule in preset.rules(work.settings.server))
        ]
        refusals = [rule.refused for rule in rules if rule is not None and rule.refused is not None]
        if refusals and len(refusals) == len(rules):
            problems.append(
                Finding(
                    path=f"{work.path}.{key}",
                    what=f"{value} is not possible with {work.settings.server} {work.version}",
                    why=refusals[0].why,
                    fix=refusals[0].instead,
                )
            )
    return problems


def _breaks(work: _Work, values: Mapping[str, Any]) -> bool:
    """Whether a goal's choice would bring a problem that is not there without it."""
    before = {key: value for key, (value, _) in work.values.items()}
    after = {**_open(work, values), **before}

    def problems(given: Mapping[str, Any]) -> set[Finding]:
        return set(setting_problems(work.path, _merged(work.settings, given), work.version, work.model, work.catalog))

    return not problems(after) <= problems(before)


def _open(work: _Work, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that the stack leaves open."""
    return {key: value for key, value in _flat(values).items() if not _is_explicit(work.settings, key)}


def _choose_gpus(work: _Work, goal: str, why: str) -> None:
    """The fewest GPUs with which the server starts by its memory plan.

    Where none is enough, those that miss by no more than an estimate's error, or else hold the longest context: the
    check of the whole server says what does not fit and what would.
    """
    if "accelerator.count" in work.values or _is_explicit(work.settings, "accelerator.count"):
        return
    accelerator = work.settings.accelerator
    counts = [
        count
        for count in (gpu_counts(accelerator.type, work.catalog) if work.gpus is None else work.gpus)
        if heads_divide(work.model.architecture, count)
        and kv_heads_divide(work.model.architecture, count)
        and not _breaks(work, {"accelerator": {"count": count}})
    ]
    plans = {count: plan for count in counts if (plan := _memory(work, count)) is not None}
    chosen = next(
        (count for verdict in ("fits", "tight") for count, plan in plans.items() if plan.verdict == verdict), None
    )
    if chosen is not None:
        context = plans[chosen].limits.max_model_len
        reason = f"{chosen} × {accelerator.type} hold weights and a context of {context:,} tokens; {why}"
        fewer = next((count for count in reversed(plans) if count < chosen and plans[count].largest_context), None)
        if fewer is not None:
            tight = plans[fewer].starts
            reason += f"; {fewer} would {'be tight' if tight else f'hold {plans[fewer].largest_context:,}'}"
    elif plans:
        near = [count for count, plan in plans.items() if plan.is_near_miss]
        longest = max(plan.largest_context for plan in plans.values())
        nearest = [count for count, plan in plans.items() if plan.largest_context == longest]
        # With no room for any context, the most GPUs lack the least.
        chosen = near[0] if near else nearest[0 if longest else -1]
        plan = plans[chosen]
        reason = (
            f"no number of {accelerator.type} is known to hold a context of {plan.limits.max_model_len:,} tokens; "
            f"{chosen} hold {plan.largest_context:,}"
        )
    else:
        reason = ""
    if chosen is not None:
        work.values["accelerator.count"] = (chosen, goal)
        work.decisions.append(Decision(goal, f"accelerator.count: {chosen}", reason))


def _memory(work: _Work, count: int) -> MemoryPlan | None:
    """The memory plan with so many GPUs; None where there is another problem than memory."""
    request, facts = _request(work, count), work.catalog.memory
    return None if request_problems(request, facts) else plan_memory(request, facts)


def _request(work: _Work, count: int) -> MemoryRequest:
    """The memory request with so many GPUs."""
    values = {key: value for key, (value, _) in work.values.items()} | {"accelerator.count": count}
    settings = overridden(_merged(work.settings, values), work.version, work.catalog)
    return memory_request(work.path, settings, work.version, work.model, work.catalog.memory)


def _give(work: _Work, origin: str, values: Mapping[str, Any], why: str, note: str) -> None:
    """Set what the stack leaves open, and say what was set and what was left alone."""
    for key, value in _flat(values).items():
        if (reason := _superfluous(work, key, value)) is not None:
            work.decisions.append(Decision(origin, f"{key}: {_shown(value)} left out", reason))
        elif _is_explicit(work.settings, key):
            own = _current(work.settings, key)
            if own != value:
                work.decisions.append(
                    Decision(
                        origin,
                        f"{key}: {_shown(own)} kept",
                        f"set explicitly by the stack; the preset would set {_shown(value)}",
                    )
                )
        elif key in work.values:
            own, first = work.values[key]
            if own != value:
                work.decisions.append(
                    Decision(
                        origin, f"{key}: {_shown(own)} kept", f"set by {first}; {origin} would set {_shown(value)}"
                    )
                )
        else:
            work.values[key] = (value, origin)
            work.decisions.append(Decision(origin, f"{key}: {_shown(value)}", why))
    if note:
        work.decisions.append(Decision(origin, "note", note))


def _superfluous(work: _Work, key: str, value: Any) -> str | None:
    """Why a limit of a preset makes no sense beside what the stack says; None if it does."""
    if key not in _LIMITS or _is_explicit(work.settings, key):
        return None
    if key == "maxOutputTokens" and _is_explicit(work.settings, "maxInputTokens"):
        return "maxInputTokens decides what is left for the output"
    if _breaks(work, {key: value}):
        return "it contradicts a limit of the stack"
    return None


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rule(work: _Work, preset: Technique) -> PresetRule | None:
    def holds(rule: PresetRule) -> bool:
        model = work.model
        return (
            (not rule.versions or _is_among(work.version, rule.versions))
            and (not rule.families or model.family in rule.families)
            and (not rule.checkpoints or model.checkpoint in rule.checkpoints)
        )

    return next((rule for rule in preset.rules(work.settings.server) if holds(rule)), None)


@lru_cache(maxsize=4096)
def _is_among(version: str, specifier: str) -> bool:
    return Version(version) in SpecifierSet(specifier)


def _unmet_need(work: _Work, where: str, name: str, needs: PresetNeeds) -> Finding | None:
    model = work.model
    if needs.checkpoint and model.checkpoint not in needs.checkpoint:
        if model.checkpoint != "none":
            return Finding(
                path=where,
                what=f"{name} cannot be used with {model.id}, whose weights are {model.checkpoint} already",
                why="weights are quantized once",
                fix=f"leave {name} out, or use the model at its own precision",
            )
        proposals = known_checkpoints(model.id, needs.checkpoint, work.catalog)
        return Finding(
            path=where,
            what=f"{name} needs a pre-quantized checkpoint, and {model.id} is not one",
            why="this method cannot quantize while loading",
            fix=f"set model to {' or '.join(proposals)}"
            if proposals
            else "the catalog has no such checkpoint of it; quantize one, or use a preset such as fp8 that needs none",
        )
    accelerator = work.catalog.accelerators.get(work.settings.accelerator.type)
    if needs.compute_capability and accelerator is not None:
        capability = accelerator.compute_capability
        if Version(capability) < Version(needs.compute_capability):
            return Finding(
                path=where,
                what=f"{name} needs a GPU of compute capability {needs.compute_capability}",
                why=f"{work.settings.accelerator.type} has {capability}",
                fix="use a newer GPU, such as nvidia-l4, or leave the preset out",
            )
    return None


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{key}.{inner}" if inner else key: value
        for key, nested in values.items()
        for inner, value in (nested.items() if isinstance(nested, dict) else (("", nested),))
    }


def _is_explicit(settings: ServerSettings, key: str) -> bool:
    outer, _, inner = key.partition(".")
    if _field(outer) not in settings.model_fields_set:
        return False
    return not inner or _field(inner) in getattr(settings, _field(outer)).model_fields_set


def _current(settings: ServerSettings, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, _field(part))
    return value


def _merged(settings: ServerSettings, values: Mapping[str, Any]) -> ServerSettings:
    update: dict[str, Any] = {_field(key): value for key, value in values.items() if "." not in key}
    if "accelerator.count" in values:
        update["accelerator"] = settings.accelerator.model_copy(update={"count": values["accelerator.count"]})
    return settings.model_copy(update=update)


def _slot_in_words(slot: str) -> str:
    return {"weights": "weight quantization", "kvCache": "the KV cache's type"}.get(slot, slot)
