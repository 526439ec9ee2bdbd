"""Recordings of the corpus, and what a comparison reports in the form in which it is expected."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from gke_llm_inference.diff.compare import Comparison, compare
from gke_llm_inference.diff.effects import Effects, effects_of
from gke_llm_inference.diff.plans import StackFacts
from gke_llm_inference.diff.severity import Severity
from gke_llm_inference.preview.recording import Recording, Resource
from tests.diff.corpus import BASES, CASES
from tests.support import Recordings

VARIANTS = Path(__file__).with_name("variants.py")
EXPECTED = Path(__file__).with_name("expected.yaml")

_VARIANT = re.compile(r"test:index:Variant(\d+)\$?")


def recordings_of_corpus(recordings: Recordings) -> dict[str, Recording]:
    """A recording for each base and each case, by name, as if each had run alone."""
    whole = recordings.program(VARIANTS)
    found: dict[int, list[Resource]] = {}
    for resource in whole.resources:
        match = _VARIANT.search(resource.urn)
        if match and not resource.type.startswith("test:index:Variant"):
            found.setdefault(int(match[1]), []).append(_alone(resource))
    names = [*BASES, *CASES]
    return {
        name: Recording(whole.project, whole.stack, tuple(sorted(found[number], key=lambda one: one.urn)))
        for number, name in enumerate(names)
    }


def _alone(resource: Resource) -> Resource:
    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return _VARIANT.sub("", value)
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(clean(item) for item in value)
        return value

    return replace(
        resource,
        urn=clean(resource.urn),
        parent=clean(resource.parent),
        provider=clean(resource.provider),
        dependencies=clean(resource.dependencies),
        property_dependencies=clean(resource.property_dependencies),
        options=clean(resource.options),
    )


def report_of(comparison: Comparison, effects: Effects) -> dict[str, Any]:
    """What is reported, without empty parts: names of resources, paths of their properties, and what it causes."""
    report: dict[str, Any] = {"added": [], "removed": [], "changed": {}, "replaced": [], "restarts": [], "unclear": []}
    for change in comparison.resources:
        name = change.resource.name
        if change.action in ("added", "removed"):
            report[change.action].append(name)
            continue
        report["changed"][name] = [one.text for one in change.properties] + [f"({one.text})" for one in change.options]
        severities = {effect.severity for effect in effects.of(change)}
        for key, severity in (
            ("replaced", Severity.REPLACED),
            ("restarts", Severity.RESTARTS),
            ("unclear", Severity.UNCLEAR),
        ):
            if severity in severities:
                report[key].append(name)
    report["follow"] = sorted(
        urn.rpartition("::")[2] for urn in effects.replaced - {change.resource.urn for change in comparison.resources}
    )
    return {key: value for key, value in report.items() if value}


def compared(base: Recording, head: Recording) -> dict[str, Any]:
    """The report of a comparison without plans."""
    comparison = compare(base, head)
    return report_of(comparison, effects_of(comparison, head, StackFacts()))
