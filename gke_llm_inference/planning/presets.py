"""Applies the techniques of a server's presets to its settings, and names the goals that choose for what is left open.

A preset only fills settings that the stack leaves open. Whatever it decides, and whatever it leaves alone because the
stack says otherwise, becomes a `Decision` with its reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.preset_facts import Goal, PresetRule, Technique
from gke_llm_inference.planning.compatibility import setting_problems
from gke_llm_inference.planning.given import current, flat, is_explicit, merged
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.plan import Decision, GoalChoice
from gke_llm_inference.planning.techniques import rule_of, unmet_need
from gke_llm_inference.settings import Finding, ServerSettings, suggestion

# Limits that a preset advises; what the stack says of the others may leave no room for them.
_LIMITS = ("maxModelLen", "maxOutputTokens", "maxNumSeqs", "maxNumBatchedTokens")


@dataclass(frozen=True)
class Applied:
    """A server's settings with its techniques applied, and what is to be said about it.

    Attributes:
        settings: the settings with what techniques give.
        goals: names of the goals, in the order of the stack.
        given: keys of settings that techniques decide on, whether they had to set them or not.
        slots: what techniques decide on, such as `weights`.

    """

    settings: ServerSettings
    decisions: tuple[Decision, ...] = ()
    findings: tuple[Finding, ...] = ()
    goals: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()
    slots: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Chosen:
    """A server's settings with what its goals chose.

    Attributes:
        settings: the settings.
        model: the model that they load, which may be a checkpoint of what the stack asks for.
        given: settings that the goals gave, by key.
        choice: what was chosen, and what lost; None where no goal chose.

    """

    settings: ServerSettings
    model: ServedModel
    given: tuple[tuple[str, Any], ...] = ()
    choice: GoalChoice | None = None
    decisions: tuple[Decision, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass
class _Work:
    path: str
    settings: ServerSettings
    version: str
    model: ServedModel
    catalog: Catalog
    slots: dict[str, str] = field(default_factory=dict)
    values: dict[str, tuple[Any, str]] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def apply_presets(path: str, settings: ServerSettings, version: str, model: ServedModel, catalog: Catalog) -> Applied:
    """Settings with techniques applied, or the problems of applying them.

    Args:
        path: where the server stands in the configuration.
        settings: the server's settings.
        version: version of the server.
        model: the model that it loads.
        catalog: the facts to decide by.

    """
    work = _Work(path, settings, version, model, catalog)
    presets = catalog.presets
    goals: list[str] = []
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
            goals.append(name)
        else:
            _apply_technique(work, where, name, preset)
    work.findings += _explicit_refusals(work)
    return Applied(
        merged(settings, {key: value for key, (value, _) in work.values.items()}),
        tuple(work.decisions),
        tuple(work.findings),
        tuple(goals),
        frozenset(work.values),
        frozenset(work.slots),
    )


def stated_with(settings: ServerSettings, given: tuple[tuple[str, Any], ...], catalog: Catalog) -> ServerSettings:
    """A stack's settings of a server with what goals gave stated in place of the goals, so that none chooses again."""
    techniques = tuple(name for name in settings.presets if isinstance(catalog.presets.get(name), Technique))
    stated = settings if techniques == settings.presets else settings.model_copy(update={"presets": techniques})
    return merged(stated, dict(given)) if given else stated


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
    problem = unmet_need(where, name, preset.needs, work.model, work.settings.accelerator.type, work.catalog)
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


def _explicit_refusals(work: _Work) -> list[Finding]:
    """Problems of settings that the stack gives itself and that every technique behind them is refused for."""
    problems = []
    for key in ("quantization", "kvCacheDtype"):
        value = current(work.settings, key) if is_explicit(work.settings, key) else None
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
    """Whether a technique's value would bring a problem that is not there without it."""
    before = {key: value for key, (value, _) in work.values.items()}
    opened = {key: value for key, value in flat(values).items() if not is_explicit(work.settings, key)}

    def problems(given: Mapping[str, Any]) -> set[Finding]:
        return set(setting_problems(work.path, merged(work.settings, given), work.version, work.model, work.catalog))

    return not problems({**opened, **before}) <= problems(before)


def _give(work: _Work, origin: str, values: Mapping[str, Any], why: str, note: str) -> None:
    """Set what the stack leaves open, and say what was set and what was left alone."""
    for key, value in flat(values).items():
        if (reason := _superfluous(work, key, value)) is not None:
            work.decisions.append(Decision(origin, f"{key}: {_shown(value)} left out", reason))
        elif is_explicit(work.settings, key):
            own = current(work.settings, key)
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
    if key not in _LIMITS or is_explicit(work.settings, key):
        return None
    if key == "maxOutputTokens" and is_explicit(work.settings, "maxInputTokens"):
        return "maxInputTokens decides what is left for the output"
    if _breaks(work, {key: value}):
        return "it contradicts a limit of the stack"
    return None


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rule(work: _Work, preset: Technique) -> PresetRule | None:
    return rule_of(preset, work.settings.server, work.version, work.model)


def _slot_in_words(slot: str) -> str:
    return {"weights": "weight quantization", "kvCache": "the KV cache's type"}.get(slot, slot)
