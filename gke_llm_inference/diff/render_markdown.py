"""A report as one comment for a pull request: GitHub's Markdown, bounded, and safe whatever names and values say.

Everything that comes from a program or a configuration is in a code span, a code block or an escaped `<code>`,
where neither markup nor @mentions nor #references have a meaning.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gke_llm_inference.diff.details import Bounds, property_lines, resource_lines
from gke_llm_inference.diff.plan_changes import UNKNOWN_COST, PlanChanges, Row, ServerChange
from gke_llm_inference.diff.report import LIMITS, Report, StackReport
from gke_llm_inference.diff.severity import Severity
from gke_llm_inference.diff.summary import Summary, summary_of
from gke_llm_inference.diff.wording import count, quote, render_quotes, shortened, visible

MARKER = "<!-- gke-llm-inference preview -->"
"""First line of every comment, by which it is found and edited in place."""

LIMIT = 60_000
"""Bytes of a comment; GitHub takes 65,536 characters."""

_SIGNS = {
    None: "🟢",
    Severity.NOTE: "🟢",
    Severity.UNCLEAR: "🟡",
    Severity.WEAKENED: "🟠",
    Severity.RESTARTS: "🟠",
    Severity.STOPPED: "🔴",
    Severity.OPENED: "🔴",
    Severity.REPLACED: "🔴",
    Severity.REMOVED: "🔴",
}
_FAILS = "❌"
_IN_FULL = "What is left out here is in the full report, an artifact of the run that made this comment."
_SAFE_IN_HTML = re.compile(r"[^A-Za-z0-9 ]")


@dataclass(frozen=True)
class _Level:
    """How much is shown; levels follow each other until the comment is short enough."""

    lines: int
    servers: int
    bounds: Bounds | None
    """Of the details; None for no details."""
    text: int
    """Characters of a program's message."""
    stacks: int = 100


_LEVELS = (
    _Level(200, 30, Bounds(properties=200, value=500), 4000),
    _Level(100, 15, Bounds(properties=30, value=200), 3000),
    _Level(50, 8, Bounds(properties=8, value=120), 2000),
    _Level(25, 4, None, 1000),
    _Level(8, 2, None, 400, stacks=40),
    _Level(0, 0, None, 200, stacks=40),
)


def render_markdown(report: Report, limit: int = LIMIT) -> str:
    """The comment, of at most `limit` bytes; what was left out is said in it."""
    text = ""
    for number, level in enumerate(_LEVELS):
        text = _render(report, level, shortened_by=number)
        if len(text.encode()) <= limit:
            return text
    return _cut(text, limit)


def _cut(text: str, limit: int) -> str:
    """The last resort: whole lines of the table of stacks, up to the limit."""
    kept = []
    left = limit - 200
    for line in text.splitlines():
        left -= len(line.encode()) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join([*kept, "", f"Too much changes for a comment. {_IN_FULL}", ""])


