"""A report as text for a terminal, in full."""

from collections.abc import Iterator

from gke_llm_inference.diff.details import Bounds, property_lines, resource_lines
from gke_llm_inference.diff.plan_changes import PlanChanges, lines_of
from gke_llm_inference.diff.report import LIMITS, Report, StackReport
from gke_llm_inference.diff.severity import Severity
from gke_llm_inference.diff.summary import summary_of
from gke_llm_inference.diff.wording import render_quotes, visible
from gke_llm_inference.terminal import wrapped

_ALL = Bounds()
_MARKS = {
    None: "-",
    Severity.NOTE: "-",
    Severity.UNCLEAR: "?",
    Severity.WEAKENED: "!",
    Severity.RESTARTS: "!",
    Severity.STOPPED: "X",
    Severity.OPENED: "X",
    Severity.REPLACED: "X",
    Severity.REMOVED: "X",
}


def render_text(report: Report) -> str:
    """The report for reading; nothing is left out."""
    lines = [f"{visible(report.project)}: {render_quotes(report.head)}, compared with {render_quotes(report.base)}"]
    if report.base_problem:
        lines += wrapped(f"Nothing to compare with: {render_quotes(report.base_problem)}. Everything is shown as new.")
    if report.note:
        lines += wrapped(render_quotes(report.note))
    if report.dependencies:
        lines += ["", "Locked dependencies", *property_lines(report.dependencies, _ALL)]
    for stack in report.stacks:
        lines += ["", *_stack(stack)]
    lines += ["", *wrapped(LIMITS)]
    return "\n".join(lines) + "\n"


def _stack(report: StackReport) -> Iterator[str]:
    summary = summary_of(report)
    yield from wrapped(f"== {visible(report.stack)}: {summary.verdict}", "", "   ")
    if report.problems:
        heading = "This revision cannot be deployed:" if report.outcome == "failed" else "Problems of the base:"
        yield heading
        yield from (f"  {visible(line)}" for problem in report.problems for line in problem.splitlines())
    if report.outcome == "failed":
        return
    if report.outcome == "gone":
        yield from wrapped(
            "This revision has no file for it. Pulumi deletes nothing because of that: what is deployed stays, and "
            "pulumi destroy needs the old revision."
        )
    yield from _plan(summary.plan)
    if summary.lines:
        yield "Resources (X: gone, stopped or open; !: restarts or loses something; ?: unclear)"
        for line in summary.lines:
            yield from wrapped(render_quotes(line.text), f"  {_MARKS[line.severity]} ", "    ")
    for note in summary.notes:
        yield from wrapped(render_quotes(note))
    for heading, warnings in (
        ("New warnings", report.comparison.new_warnings),
        ("Warnings no longer given", report.comparison.gone_warnings),
    ):
        if warnings:
            yield heading
            yield from (f"  {visible(line)}" for warning in warnings for line in warning.splitlines())
    if report.comparison.resources or report.comparison.exports:
        yield "Properties"
    for change in report.comparison.resources:
        yield from (f"  {line}" for line in resource_lines(change, report.kind(change), _ALL))
    if report.comparison.exports:
        yield "  @@ exports of the stack @@"
        yield from (f"  {line}" for line in property_lines(report.comparison.exports, _ALL))


def _plan(plan: PlanChanges) -> Iterator[str]:
    for server in plan.servers:
        yield (
            f"Plan of {visible(server.name)}"
            + {"added": " (new)", "removed": " (removed)", "changed": ""}[server.action]
        )
        for line in lines_of(server):
            yield from wrapped(render_quotes(line), "  ", "    ")
        if server.same:
            yield from wrapped(
                "unchanged: " + "; ".join(f"{row.label} {render_quotes(row.after)}" for row in server.same),
                "  ",
                "    ",
            )
    if plan.same:
        yield "The plan of every server is unchanged."
    for row in plan.quota:
        yield f"Quota {visible(row.label)}: {row.before or 'none'} → {row.after or 'none'}"
    if plan.cost is not None:
        yield f"Cost a month: {plan.cost.text}"
        for text in plan.notes:
            yield from wrapped(render_quotes(text), "  ", "  ")
