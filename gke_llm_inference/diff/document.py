"""A report as one JSON document, in full."""

from typing import Any

from gke_llm_inference.diff.compare import ResourceChange
from gke_llm_inference.diff.plan_changes import PlanChanges
from gke_llm_inference.diff.report import LIMITS, Report, StackReport
from gke_llm_inference.diff.summary import summary_of
from gke_llm_inference.diff.wording import plain_data, render_quotes


def document_of(report: Report) -> dict[str, Any]:
    """The report for other programs; keys in reading order, lists sorted."""
    document: dict[str, Any] = plain_data(
        {
            "project": report.project,
            "head": report.head,
            "base": report.base,
            "baseProblem": report.base_problem or None,
            "note": report.note or None,
            "dependencies": [one.as_dict() for one in report.dependencies],
        }
    )
    # Values of resources are not sentences: they are left as they are.
    return {**document, "stacks": [_stack(stack) for stack in report.stacks], "limits": LIMITS}


def _stack(report: StackReport) -> dict[str, Any]:
    summary, comparison = summary_of(report), report.comparison
    return {
        "stack": report.stack,
        "outcome": report.outcome,
        "verdict": summary.verdict,
        "problems": list(report.problems),
        "tally": report.tally.as_dict(),
        "plan": plain_data(_plan(summary.plan)),
        "resources": [_resource(report, change) for change in comparison.resources],
        "exports": [one.as_dict() for one in comparison.exports],
        "plugins": [one.as_dict() for one in comparison.plugins],
        "orderOnly": [resource.urn for resource in comparison.order_only],
        "newWarnings": list(comparison.new_warnings),
        "goneWarnings": list(comparison.gone_warnings),
        "unchanged": comparison.unchanged,
    }


def _resource(report: StackReport, change: ResourceChange) -> dict[str, Any]:
    document: dict[str, Any] = {
        "action": change.action,
        "kind": report.kind(change),
        "urn": change.resource.urn,
        "type": change.resource.type,
        "name": change.resource.name,
    }
    if change.action == "renamed" and change.base is not None:
        document["formerUrn"] = change.base.urn
    if change.action in ("added", "removed"):
        document["inputs"] = change.resource.inputs
    else:
        document["properties"] = [one.as_dict() for one in change.properties]
        document["options"] = [one.as_dict() for one in change.options]
    document["effects"] = [
        {"severity": effect.severity.name.lower(), "text": render_quotes(effect.text)}
        for effect in report.effects.of(change)
    ]
    return document


def _plan(plan: PlanChanges) -> dict[str, Any]:
    return {
        "servers": [
            {
                "name": server.name,
                "action": server.action,
                "figures": [row.as_dict() for row in server.rows],
                "same": [row.as_dict() for row in server.same],
                "newDecisions": list(server.new_decisions),
                "goneDecisions": list(server.gone_decisions),
            }
            for server in plan.servers
        ],
        "quota": [row.as_dict() for row in plan.quota],
        "cost": plan.cost.as_dict() if plan.cost is not None else None,
        "notes": list(plan.notes),
    }
