"""What a comparison of two revisions comes to: per stack, and for all that were asked for."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gke_llm_inference.diff.compare import Comparison, ResourceChange
from gke_llm_inference.diff.effects import Effects
from gke_llm_inference.diff.plans import StackFacts
from gke_llm_inference.diff.values import PropertyChange
from gke_llm_inference.preview.recording import Recording, Resource

Outcome = Literal["compared", "no base", "gone", "failed"]

LIMITS = (
    "This comparison runs both revisions' programs without a cloud. It does not know what is deployed now and what has "
    "drifted, the defaults and names that Google Cloud and Kubernetes fill in, whether the value of a secret changed, "
    "and whether quota and capacity suffice. Which properties replace a resource comes from a table, not from the "
    "provider."
)
"""What no comparison of this kind can know."""


@dataclass(frozen=True)
class Tally:
    """Number of resources by what happens to them; each counts once, but for restarts."""

    added: int = 0
    changed: int = 0
    replaced: int = 0
    renamed: int = 0
    removed: int = 0
    restarts: int = 0
    """Workloads and node pools whose pods restart."""

    @property
    def total(self) -> int:
        """All resources that change."""
        return self.added + self.changed + self.replaced + self.renamed + self.removed

    def as_dict(self) -> dict[str, int]:
        """The JSON form."""
        return {
            "added": self.added,
            "changed": self.changed,
            "replaced": self.replaced,
            "renamed": self.renamed,
            "removed": self.removed,
            "restarts": self.restarts,
        }


@dataclass(frozen=True)
class StackReport:
    """One stack.

    Attributes:
        outcome: `no base` and `gone` compare with nothing; `failed` has nothing to compare.
        problems: why the newer revision failed, or why there is no base; text of the programs'.

    """

    stack: str
    outcome: Outcome
    comparison: Comparison = field(default_factory=lambda: Comparison(()))
    effects: Effects = field(default_factory=lambda: Effects({}, frozenset()))
    base_plan: StackFacts = field(default_factory=StackFacts)
    head_plan: StackFacts = field(default_factory=StackFacts)
    problems: tuple[str, ...] = ()

    @property
    def tally(self) -> Tally:
        """The stack's resources by what happens to them."""
        kinds = [self.kind(change) for change in self.comparison.resources]
        return Tally(
            **{kind: kinds.count(kind) for kind in ("added", "changed", "replaced", "renamed", "removed")},
            restarts=sum(self.effects.restarts(change) for change in self.comparison.resources),
        )

    def kind(self, change: ResourceChange) -> str:
        """What happens to a resource, in one word."""
        return "replaced" if self.effects.is_replaced(change) else change.action


@dataclass(frozen=True)
class Report:
    """A comparison of two revisions.

    Attributes:
        head: what the newer revision is called, with quotes marked; base likewise.
        base_problem: why there is no base at all, with quotes marked; empty if there is one.
        note: what a reader should know about the choice of the base, with quotes marked.
        dependencies: locked versions that differ.

    """

    project: str
    head: str
    base: str
    stacks: tuple[StackReport, ...]
    base_problem: str = ""
    note: str = ""
    dependencies: tuple[PropertyChange, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the newer revision failed for a stack."""
        return any(stack.outcome == "failed" for stack in self.stacks)


def masked_recording(recording: Recording, mask: Callable[[Any], Any]) -> Recording:
    """The recording with what `mask` knows masked in it."""
    return replace(
        recording,
        resources=tuple(_masked_resource(resource, mask) for resource in recording.resources),
        exports=mask(recording.exports),
        logs=tuple(replace(entry, message=mask(entry.message), urn=mask(entry.urn)) for entry in recording.logs),
    )


def masked_comparison(comparison: Comparison, mask: Callable[[Any], Any]) -> Comparison:
    """The comparison with what `mask` knows masked in it.

    Done after the comparison: a value that becomes a secret is a change, although neither side may be shown.
    """

    def changes(items: tuple[PropertyChange, ...]) -> tuple[PropertyChange, ...]:
        return tuple(
            replace(
                one,
                path=tuple(type(step)(mask(str(step))) for step in one.path),
                old=mask(one.old),
                new=mask(one.new),
            )
            for one in items
        )

    return replace(
        comparison,
        resources=tuple(
            replace(
                change,
                base=None if change.base is None else _masked_resource(change.base, mask),
                head=None if change.head is None else _masked_resource(change.head, mask),
                properties=changes(change.properties),
                options=changes(change.options),
            )
            for change in comparison.resources
        ),
        exports=changes(comparison.exports),
        order_only=tuple(_masked_resource(resource, mask) for resource in comparison.order_only),
        new_warnings=tuple(map(mask, comparison.new_warnings)),
        gone_warnings=tuple(map(mask, comparison.gone_warnings)),
    )


def _masked_resource(resource: Resource, mask: Callable[[Any], Any]) -> Resource:
    return replace(
        resource,
        urn=mask(resource.urn),
        name=mask(resource.name),
        parent=mask(resource.parent),
        provider=mask(resource.provider),
        inputs=mask(resource.inputs),
        options=mask(resource.options),
        property_dependencies={
            mask(key): tuple(map(mask, urns)) for key, urns in resource.property_dependencies.items()
        },
    )
