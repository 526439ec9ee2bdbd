"""A recording as text for people, and as one JSON document for programs."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from gke_llm_inference.preview.manifests import Manifest
from gke_llm_inference.preview.recording import LogEntry, Recording, Resource, Severity
from gke_llm_inference.preview.tree import Node, Server, build_tree, servers_of, short_type
from gke_llm_inference.terminal import Look, printable, wrapped

_LABEL_WIDTH = 12


def render_text(
    recording: Recording,
    *,
    manifests: Sequence[Manifest] = (),
    files: Sequence[str] = (),
    look: Look | None = None,
) -> str:
    """The preview for reading. `files` are the paths that were written, if any, `resources.json` first."""
    look = look or Look()
    title = f"{recording.project}/{recording.stack}"
    lines = [
        look.bold(printable(title)) + f": {_count(len(recording.resources), 'resource')}, no cloud contacted",
        "",
    ]
    lines.extend(_tree_lines(build_tree(recording), look))
    servers = servers_of(recording)
    if servers:
        lines.extend(("", look.bold("Servers")))
        for server in servers:
            lines.extend(_server_lines(server, look))
    if recording.exports:
        lines.extend(("", look.bold("Exports")))
        for name, value in sorted(recording.exports.items()):
            lines.append(f"  {printable(name)}: {printable(_short(value))}")
    for heading, severity in (("Warnings", Severity.WARNING), ("Notes", Severity.INFO)):
        entries = recording.messages(severity)
        if entries:
            lines.extend(("", look.bold(heading)))
            for entry in entries:
                lines.extend(_message_lines(entry, look if severity is Severity.WARNING else None))
    lines.extend(("", look.bold("Resources by type")))
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


def _tree_lines(roots: Sequence[Node], look: Look) -> Iterator[str]:
    for root in roots:
        yield _node_line(root, "", look)
        yield from _below(root, "", look)


def _below(node: Node, indent: str, look: Look) -> Iterator[str]:
    for position, child in enumerate(node.children, start=1):
        is_last = position == len(node.children)
        yield _node_line(child, indent + (look.last if is_last else look.branch), look)
        yield from _below(child, indent + (look.gap if is_last else look.line), look)


def _node_line(node: Node, prefix: str, look: Look) -> str:
    resource: Resource = node.resource
    text = f"{prefix}{printable(resource.name)}  {look.faint(printable(short_type(resource.type)))}"
    if node.children:
        text += f" ({_count(node.descendants, 'resource')})"
    return text


def _server_lines(server: Server, look: Look) -> Iterator[str]:
    what = " ".join(_short(part) for part in (server.server, server.version) if part is not None)
    head = ", ".join(part for part in (what, _short(server.model) if server.model else "") if part)
    yield f"  {look.bold(printable(server.name))}" + (f": {printable(head)}" if head else "")
    gpus = None
    if server.gpu_count is not None or server.gpu_type is not None:
        count = 1 if server.gpu_count is None else server.gpu_count
        gpus = f"{_short(count)} {look.times} {_short(server.gpu_type or 'GPU')}"
    replicas = server.replicas
    if replicas is not None and server.least_replicas not in (None, replicas):
        replicas = f"{_short(server.least_replicas)} to {_short(replicas)}"
    for label, value in (
        ("image", server.image),
        ("GPUs", gpus),
        ("machine", server.machine_type),
        ("replicas", replicas),
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


def _message_lines(entry: LogEntry, look: Look | None) -> Iterator[str]:
    mark = look.warning("! ") if look else "- "
    text = printable(entry.message, lines=True)
    if entry.urn:
        text = f"{printable(entry.urn.rsplit('::', 1)[-1])}: {text}"
    first = True
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        for part in wrapped(line.lstrip(), f"    {indent}", f"    {indent}") or [""]:
            yield f"  {mark}{part[4:]}" if first else part
            first = False


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
