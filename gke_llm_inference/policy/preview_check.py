"""The policies on an offline preview: the same checks as in the pack, and a report for people and programs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gke_llm_inference.policy.checks import check
from gke_llm_inference.policy.configuration import (
    Configured,
    configure,
    environment_document,
    environment_of,
    read_document,
)
from gke_llm_inference.policy.model import Level, Policy, Violation
from gke_llm_inference.policy.resources import Opaque, Resource
from gke_llm_inference.preview.recording import Recording
from gke_llm_inference.terminal import SECRET, UNKNOWN, printable, wrapped

_INDENT = " " * 6
_OPAQUE = {SECRET: Opaque.SECRET, UNKNOWN: Opaque.UNKNOWN, "[unrecognised value]": Opaque.UNKNOWN}
_ASSET = "[asset]"


@dataclass(frozen=True)
class Found:
    """A violation with its policy and level."""

    policy: Policy
    level: Level
    violation: Violation


@dataclass(frozen=True)
class Report:
    """What a check of a stack gave.

    Attributes:
        environment: whose levels were taken.
        checked: the policies that were looked at, with their levels.
        found: the violations, mandatory ones first.

    """

    environment: str
    checked: tuple[Configured, ...]
    found: tuple[Found, ...]

    @property
    def passed(self) -> bool:
        """Whether no mandatory policy is violated."""
        return not any(one.level == "mandatory" for one in self.found)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "environment": self.environment,
            "passed": self.passed,
            "checked": [{"policy": one.policy.name, "level": one.level} for one in self.checked],
            "violations": [
                {
                    "policy": one.policy.name,
                    "level": one.level,
                    "urn": one.violation.urn or None,
                    "message": one.violation.message,
                    "why": one.policy.why,
                    "fix": one.policy.fix,
                }
                for one in self.found
            ],
        }


def check_recording(recording: Recording, stated: str | None = None, config_file: Path | None = None) -> Report:
    """Check a recorded stack.

    Args:
        recording: the stack.
        stated: the environment that the stack's configuration names, if it does.
        config_file: a file of levels and settings that go over the environment's.

    Raises:
        Refusal: there is no such environment, or a file of levels is wrong.

    """
    environment = environment_of(recording.stack, stated)
    documents = [environment_document(environment)]
    if config_file is not None:
        documents.append(read_document(config_file))
    checked = tuple(one for one in configure(*documents) if one.level != "disabled")
    resources = resources_of(recording)
    found = [
        Found(one.policy, one.level, violation)
        for one in checked
        for violation in check(one.policy, resources, one.settings)
    ]
    found.sort(key=lambda one: (one.level != "mandatory", one.violation))
    return Report(environment, checked, tuple(found))


def resources_of(recording: Recording) -> tuple[Resource, ...]:
    """The resources of a recording as policies read them, without those that it only reads."""
    return tuple(
        Resource(one.urn, one.type, one.name, {key: _plain(item) for key, item in one.inputs.items()}, one.protect)
        for one in recording.resources
        if not one.options.get("external")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return Opaque.UNKNOWN if set(value) == {_ASSET} else {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return _OPAQUE.get(value, value) if isinstance(value, str) else value


def report_text(report: Report) -> str:
    """The report as text."""
    mandatory = sum(one.level == "mandatory" for one in report.found)
    counts = f"{_count(len(report.found), 'violation')}, {mandatory} mandatory" if report.found else "no violation"
    lines = [f"Policies: {len(report.checked)} checked with the levels of {report.environment}, {counts}"]
    for name in dict.fromkeys(one.policy.name for one in report.found):
        lines += _policy_lines([one for one in report.found if one.policy.name == name])
    return "\n".join(lines) + "\n"


def _policy_lines(found: Sequence[Found]) -> Iterator[str]:
    first = found[0]
    yield ""
    yield f"  {first.level}: {first.policy.name}"
    for one in found:
        name = one.violation.urn.rpartition("::")[2] or "the stack"
        mark = "    ! " if one.level == "mandatory" else "    - "
        yield from wrapped(printable(f"{name}: {one.violation.message}"), mark, _INDENT)
    yield from wrapped(printable(f"why: {first.policy.why}"), _INDENT, _INDENT)
    yield from wrapped(printable(f"fix: {first.policy.fix}"), _INDENT, _INDENT)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
