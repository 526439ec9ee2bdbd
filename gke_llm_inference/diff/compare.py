"""Pure comparison of two recordings of a stack: resources, exports, warnings and provider plugins."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gke_llm_inference.diff.identity import match
from gke_llm_inference.diff.values import ABSENT, PropertyChange, canonical, differences
from gke_llm_inference.preview.recording import Recording, Resource, Severity
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE, package_of

Action = Literal["added", "removed", "changed", "renamed"]

# Compared in a section of their own, or of no effect on what is deployed.
_UNCOMPARED_OPTIONS = frozenset({"version", "pluginDownloadURL", "packageRef", "additionalSecretOutputs", "hideDiffs"})
# Options that hold URNs of other resources.
_REFERENCES = frozenset({"provider", "providers", "deletedWith", "replaceWith"})


@dataclass(frozen=True)
class ResourceChange:
    """What happens to one resource."""

    action: Action
    base: Resource | None
    head: Resource | None
    properties: tuple[PropertyChange, ...] = ()
    """Changes of its inputs."""
    options: tuple[PropertyChange, ...] = ()
    """Changes of its resource options, such as `protect`."""

    @property
    def resource(self) -> Resource:
        """The newest of it."""
        resource = self.head or self.base
        assert resource is not None
        return resource


@dataclass(frozen=True)
class Comparison:
    """Everything that differs between two recordings, sorted by URN."""

    resources: tuple[ResourceChange, ...]
    exports: tuple[PropertyChange, ...] = ()
    plugins: tuple[PropertyChange, ...] = ()
    """Versions of provider plugins."""
    order_only: tuple[Resource, ...] = ()
    """Resources that differ only in an order that means nothing."""
    new_warnings: tuple[str, ...] = ()
    gone_warnings: tuple[str, ...] = ()
    unchanged: int = 0
    """Number of resources that stay as they are."""


def compare(base: Recording, head: Recording) -> Comparison:
    """What changes from one recording to another.

    Not compared: outputs, which follow from inputs; the order in which resources are made; secret values, which
    a recording does not have.
    """
    matches = match(base, head)
    changes = [ResourceChange("added", None, resource) for resource in matches.added]
    changes += [ResourceChange("removed", resource, None) for resource in matches.removed]
    order_only: list[Resource] = []
    unchanged = 0
    for old, new in matches.pairs:
        properties = tuple(differences(old.inputs, new.inputs))
        options = tuple(differences(_options(old, matches.renamed), _options(new, {})))
        if old.urn != new.urn and old.type != STACK_TYPE:
            changes.append(ResourceChange("renamed", old, new, properties, options))
        elif properties or options:
            changes.append(ResourceChange("changed", old, new, properties, options))
        else:
            unchanged += 1
            if canonical(_without_nulls(old.inputs)) != canonical(_without_nulls(new.inputs)):
                order_only.append(new)
    before, after = set(_warnings(base)), set(_warnings(head))
    return Comparison(
        resources=tuple(sorted(changes, key=lambda change: (change.resource.urn, change.action))),
        exports=tuple(differences(base.exports, head.exports)),
        plugins=tuple(one for one in differences(_plugins(base), _plugins(head)) if ABSENT not in (one.old, one.new)),
        order_only=tuple(order_only),
        new_warnings=tuple(sorted(after - before)),
        gone_warnings=tuple(sorted(before - after)),
        unchanged=unchanged,
    )


def everything_added(head: Recording) -> Comparison:
    """The comparison with nothing: every resource is added."""
    return Comparison(
        resources=tuple(ResourceChange("added", None, resource) for resource in head.resources),
        new_warnings=tuple(sorted(set(_warnings(head)))),
    )


def everything_removed(base: Recording) -> Comparison:
    """The comparison with a stack that is no more: every resource is removed."""
    return Comparison(resources=tuple(ResourceChange("removed", resource, None) for resource in base.resources))


def _options(resource: Resource, renamed: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {"protect": resource.protect, "provider": resource.provider, **resource.options}
    return {
        key: _follow(value, renamed) if key in _REFERENCES else value
        for key, value in options.items()
        if key not in _UNCOMPARED_OPTIONS
    }


def _follow(value: Any, renamed: Mapping[str, str]) -> Any:
    """References to resources that were renamed, by their new URNs."""
    if isinstance(value, str):
        return renamed.get(value, value)
    if isinstance(value, dict):
        return {key: _follow(item, renamed) for key, item in value.items()}
    if isinstance(value, list):
        return [_follow(item, renamed) for item in value]
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _plugins(recording: Recording) -> dict[str, str]:
    versions: dict[str, set[str]] = {}
    for resource in recording.resources:
        package, version = package_of(resource.type), resource.options.get("version")
        if package and isinstance(version, str):
            versions.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(found)) for package, found in versions.items()}


def _warnings(recording: Recording) -> Iterator[str]:
    for entry in recording.messages(Severity.WARNING):
        name = f"{entry.urn.rpartition('::')[2]}: " if entry.urn else ""
        yield f"{name}{entry.message}"
