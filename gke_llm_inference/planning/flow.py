"""Takes the servers of a stack through the steps of planning, with everything that is found on the way."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gke_llm_inference.planning.plan import NodePoolPlan
from gke_llm_inference.planning.stages import AskedServer, PlacedServer, Placement, SizedServer, StackFrame
from gke_llm_inference.settings import Finding, ServerSettings

S = TypeVar("S")
T = TypeVar("T")
Findings = list[Finding]
"""Problems and warnings of one server so far; every step reads it and adds to it."""


@dataclass(frozen=True)
class Flow(Generic[S]):
    """The servers of a stack between two steps.

    Attributes:
        stack: what they have around them.
        servers: the servers, each with what was found of it.
        settled: what was found of the stack, and of servers that a step could not take any further.
        pools: the node pools, once servers have their places.

    """

    stack: StackFrame
    servers: tuple[tuple[S, Findings], ...]
    settled: tuple[Finding, ...]
    pools: tuple[NodePoolPlan, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was found, of the stack and of every server."""
        return (*self.settled, *(one for _, findings in self.servers for one in findings))

    def each(self, step: Callable[[S, Findings], T | None]) -> "Flow[T]":
        """The servers after a step of their own; None of a step ends a server's way, and keeps its findings."""
        taken: list[tuple[T, Findings]] = []
        settled = list(self.settled)
        for server, findings in self.servers:
            result = step(server, findings)
            if result is None:
                settled += findings
            else:
                taken.append((result, findings))
        return Flow(self.stack, tuple(taken), tuple(settled), self.pools)

    def together(
        self: "Flow[SizedServer]", step: Callable[[Sequence[SizedServer], StackFrame], Placement]
    ) -> "Flow[PlacedServer]":
        """The servers after a step that looks at all of them at once."""
        placement = step([server for server, _ in self.servers], self.stack)
        servers: tuple[tuple[PlacedServer, Findings], ...] = tuple((server, []) for server in placement.servers)
        return Flow(self.stack, servers, (*self.findings, *placement.findings), placement.pools)


def start(
    stack: StackFrame,
    servers: Mapping[str, ServerSettings],
    findings: Iterable[Finding],
    told: Mapping[str, Sequence[Finding]],
) -> Flow[AskedServer]:
    """The servers of a stack before the first step, sorted by name, each with what is told of it already."""
    asked = (AskedServer(key=key, settings=settings, stack=stack) for key, settings in sorted(servers.items()))
    return Flow(stack, tuple((server, list(told.get(server.key, ()))) for server in asked), tuple(findings))
