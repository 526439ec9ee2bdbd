"""The engine with stand-in providers, and ways to look at what it did."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulumi.automation import EngineEvent

from gke_llm_inference.pulumi_project.project import load_project, load_stack
from local.engine.command import EngineCommand
from local.engine.kubernetes_provider.provider import KubernetesProvider
from local.engine.provider_server import attached
from local.engine.stack import EngineStack
from tests.engine.google_cloud import GoogleCloud
from tests.engine.memory_cluster import MemoryCluster
from tests.support import PROJECT, REPOSITORY

TOKEN = "hf_plantedPlantedPlanted0123456789"
TOKEN_KEY = f"{PROJECT}:huggingFaceToken"

Step = tuple[str, str]
"""An operation, and the name of its resource."""


@dataclass
class Events:
    """Collects what the engine says; give `take` as `on_event`."""

    steps: list[Step] = field(default_factory=list)
    """Steps that ended, in order; what stays the same is left out."""
    messages: list[str] = field(default_factory=list)
    summary: dict[str, int] = field(default_factory=dict)

    def take(self, event: EngineEvent) -> None:
        if event.res_outputs_event is not None:
            metadata = event.res_outputs_event.metadata
            operation = str(getattr(metadata.op, "value", metadata.op))
            if operation != "same":
                self.steps.append((operation, metadata.urn.rpartition("::")[2]))
        elif event.diagnostic_event is not None and not event.diagnostic_event.ephemeral:
            self.messages.append(event.diagnostic_event.message)
        elif event.summary_event is not None:
            self.summary = {
                str(getattr(op, "value", op)): count for op, count in event.summary_event.resource_changes.items()
            }

    @property
    def operations(self) -> Counter[str]:
        return Counter(operation for operation, _ in self.steps)


@dataclass
class Bench:
    """A place where stacks are deployed to stand-ins."""

    directory: Path
    command: EngineCommand
    cluster: MemoryCluster = field(default_factory=MemoryCluster)
    cloud: GoogleCloud = field(default_factory=GoogleCloud)
    environment: Mapping[str, str] = field(default_factory=dict)

    def stack(self, text: str, *, program: Path | None = None, token: str = TOKEN) -> EngineStack:
        """Stack `test` with the text of a stack file; its state is kept from one call to the next."""
        path = self.directory / "Pulumi.test.yaml"
        path.write_text(text, encoding="utf-8")
        return self.stack_of(path, program=program, token=token)

    def stack_of(self, path: Path, *, program: Path | None = None, token: str = TOKEN) -> EngineStack:
        """The stack of a stack file."""
        project = load_project(REPOSITORY)
        return EngineStack(
            command=self.command,
            directory=self.directory / "state",
            project=project,
            config=load_stack(project, None, path),
            secrets={TOKEN_KEY: token},
            environment=self.environment,
            program=program,
        )

    def run(self, operation: Callable[..., Any], **options: Any) -> Events:
        """Runs an operation of a stack and returns what the engine said."""
        events = Events()
        operation(events.take, **options)
        return events

    def kill_when(self, condition: Callable[[], bool], operation: Callable[[], Any], number: int) -> BaseException:
        """Sends a signal to the engine once the condition holds, and returns how the operation failed."""
        running = Background(operation)
        wait_until(lambda: condition() or running.ended)
        assert not running.ended, f"the operation ended first: {running.failure}"
        for pid in list(self.command.running):
            os.kill(pid, number)
        running.join()
        assert running.failure is not None
        return running.failure


class Background:
    """An operation in a thread; `failure` is what it raised."""

    def __init__(self, operation: Callable[[], Any]) -> None:
        self._operation = operation
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> None:
        self._thread.join(timeout=60)
        assert self.ended

    def _work(self) -> None:
        try:
            self._operation()
        except BaseException as error:
            self.failure = error


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.02)


@contextlib.contextmanager
def bench_in(directory: Path, command: EngineCommand) -> Iterator[Bench]:
    """A bench with providers of its own."""
    cluster, cloud = MemoryCluster(), GoogleCloud()
    with attached({"kubernetes": KubernetesProvider(cluster, lambda arguments: None), "gcp": cloud}) as environment:
        yield Bench(directory, command, cluster, cloud, environment)


def files_with(directory: Path, text: str) -> list[str]:
    """Files below a directory that hold a text."""
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    )


KILL, INTERRUPT = signal.SIGKILL, signal.SIGINT
