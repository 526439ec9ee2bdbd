"""Writes what was looked up for a stack into its file."""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gke_llm_inference.terminal import printable, progress

if TYPE_CHECKING:
    from gke_llm_inference.cli.selection import Selection


def record(
    selection: "Selection", key: str, asked: Iterable[str], find: Callable[[str], str], noun: str
) -> dict[str, str]:
    """Look something up for each name, write all of it under a key of the stack's file, and return it.

    Args:
        selection: the stack.
        key: the setting that is written; what it had is replaced.
        asked: the names, in the order in which they are asked for.
        find: what looks one of them up.
        noun: what is found, in the singular.

    """
    from gke_llm_inference.cli.new_files import write_new
    from gke_llm_inference.cli.stack_file import with_value

    found = {}
    with progress() as tell:
        for name in asked:
            tell(f"asking for {name}")
            found[name] = find(name)
    path = selection.path
    text = path.read_text(encoding="utf-8")
    write_new({path: with_value(text, f"{selection.project.name}:{key}", found)}, force=True)
    print(printable(f"wrote {len(found)} {noun}{'s' if len(found) != 1 else ''} to {path}"), file=sys.stderr)
    return found