def _render(report: Report, level: _Level, *, shortened_by: int) -> str:
    summaries = {stack.stack: summary_of(stack) for stack in report.stacks}
    parts = [MARKER, f"### Preview of {code(report.project)}", _compared(report)]
    if report.base_problem:
        problem = _sentence(report.base_problem)
        parts.append(f"🟡 **Nothing to compare with:** {problem}. Everything is shown as new.")
    if report.note:
        parts.append(f"🟡 {_sentence(report.note)}")
    parts.append(_tallies(report, summaries, level))
    if shortened_by:
        parts.append("Shortened to fit a comment.")
    if report.dependencies:
        changes = [
            f"{quote(one.path[0])} {quote(_version(one.old))} → {quote(_version(one.new))}"
            for one in report.dependencies[: max(level.lines, 5)]
        ]
        more = len(report.dependencies) - len(changes)
        also = f" and {more:,} more" if more else ""
        parts.append(f"Locked dependencies: {_sentence(', '.join(changes))}{also}.")
    for stack in report.stacks[: level.stacks] if level.lines else ():
        parts += _stack(stack, summaries[stack.stack], level)
    parts.append(f"<sub>{LIMITS} {_IN_FULL}</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _version(value: object) -> str:
    return value if isinstance(value, str) else "none"


def _compared(report: Report) -> str:
    return f"{_sentence(report.head)}, compared with {_sentence(report.base)}"


def _tallies(report: Report, summaries: dict[str, Summary], level: _Level) -> str:
    rows = [
        "| stack | what happens | new | changed | replaced | removed | restarts | cost a month |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for stack in report.stacks[: level.stacks]:
        summary, tally = summaries[stack.stack], stack.tally
        sign = _sign(stack, summary)
        numbers = (tally.added, tally.changed + tally.renamed, tally.replaced, tally.removed, tally.restarts)
        cells = [
            code(stack.stack, table=True),
            f"{sign} {summary.verdict}",
            *(f"{number:,}" if number else "–" for number in numbers),
            _cell(_cost(summary.plan)) if stack.outcome != "failed" else "",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    more = len(report.stacks) - level.stacks
    if more > 0:
        rows.append(f"| and {count(more, 'more stack')} |" + " |" * 7)
    return "\n".join(rows)


def _sign(report: StackReport, summary: Summary) -> str:
    if report.outcome == "failed":
        return _FAILS
    severity = summary.severity
    if report.outcome == "no base":
        severity = max(Severity.UNCLEAR, severity or Severity.NOTE)
    return _SIGNS[severity]


def _cost(plan: PlanChanges) -> str:
    return UNKNOWN_COST if plan.cost is None else plan.cost.text


def _stack(report: StackReport, summary: Summary, level: _Level) -> Iterable[str]:
    sign = _sign(report, summary)
    yield f"#### {sign} {code(report.stack)}: {summary.verdict}"
    if report.outcome == "failed":
        yield "This revision cannot be deployed:"
        yield fenced(shortened("\n".join(report.problems), level.text).splitlines())
        return
    if report.outcome == "gone":
        yield (
            "This revision has no file for it. Pulumi deletes nothing because of that: what is deployed stays, and "
            f"{code('pulumi destroy')} needs the old revision."
        )
    elif report.problems:
        yield "The base cannot be previewed; everything is shown as new:"
        yield fenced(shortened("\n".join(report.problems), level.text).splitlines())
    yield from _plan(summary.plan, level)
    yield _lines(summary, level)
    for note in summary.notes:
        yield _sentence(note)
    for heading, warnings in (
        ("New warnings", report.comparison.new_warnings),
        ("Warnings no longer given", report.comparison.gone_warnings),
    ):
        if warnings:
            yield f"{heading}:"
            yield fenced(shortened("\n".join(warnings), level.text).splitlines())
    yield from _details(report, level)


def _plan(plan: PlanChanges, level: _Level) -> Iterable[str]:
    for server in plan.servers[: level.servers]:
        yield from _server(server)
    more = len(plan.servers) - level.servers
    if more > 0:
        yield f"The plans of {count(more, 'more server')} change."
    if plan.same:
        yield "The plan of every server is unchanged."
    facts = [_row(row) for row in plan.quota]
    if facts:
        yield f"GPU quota in use: {'; '.join(facts)}."
    if plan.cost is not None:
        notes = f" Counted: {_sentence('; '.join(plan.notes))}." if plan.notes else ""
        yield f"**Cost a month:** {_sentence(_cost(plan))}.{notes}"


def _server(server: ServerChange) -> Iterable[str]:
    name = code(server.name)
    yield {
        "added": f"**Server {name} is new**",
        "removed": f"**Server {name} is removed**",
        "changed": f"**Plan of server {name}**",
    }[server.action]
    if server.rows:
        before, after = ("before", "after") if server.action == "changed" else ("", "")
        heads = ["", before, after] if server.action == "changed" else ["", ""]
        rows = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---'] * len(heads))} |"]
        for row in server.rows:
            note = f" ({row.note})" if row.note else ""
            values = [row.before or "–", f"{row.after or '–'}{note}"]
            if server.action != "changed":
                values = [row.after or row.before]
            rows.append(f"| {' | '.join([row.label, *(_cell(value) for value in values)])} |")
        yield "\n".join(rows)
    if server.new_decisions or server.gone_decisions:
        decided = [f"+ {visible(one)}" for one in server.new_decisions]
        decided += [f"- {visible(one)}" for one in server.gone_decisions]
        yield "Decided by presets and rules:"
        yield fenced([shortened(line, 300) for line in decided[:20]], "diff")
    if server.same:
        yield f"Unchanged: {'; '.join(f'{row.label} {_sentence(row.after)}' for row in server.same)}."


def _row(row: Row) -> str:
    return f"{code(row.label)} {_sentence(row.before or 'none')} → {_sentence(row.after or 'none')}"


def _lines(summary: Summary, level: _Level) -> str:
    lines = [f"- {_SIGNS[line.severity]} {_sentence(line.text)}" for line in summary.lines[: level.lines]]
    more = len(summary.lines) - len(lines)
    if more:
        lines.append(f"- and {count(more, 'more resource')}")
    return "\n".join(lines)


def _details(report: StackReport, level: _Level) -> Iterable[str]:
    comparison = report.comparison
    if level.bounds is None or not (comparison.resources or comparison.exports):
        return
    changes = comparison.resources[: level.lines]
    lines: list[str] = []
    for change in changes:
        lines += resource_lines(change, report.kind(change), level.bounds)
    if comparison.exports:
        lines += ["@@ exports of the stack @@", *property_lines(comparison.exports, level.bounds)]
    yield f"<details><summary>Every property of {count(len(changes), 'resource')}</summary>"
    yield fenced(lines, "diff")
    yield "</details>"


def _sentence(text: str) -> str:
    return render_quotes(text, code)


def _cell(text: str) -> str:
    return render_quotes(text, lambda quoted: code(quoted, table=True))


def code(text: str, *, table: bool = False) -> str:
    """Text as code within a line. In tables, where a pipe ends the cell even in code, as escaped HTML if need be."""
    text = visible(text)
    if not text.strip():
        return "(empty)"
    if table and re.search(r"[|\\`]", text):
        return f"<code>{_SAFE_IN_HTML.sub(lambda match: f'&#{ord(match[0])};', text)}</code>"
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def fenced(lines: Sequence[str], language: str = "text") -> str:
    """Lines as a code block, which nothing in them ends."""
    content = [visible(line) for line in lines]
    longest = max((len(run) for line in content for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *content, fence])
