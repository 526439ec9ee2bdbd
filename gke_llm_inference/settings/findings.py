"""How this project speaks of problems: what is wrong, why it matters, and what to change."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

from gke_llm_inference.errors import CommandError
from gke_llm_inference.secret_rules import masked

Severity = Literal["problem", "warning"]


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """One problem or warning about an input.

    Attributes:
        path: where in the stack's configuration, such as `servers.gemma.maxModelLen`.
        what: what is wrong, without echoing the value where it could be secret.
        why: why it cannot work, or what is at risk.
        fix: the cheapest change that works.
        file: the file or files that the value came from, where there is more than the stack's own.
        severity: a problem refuses the configuration, a warning does not.

    """

    path: str
    what: str
    why: str
    fix: str
    file: str = ""
    severity: Severity = "problem"

    def __post_init__(self) -> None:
        # A token that was pasted into the wrong place must not come back in the message about it.
        for field in fields(self):
            object.__setattr__(self, field.name, masked(getattr(self, field.name)))

    def __str__(self) -> str:
        lines = [f"{self.path} ({self.file}): {self.what}" if self.file else f"{self.path}: {self.what}"]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


def problems_of(findings: Iterable[Finding]) -> list[Finding]:
    """Those of the findings that refuse a configuration."""
    return [finding for finding in findings if finding.severity == "problem"]


class Refusal(CommandError):  # noqa: N818 the domain's word: a configuration is refused
    """A configuration that cannot work; carries every problem that was found, sorted by path."""

    def __init__(self, problems: Iterable[Finding]) -> None:
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        heading = f"the configuration has {count} problem{'s' if count != 1 else ''}"
        super().__init__("\n".join([f"{heading}:", *(str(problem) for problem in self.problems)]))
