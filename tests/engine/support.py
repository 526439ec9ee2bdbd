"""The engine on a simulated GKE with Pulumi's Kubernetes provider, and ways to look at what it did."""

import base64
import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pulumi.automation import EngineEvent

from gke_llm_inference.pulumi_project.project import load_project, load_stack
from local.engine.cluster import ApiServer, Object
from local.engine.command import EngineCommand
from local.engine.stack import EngineStack
from local.gke import LocalGke, Running
from local.gke.objects import STARTS, SYSTEM_NAMESPACE
from local.gke.stages import CRASH
from tests.cluster.support import NAMESPACE, Cluster, plan_of_file
from tests.engine.google_cloud import GoogleCloud
from tests.engine.provider_server import attached
from tests.support import PROJECT, REPOSITORY

AUTH_PLUGIN = "gke-gcloud-auth-plugin"
"""What kubeconfigs of GKE's clusters name for credentials."""
TOKEN = "hf_plantedPlantedPlanted0123456789"
TOKEN_KEY = f"{PROJECT}:huggingFaceToken"
API_KEYS = {f"{PROJECT}:{name}": f"{name}PlantedPlantedPlanted0123456789" for name in ("apiKey", "apiKey2")}

_KINDS = (("v1", "Secret"), ("v1", "Service"), ("apps/v1", "Deployment"), ("policy/v1", "PodDisruptionBudget"))

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
    """Where stacks are deployed: a simulated GKE for every cluster, and a stand-in for the rest of the cloud."""

    directory: Path
    command: EngineCommand
    provider: Path
    cluster: Cluster
    api: ApiServer
    cloud: GoogleCloud
    environment: Mapping[str, str]

    def stack(self, text: str, *, program: Path | None = None, token: str = TOKEN) -> EngineStack:
        """Stack `test` with the text of a stack file; its state is kept from one call to the next."""
        path = self.directory / "Pulumi.test.yaml"
        path.write_text(text, encoding="utf-8")
        return self.stack_of(path, program=program, token=token)

    def stack_of(self, path: Path, *, program: Path | None = None, token: str = TOKEN) -> EngineStack:
        """The stack of a stack file; the cluster gets the node pools that it needs."""
        project = load_project(REPOSITORY)
        self.cluster.gke.simulate(plan_of_file(path))
        return EngineStack(
            command=self.command,
            directory=self.directory / "state",
            project=project,
            config=load_stack(project, None, path),
            secrets={TOKEN_KEY: token, **API_KEYS},
            provider=self.provider,
            environment=self.environment,
            program=program,
        )

    def without_nodes(self) -> None:
        """From now on pods wait for a node, until a stack is made ready again."""
        self.cluster.gke.simulate()

    def crash(self, server: str = "gemma") -> None:
        """New pods of a server never become ready from now on, until a stack is made ready again."""
        self.patch(
            "v1",
            "ConfigMap",
            STARTS,
            {"metadata": {"namespace": SYSTEM_NAMESPACE}, "data": {f"{NAMESPACE}.{server}": f"0 1 {CRASH}"}},
        )

    def find(self, api_version: str, kind: str, name: str) -> Object | None:
        """An object of the stack's namespace."""
        return self.api.get(api_version, kind, NAMESPACE, name)

    def deployment(self, name: str = "gemma") -> Object:
        """The Deployment of a server."""
        found = self.find("apps/v1", "Deployment", name)
        assert found is not None
        return found

    def deployed(self, name: str = "gemma") -> bool:
        """Whether a server has a Deployment."""
        return self.find("apps/v1", "Deployment", name) is not None

    def identities(self) -> dict[tuple[str, str], str]:
        """Identity of every object that a stack makes: another one once an object was deleted and made anew."""
        kinds = (*_KINDS, ("v1", "ServiceAccount"))
        return {
            (kind, one["metadata"]["name"]): one["metadata"]["uid"]
            for api_version, kind in kinds
            for one in self.api.select(api_version, kind, NAMESPACE, {})
        }

    def versions(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Identity and version of every object that a stack makes and controllers leave alone."""
        return {
            (kind, one["metadata"]["name"]): (
                one["metadata"]["uid"],
                str(one["metadata"].get("generation") or one["metadata"]["resourceVersion"]),
            )
            for api_version, kind in _KINDS
            for one in self.api.select(api_version, kind, NAMESPACE, {})
        }

    def empty(self) -> bool:
        """Whether nothing of a stack is left."""
        return self.api.get("v1", "Namespace", None, NAMESPACE) is None

    def patch(self, api_version: str, kind: str, name: str, body: Object) -> None:
        """What somebody changes by hand."""
        metadata = {"name": name, "namespace": NAMESPACE, **body.get("metadata", {})}
        self.cluster.patch({"apiVersion": api_version, "kind": kind, **body, "metadata": metadata})

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
def bench_on(gke: LocalGke, directory: Path, command: EngineCommand, provider: Path) -> Iterator[Bench]:
    """A bench whose clusters all are this one."""
    running = gke.running()
    assert running is not None
    access = Access.to(running)
    cloud = GoogleCloud(running.server.removeprefix("https://"), access.authority)
    cluster = Cluster(gke)
    with attached({"gcp": cloud}) as places:
        yield Bench(
            directory,
            command,
            provider,
            cluster,
            ApiServer(running.kubeconfig, running.context, directory / "discovery.json"),
            cloud,
            {**places, "KUBECONFIG": str(running.kubeconfig), **access.environment(directory / "access")},
        )
    cluster.clear()


@dataclass(frozen=True)
class Access:
    """How the API server is reached that stands for those of GKE's clusters; all in base64."""

    authority: str
    certificate: str
    key: str

    @classmethod
    def to(cls, running: Running) -> "Access":
        kubeconfig = yaml.safe_load(running.kubeconfig.read_text("utf-8"))
        user = kubeconfig["users"][0]["user"]
        return cls(
            kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"],
            user["client-certificate-data"],
            user["client-key-data"],
        )

    def environment(self, directory: Path) -> dict[str, str]:
        """An environment in which kubeconfigs of GKE's clusters lead to it: by DNS name too, which a public authority
        vouches for, and with gcloud's plugin for credentials.
        """
        directory.mkdir()
        authority = directory / "authority.pem"
        authority.write_bytes(base64.b64decode(self.authority))
        credential = {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "kind": "ExecCredential",
            "status": {
                "clientCertificateData": base64.b64decode(self.certificate).decode(),
                "clientKeyData": base64.b64decode(self.key).decode(),
            },
        }
        plugin = directory / AUTH_PLUGIN
        plugin.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(credential)}\nEND\n")
        plugin.chmod(0o755)
        return {"SSL_CERT_FILE": str(authority), "PATH": os.pathsep.join([str(directory), os.environ["PATH"]])}


def files_with(directory: Path, text: str) -> list[str]:
    """Files below a directory that hold a text."""
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    )


KILL, INTERRUPT = signal.SIGKILL, signal.SIGINT
