"""What a program told the engine, gathered while it runs and turned into a recording at the end."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from gke_llm_inference.preview.output import mask_cut, shortened
from gke_llm_inference.preview.recording import LogEntry, Recording, Resource, Severity
from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE

# Characters that are kept of what a program logs: of one message, and of all messages of a severity.
_MOST_OF_A_MESSAGE = 256 * 1024
_MOST_OF_A_SEVERITY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Goal:
    """What children inherit from a registration."""

    parent: str
    protect: bool | None
    retain_on_delete: bool | None
    deleted_with: str
    provider: str
    providers: dict[str, str]
    is_component: bool


class Recorder:
    """Everything that one program told the engine. Safe for several threads."""

    def __init__(self, project: str, stack: str, masker: SecretMasker) -> None:
        self.project = project
        self.stack = stack
        self.masker = masker
        self.stack_finished = False
        """Whether the stack registered its outputs, which is the last thing that a program does."""
        self._resources: dict[str, Resource] = {}
        self._outputs: dict[str, dict[str, Any]] = {}
        self._goals: dict[str, Goal] = {}
        self._logs: dict[LogEntry, None] = {}
        self._log_characters: Counter[Severity] = Counter()
        self._logs_left_out: Counter[Severity] = Counter()
        self._lock = threading.Lock()

    def claim(self, urn: str, goal: Goal) -> bool:
        """Take a URN for a registration; False if another one has it already."""
        with self._lock:
            if urn in self._goals:
                return False
            self._goals[urn] = goal
            return True

    def goal(self, urn: str) -> Goal | None:
        """What was remembered of a registration."""
        with self._lock:
            return self._goals.get(urn)

    def ancestors(self, urn: str) -> Iterator[str]:
        """The URN itself, its parent and so on up to the stack."""
        while urn:
            yield urn
            goal = self.goal(urn)
            urn = goal.parent if goal else ""

    def add(self, resource: Resource) -> None:
        """Record a registration."""
        with self._lock:
            self._resources[resource.urn] = resource

    def add_outputs(self, urn: str, outputs: dict[str, Any]) -> None:
        """Record the outputs of a component or of the stack."""
        with self._lock:
            self._outputs[urn] = outputs
            goal = self._goals.get(urn)
            if goal is not None and not goal.parent:
                self.stack_finished = True

    def log(self, severity: Severity, message: str, urn: str | None = None) -> None:
        """Record a message; the same message twice is recorded once, and of very many only the first."""
        entry = LogEntry(severity, shortened(message.strip(), _MOST_OF_A_MESSAGE), urn)
        with self._lock:
            if entry in self._logs:
                return
            self._log_characters[severity] += len(entry.message)
            if self._log_characters[severity] > _MOST_OF_A_SEVERITY:
                self._logs_left_out[severity] += 1
            else:
                self._logs[entry] = None

    def problems(self) -> tuple[str, ...]:
        """The error messages so far, in order of arrival, without secrets."""
        with self._lock:
            logs = self._every_log()
        return tuple(mask_cut(self.masker, entry.message) for entry in logs if entry.severity is Severity.ERROR)

    def finish(self, stdout: str = "", stderr: str = "") -> Recording:
        """The recording: sorted, and with every known secret masked wherever else the program put it.

        Sorting makes two runs equal although registrations and messages arrive in an order that varies.
        """
        mask, mask_value = self.masker.mask, self.masker.mask_value
        with self._lock:
            resources = [self._with_outputs(resource) for _, resource in sorted(self._resources.items())]
            logs = sorted(self._every_log(), key=lambda entry: (entry.severity, entry.urn or "", entry.message))
            stack = next((resource for resource in resources if resource.type == STACK_TYPE), None)
        for resource in resources:
            if mask(resource.urn) != resource.urn:
                message = "a secret value is part of a resource's name; the state would hold it in plain text"
                logs.append(LogEntry(Severity.WARNING, message, resource.urn))
        return Recording(
            project=self.project,
            stack=self.stack,
            resources=tuple(_masked(resource, self.masker) for resource in resources),
            logs=tuple(
                LogEntry(entry.severity, mask_cut(self.masker, entry.message), mask(entry.urn) if entry.urn else None)
                for entry in logs
                if entry.severity is not Severity.DEBUG
            ),
            exports=mask_value(stack.outputs or {}) if stack else {},
            program_stdout=mask_cut(self.masker, stdout),
            program_stderr=mask_cut(self.masker, stderr),
            masker=self.masker,
        )

    def _every_log(self) -> list[LogEntry]:
        left_out = [
            LogEntry(severity, f"{count:,} more messages of the program were left out")
            for severity, count in self._logs_left_out.items()
        ]
        return [*self._logs, *left_out]

    def _with_outputs(self, resource: Resource) -> Resource:
        outputs = self._outputs.get(resource.urn)
        if outputs is None:
            return resource
        return replace(resource, outputs=outputs)


def _masked(resource: Resource, masker: SecretMasker) -> Resource:
    mask, mask_value = masker.mask, masker.mask_value
    return Resource(
        urn=mask(resource.urn),
        type=resource.type,
        name=mask(resource.name),
        parent=mask(resource.parent) if resource.parent else None,
        custom=resource.custom,
        provider=mask(resource.provider) if resource.provider else None,
        inputs=mask_value(resource.inputs),
        secret_inputs=tuple(map(mask, resource.secret_inputs)),
        dependencies=tuple(map(mask, resource.dependencies)),
        property_dependencies={
            mask(key): tuple(map(mask, urns)) for key, urns in resource.property_dependencies.items()
        },
        aliases=tuple(map(mask_value, resource.aliases)),
        protect=resource.protect,
        options=mask_value(resource.options),
        outputs=None if resource.outputs is None else mask_value(resource.outputs),
    )
