"""The page that says what was tried and what survived."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tests.support import REPOSITORY

PAGE = REPOSITORY / "docs" / "faults.md"

_HEAD = """<!-- Written by `make test-faults`. -->

# What the stack on this machine survives

`make test-faults` does this to the stack `local` ([engine.md](engine.md)), with the real engine, Pulumi's Kubernetes
provider and a real control plane, in less than ten minutes, and writes this page. It fails if one of these does not
come out as it says here. Every command is held to end without a traceback, `make status` to answer within 5 s, and
`make down` to leave neither process nor file.

| what was done | what happens then |
| --- | --- |
"""


@dataclass
class Table:
    """Rows of what came out as it should."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failed: bool = False
    started: float = field(default_factory=time.monotonic)

    def survived(self, done: str, outcome: str) -> None:
        """A row, once it holds."""
        self.rows.append((done, outcome))

    def write(self) -> None:
        """Writes the page."""
        text = _HEAD + "".join(f"| {done} | {outcome} |\n" for done, outcome in self.rows)
        if self.left_out:
            text += f"\nNot tried, as ten minutes were over: {', '.join(sorted(self.left_out))}.\n"
        PAGE.write_text(text, "utf-8")
