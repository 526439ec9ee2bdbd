"""What one run of a program registered: plain, frozen data with secrets already masked."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE, is_provider_type


class Severity(IntEnum):
    """Severity of a message, numbered as on the wire."""

    DEBUG = 0
    INFO = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A message that the program logged, or that the recorder has to say about the program."""

    severity: Severity
    message: str
    urn: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """One registration. Property names are those of the wire (camelCase)."""

    urn: str
    type: str
    name: str
    parent: str | None
    custom: bool
    provider: str | None = None
    """URN of the provider, None where the engine would take the default provider or for components."""
    inputs: dict[str, Any] = field(default_factory=dict)
    secret_inputs: tuple[str, ...] = ()
    """Property paths of the inputs that are secret."""
    dependencies: tuple[str, ...] = ()
    property_dependencies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: tuple[str | dict[str, Any], ...] = ()
    protect: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    """Every other option that is not at its default, under its wire name."""
    outputs: dict[str, Any] | None = None
    """What a component or the stack registered as its outputs, None if it registered none."""

    @property
    def is_component(self) -> bool:
        """Whether it only groups other resources (the stack itself is one too)."""
        return not self.custom

    @property
    def is_provider(self) -> bool:
        """Whether it is an explicit provider."""
        return is_provider_type(self.type)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of a registration."""
        document: dict[str, Any] = {
            "urn": self.urn,
            "type": self.type,
            "name": self.name,
            "parent": self.parent,
            "custom": self.custom,
            "provider": self.provider,
            "inputs": self.inputs,
            "secretInputs": list(self.secret_inputs),
            "dependencies": list(self.dependencies),
            "propertyDependencies": {key: list(urns) for key, urns in self.property_dependencies.items()},
            "aliases": list(self.aliases),
            "protect": self.protect,
            **self.options,
        }
        if self.outputs is not None:
            document["outputs"] = self.outputs
        return document


@dataclass(frozen=True)
class Recording:
    """A whole run: resources sorted by URN, messages sorted, exports."""

    project: str
    stack: str
    resources: tuple[Resource, ...]
    logs: tuple[LogEntry, ...] = ()
    exports: dict[str, Any] = field(default_factory=dict)
    program_stdout: str = ""
    program_stderr: str = ""
    masker: SecretMasker = field(default_factory=SecretMasker, repr=False, compare=False)
    """The secrets that were met, for a last search of whatever is made of the recording."""

    @property
    def root(self) -> Resource | None:
        """The stack's own resource."""
        return next((resource for resource in self.resources if resource.type == STACK_TYPE), None)

    def messages(self, severity: Severity) -> tuple[LogEntry, ...]:
        """The messages of one severity."""
        return tuple(entry for entry in self.logs if entry.severity is severity)

    def counts(self) -> dict[str, int]:
        """Number of resources of each type token, sorted by token."""
        counts: dict[str, int] = {}
        for type_ in sorted(resource.type for resource in self.resources):
            counts[type_] = counts.get(type_, 0) + 1
        return counts

    def as_dict(self) -> dict[str, Any]:
        """The content of `resources.json`."""
        return {
            "project": self.project,
            "stack": self.stack,
            "resources": [resource.as_dict() for resource in self.resources],
        }
