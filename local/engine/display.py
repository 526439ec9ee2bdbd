"""What the engine does, a line at a time, within the terminal's width."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TextIO

from gke_llm_inference.preview.tree import short_type
from gke_llm_inference.terminal import printable, wrapped

if TYPE_CHECKING:
    from pulumi.automation import EngineEvent

_DONE = {
    "create": "created",
    "create-replacement": "created again",
    "delete": "deleted",
    "delete-replaced": "deleted, replaced",
    "import": "imported",
    "read": "read",
    "update": "updated",
}
_SIGNS = {"create": "+", "delete": "-", "update": "~"}
_SHOWN = ("info", "warning", "error", "info#err")
_STACK_TYPE = "pulumi:pulumi:Stack"


class Display:
    """Prints what an operation does; give `show` as its `on_event`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started: dict[str, float] = {}
        self._shown: dict[str, str] = {}
        self._lock = threading.Lock()
        self.changes: dict[str, int] = {}
        """Resources by what was done with them, once the operation has ended."""

    def show(self, event: EngineEvent) -> None:
        """Takes an event of the engine."""
        with self._lock:
            if (pre := event.resource_pre_event) is not None:
                self._started[pre.metadata.urn] = time.monotonic()
            elif (done := event.res_outputs_event) is not None:
                self._step(str(getattr(done.metadata.op, "value", done.metadata.op)), done.metadata.urn)
            elif (failure := event.res_op_failed_event) is not None:
                self._line(f"! {_label(failure.metadata.urn)} failed")
            elif (message := event.diagnostic_event) is not None:
                self._message(message.severity, message.message, message.urn, ephemeral=bool(message.ephemeral))
            elif (summary := event.summary_event) is not None:
                self.changes = {str(getattr(op, "value", op)): count for op, count in summary.resource_changes.items()}

    def _step(self, op: str, urn: str) -> None:
        word = _DONE.get(op)
        if word is None or urn.split("::")[2] == _STACK_TYPE:
            return
        seconds = time.monotonic() - self._started.get(urn, time.monotonic())
        took = f" ({seconds:.1f} s)" if seconds >= 1 else ""
        self._line(f"{_SIGNS.get(op.partition('-')[0], '·')} {_label(urn)} {word}{took}")

    def _message(self, severity: str, text: str, urn: str | None, *, ephemeral: bool) -> None:
        text = text.strip()
        if severity not in _SHOWN or not text:
            return
        name = "" if not urn or urn.split("::")[2] == _STACK_TYPE else urn.rpartition("::")[2]
        if ephemeral:
            if self._shown.get(name) != text:
                self._shown[name] = text
                self._line(f"  {name}: {text}")
            return
        sign = {"warning": "warning: ", "error": "error: "}.get(severity, "")
        self._line(f"{sign}{f'{name}: ' if name else ''}{text}")

    def _line(self, text: str) -> None:
        for line in printable(text, lines=True).splitlines():
            indent = len(line) - len(line.lstrip()) + 4
            print("\n".join(wrapped(line, rest=" " * indent)), file=self._stream, flush=True)


def counted(changes: dict[str, int]) -> str:
    """`3 created, 1 updated, 5 unchanged`."""
    words = {**_DONE, "same": "unchanged", "replace": "replaced"}
    parts = [f"{count} {words[op]}" for op, count in sorted(changes.items()) if op in words and count]
    return ", ".join(parts) or "nothing to do"


def _label(urn: str) -> str:
    type_ = urn.split("::")[2].rsplit("$", 1)[-1]
    return f"{short_type(type_)} {urn.rpartition('::')[2]}"
