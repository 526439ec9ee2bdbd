"""What both renderers say of a stack: its verdict, its changed resources by severity, its notes."""

from dataclasses import dataclass, replace

from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from gke_llm_inference.diff.compare import ResourceChange
from gke_llm_inference.diff.details import Bounds, value_text
from gke_llm_inference.diff.plan_changes import PlanChanges, plan_changes
from gke_llm_inference.diff.report import StackReport
from gke_llm_inference.diff.severity import Severity
from gke_llm_inference.diff.values import ABSENT, Item, PropertyChange, path_text
from gke_llm_inference.diff.wording import count, listed, quote
from gke_llm_inference.preview.tree import short_type

_SHOWN_PROPERTIES = 3
_SHOWN_CHARACTERS = 60
# What a reader of one line wants to see first of a workload with many changes.
_TELLING = frozenset({"args", "command", "image", "env", GPU_RESOURCE, "replicas"})
_SHORT = Bounds(value=_SHOWN_CHARACTERS + 1)

_VERBS = {
    "added": "is new",
    "removed": "is removed",
    "changed": "changes",
    "replaced": "",
    "renamed": "has a new name",
}


@dataclass(frozen=True)
class Line:
    """One resource in one sentence, with quotes marked."""

    severity: Severity | None
    text: str
    change: ResourceChange


@dataclass(frozen=True)
class Summary:
    """A stack for reading."""

    severity: Severity | None
    """The most severe effect; None if nothing or only additions do."""
    verdict: str
    """What happens in a few words of our own."""
    plan: PlanChanges
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def summary_of(report: StackReport) -> Summary:
    """The summary of a stack whose comparison there is."""
    lines = sorted(
        (_line(report, change) for change in report.comparison.resources),
        key=lambda line: -(line.severity if line.severity is not None else -1),
    )
    severity = max((line.severity for line in lines if line.severity is not None), default=None)
    return Summary(severity, _verdict(report, severity), _plan(report), tuple(lines), tuple(_notes(report)))


def _plan(report: StackReport) -> PlanChanges:
    plan = plan_changes(report.base_plan, report.head_plan)
    if report.outcome == "compared" and report.base_plan.known != report.head_plan.known:
        # Servers without a plan on one side are neither new nor removed.
        which = "this revision" if report.base_plan.known else "the base"
        return replace(plan, servers=(), notes=(*plan.notes, f"the plan of {which} is unavailable"))
    return plan


def _verdict(report: StackReport, severity: Severity | None) -> str:
    tally = report.tally
    if report.outcome == "failed":
        return "fails"
    if report.outcome == "gone":
        return "is removed"
    if report.outcome == "no base":
        return "all new, nothing to compare with"
    if not tally.total:
        return "no changes" if not report.comparison.plugins else "only provider plugins change"
    found = [effect for change in report.comparison.resources for effect in report.effects.of(change)]
    gists = [effect.gist for effect in sorted(found, key=lambda effect: -effect.severity) if effect.gist]
    parts = list(dict.fromkeys(gists))
    if tally.replaced:
        parts.append(f"{count(tally.replaced, 'resource')} replaced")
    if tally.removed:
        parts.append(f"{count(tally.removed, 'resource')} removed")
    if tally.restarts:
        parts.append("pods restart")
    if any(effect.down for effect in found):
        parts.append("with downtime")
    if not parts and severity is Severity.UNCLEAR:
        parts.append("changes, one of them with an unknown effect")
    return ", ".join(parts).replace(", with downtime", " with downtime") if parts else "changes in place"


def _line(report: StackReport, change: ResourceChange) -> Line:
    resource = change.resource
    effects = report.effects.of(change)
    kind = report.kind(change)
    text = f"{quote(resource.name)} ({quote(short_type(resource.type))})"
    verb = _VERBS[kind]
    if kind == "renamed" and change.base is not None:
        verb = f"was {quote(change.base.name)}"
    if kind in ("changed", "replaced") and (change.properties or change.options):
        verb = f"changes {_what(change)}"
    parts = [verb] if verb and not (kind == "removed" and effects) else []
    parts += [effect.text for effect in effects]
    if kind == "replaced" and not effects:
        parts = ["is replaced along with what it refers to"]
    severity = effects[0].severity if effects else (Severity.REMOVED if kind == "removed" else None)
    return Line(severity, f"{text} {'; '.join(parts)}", change)


def _what(change: ResourceChange) -> str:
    """The properties that change, with their values where they are few and short."""
    changes = (*change.properties, *change.options)
    if len(changes) > _SHOWN_PROPERTIES:
        telling = sorted(changes, key=lambda one: ("labels" in one.path, not _TELLING & {*one.path}, one.text))
        paths = list(dict.fromkeys(_short_path(one) for one in telling))[:_SHOWN_PROPERTIES]
        return f"{len(changes):,} properties, among them {listed(paths)}"
    return ", ".join(_in_short(one) for one in changes)


def _in_short(one: PropertyChange) -> str:
    values = [value_text(value, _SHORT) for value in (one.old, one.new) if value is not ABSENT]
    path = quote(_short_path(one))
    if one.reordered or any(len(value) > _SHOWN_CHARACTERS for value in values):
        return path
    if one.old is ABSENT:
        return f"{path} (new: {quote(values[0])})"
    if one.new is ABSENT:
        return f"{path} (was {quote(values[0])})"
    return f"{path} {quote(values[0])} → {quote(values[1])}"


def _short_path(one: PropertyChange) -> str:
    """The end of a path, from its last two keys."""
    keys = [number for number, step in enumerate(one.path) if not isinstance(step, Item)]
    start = keys[-2] if len(keys) > 1 and not isinstance(one.path[-1], Item) else keys[-1] if keys else 0
    return path_text(one.path[start:]) or "all of it"


def _notes(report: StackReport) -> list[str]:
    comparison = report.comparison
    notes = [f"Provider plugin {quote(one.path[0])}: {quote(one.old)} → {quote(one.new)}" for one in comparison.plugins]
    if comparison.order_only:
        names = quote(comparison.order_only[0].name)
        more = len(comparison.order_only) - 1
        also = f" and {more:,} more differ" if more else " differs"
        notes.append(
            f"{names}{also} only in the order of lists that are sets or go by name, which is not shown; "
            "a change of that kind in a pod template still restarts the pod."
        )
    return notes
