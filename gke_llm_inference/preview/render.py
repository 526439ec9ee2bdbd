"""A recording as text for people, and as one JSON document for programs."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from gke_llm_inference.preview.recording import Severity
from gke_llm_inference.preview.tree import build_tree, servers_of, short_type
from gke_llm_inference.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gke_llm_inference.preview.manifests import Manifest
    from gke_llm_inference.preview.recording import LogEntry, Recording, Resource
    from gke_llm_inference.preview.tree import Node, Server

_WIDTH = 80
_LABEL_WIDTH = 12


class Style:
    """The few marks of the text: branches of the tree and, on a terminal, emphasis."""

    def __init__(self, *, colour: bool = False, ascii_only: bool = False) -> None:
        self.colour = colour
        self.branch, self.last, self.line, self.gap = (
            ("|- ", "`- ", "|  ", "   ") if ascii_only else ("├─ ", "└─ ", "│  ", "   ")
        )
        self.times = "x" if ascii_only else "×"

    def bold(self, text: str) -> str:
        """Headings."""
        return f"\x1b[1m{text}\x1b[0m" if self.colour else text

    def faint(self, text: str) -> str:
        """What is said beside the names."""
        return f"\x1b[2m{text}\x1b[0m" if self.colour else text

    def warning(self, text: str) -> str:
        """The mark of a warning."""
        return f"\x1b[33m{text}\x1b[0m" if self.colour else text


def render_text(
    recording: Recording,
    *,
    manifests: Sequence[Manifest] = (),
    files: Sequence[str] = (),
    style: Style | None = None,
) -> str:
    """The preview for reading. `files` are the paths that were written, if any, `resources.json` first."""
    style = style or Style()
    title = f"{recording.project}/{recording.stack}"
    lines = [
        style.bold(printable(title)) + f": {_count(len(recording.resources), 'resource')}, no cloud contacted",
        "",
    ]
    lines.extend(_tree_lines(build_tree(recording), style))
    servers = servers_of(recording)
    if servers:
        lines.extend(("", style.bold("Servers")))
        for server in servers:
            lines.extend(_server_lines(server, style))
    if recording.exports:
        lines.extend(("", style.bold("Exports")))
        for name, value in sorted(recording.exports.items()):
            lines.append(f"  {printable(name)}: {printable(_short(value))}")
    for heading, severity in (("Warnings", Severity.WARNING), ("Notes", Severity.INFO)):
        entries = recording.messages(severity)
        if entries:
            lines.extend(("", style.bold(heading)))
            for entry in entries:
                lines.extend(_message_lines(entry, style if severity is Severity.WARNING else None))
    lines.extend(("", style.bold("Resources by type")))
    counts = recording.counts()
    width = len(str(max(counts.values(), default=0)))
    lines.extend(f"  {count:>{width}}  {printable(short_type(type_))}" for type_, count in counts.items())
    if files:
        lines.extend(("", f"wrote {printable(files[0])} and {_count(len(manifests), 'manifest')}"))
        unknown = sum(manifest.has_unknowns for manifest in manifests)
        if unknown:
            lines.append(f"  {_count(unknown, 'manifest')} with values that only a deployment knows: [unknown]")
    return "\n".join(lines) + "\n"


def render_document(recording: Recording, *, files: Sequence[str] = ()) -> dict[str, Any]:
    """The one document of `--json`."""
    return {
        "project": recording.project,
        "stack": recording.stack,
        "resourceCount": len(recording.resources),
        "counts": recording.counts(),
        "tree": [node.as_dict() for node in build_tree(recording)],
        "servers": [server.as_dict() for server in servers_of(recording)],
        "warnings": [_entry_document(entry) for entry in recording.messages(Severity.WARNING)],
        "notes": [_entry_document(entry) for entry in recording.messages(Severity.INFO)],
        "exports": recording.exports,
        "resources": [resource.as_dict() for resource in recording.resources],
        "files": list(files),
    }


def _entry_document(entry: LogEntry) -> dict[str, Any]:
    return {"message": entry.message, "urn": entry.urn}


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _tree_lines(roots: Sequence[Node], style: Style) -> Iterator[str]:
    for root in roots:
        yield _node_line(root, "", style)
        yield from _below(root, "", style)


def _below(node: Node, indent: str, style: Style) -> Iterator[str]:
    for position, child in enumerate(node.children, start=1):
        is_last = position == len(node.children)
        yield _node_line(child, indent + (style.last if is_last else style.branch), style)
        yield from _below(child, indent + (style.gap if is_last else style.line), style)


def _node_line(node: Node, prefix: str, style: Style) -> str:
    resource: Resource = node.resource
    text = f"{prefix}{printable(resource.name)}  {style.faint(printable(short_type(resource.type)))}"
    if node.children:
        text += f" ({_count(node.descendants, 'resource')})"
    return text


def _server_lines(server: Server, style: Style) -> Iterator[str]:
    what = " ".join(_short(part) for part in (server.server, server.version) if part is not None)
    head = ", ".join(part for part in (what, _short(server.model) if server.model else "") if part)
    yield f"  {style.bold(printable(server.name))}" + (f": {printable(head)}" if head else "")
    gpus = None
    if server.gpu_count is not None or server.gpu_type is not None:
        count = 1 if server.gpu_count is None else server.gpu_count
        gpus = f"{_short(count)} {style.times} {_short(server.gpu_type or 'GPU')}"
    for label, value in (
        ("image", server.image),
        ("GPUs", gpus),
        ("machine", server.machine_type),
        ("replicas", server.replicas),
        ("url", server.url),
    ):
        if value is not None:
            yield f"    {label:<{_LABEL_WIDTH}}{printable(_short(value))}"
    if server.args is not None:
        arguments = server.args if isinstance(server.args, list) else [server.args]
        label = "arguments"
        for argument in arguments:
            yield f"    {label:<{_LABEL_WIDTH}}{printable(_short(argument))}"
            label = ""


def _message_lines(entry: LogEntry, style: Style | None) -> Iterator[str]:
    mark = style.warning("! ") if style else "- "
    text = printable(entry.message, lines=True)
    if entry.urn:
        text = f"{printable(entry.urn.rsplit('::', 1)[-1])}: {text}"
    first = True
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        wrapped = textwrap.wrap(
            line, _WIDTH - 4, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
        for part in wrapped or [""]:
            yield f"  {mark if first else '  '}{part}"
            first = False


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
