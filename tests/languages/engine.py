"""Projects in the real engine: the CLI on a control plane of this machine, attached to the component provider."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from gke_llm_inference.provider.arguments import PACKAGE, STACK_TYPE
from gke_llm_inference.pulumi_protocol.environment import child_environment
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE as ROOT_TYPE
from gke_llm_inference.pulumi_protocol.wire import SECRET_SIGNATURE, SIGNATURE_KEY
from local.engine.provider import offer
from tests.languages.support import TOKEN

STACK = "test"
_TOKEN_VERSION = "llm-inference/token-version"


@dataclass(frozen=True)
class Engine:
    """The CLI and where it keeps state.

    Attributes:
        command: the CLI.
        directory: state and everything else that the engine writes.
        variables: where it finds the cluster, its plugins and the component provider.

    """

    command: Path
    directory: Path
    variables: Mapping[str, str]

    @classmethod
    def at(cls, directory: Path, command: Path, kubernetes: Path, variables: Mapping[str, str]) -> "Engine":
        """An engine without any state, which finds Pulumi's Kubernetes provider."""
        home = directory / "home"
        (directory / "backend").mkdir(parents=True)
        home.mkdir()
        offer(kubernetes, home)
        return cls(command, directory, variables)

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the caller's but what programs need."""
        environment = child_environment(dict(os.environ))
        return {
            **environment,
            "GOCACHE": os.environ.get("GOCACHE", ""),
            "PATH": os.pathsep.join([str(self.command.parent), environment["PATH"]]),
            "PULUMI_BACKEND_URL": f"file://{self.directory / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "for tests",
            "PULUMI_HOME": str(self.directory / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **self.variables,
        }

    def pulumi(self, project: Path, *arguments: str | Path, stdin: str = "", fails: bool = False) -> str:
        """What the CLI prints in a project."""
        return self.run([self.command, *arguments, "--non-interactive", "--color=never"], project, stdin, fails=fails)

    def run(self, command: Sequence[str | Path], directory: Path, stdin: str = "", *, fails: bool = False) -> str:
        """What a command prints that starts the CLI, or is it."""
        ended = subprocess.run(
            [*map(str, command)],
            cwd=directory,
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert (ended.returncode != 0) == fails, ended.stdout
        return ended.stdout

    @contextlib.contextmanager
    def stack(self, project: Path) -> Iterator[None]:
        """A stack of a project with its token; everything that it makes is gone afterwards."""
        self.pulumi(project, "stack", "init", STACK)
        self.pulumi(project, "config", "set", "--secret", "huggingFaceToken", stdin=TOKEN)
        try:
            yield
        finally:
            self.pulumi(project, "destroy", "--yes", "--skip-preview", "--remove", "--stack", STACK)

    def state(self, project: Path) -> dict[str, Any]:
        """The deployment as the engine keeps it."""
        document = json.loads(self.pulumi(project, "stack", "export", "--stack", STACK))
        deployment: dict[str, Any] = document["deployment"]
        return deployment


class NodeHost(language_pb2_grpc.LanguageRuntimeServicer):
    """What Pulumi's language host for Node.js does with a program: it starts the SDK's own script."""

    def __init__(self, project: Path) -> None:
        self._project = project

    def GetRequiredPackages(self, request: Any, context: object) -> Any:  # noqa: N802
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(self, request: Any, context: object) -> Any:  # noqa: N802
        return language_pb2.GetRequiredPluginsResponse()

    def GetPluginInfo(self, request: Any, context: object) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo()

    def Cancel(self, request: Any, context: object) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def Run(self, request: Any, context: object) -> Any:  # noqa: N802
        flags = {
            "monitor": request.monitor_address,
            "engine": request.args[0],
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "parallel": request.parallel,
        }
        ended = subprocess.run(
            [
                *("node", "node_modules/@pulumi/pulumi/cmd/run"),
                *(f"--{name}={value}" for name, value in flags.items()),
                *(["--dry-run"] if request.dryRun else []),
                "index.ts",
            ],
            cwd=self._project,
            env={
                **child_environment(dict(os.environ)),
                "PULUMI_CONFIG": json.dumps(dict(request.config)),
                "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return language_pb2.RunResponse(error=ended.stderr if ended.returncode else "")

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """The option that makes the CLI run the program through this host."""
        server = grpc.server(ThreadPoolExecutor(max_workers=4))
        language_pb2_grpc.add_LanguageRuntimeServicer_to_server(self, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"--client=127.0.0.1:{port}"
        finally:
            server.stop(grace=None).wait()


def registered(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a program registered, by URN: the same for every program that means the same.

    Left out are what stands above the pieces, which is the stack, a whole-stack component and the provider of its
    package, and from the URNs of the pieces project, stack and that component. So is what differs from one deployment
    to the next: ciphertexts, and the version that the API server gave the token's Secret.
    """
    kept = ("custom", "type", "inputs", "dependencies", "propertyDependencies", "provider", "parent", "protect")
    return {
        _urn(resource["urn"]): {key: _plain(resource[key]) for key in kept if key in resource}
        for resource in state["resources"]
        if resource["type"] not in (ROOT_TYPE, STACK_TYPE, f"pulumi:providers:{PACKAGE}")
    }


def outputs(state: Mapping[str, Any]) -> dict[str, Any]:
    """The exports of a stack."""
    (root,) = [resource for resource in state["resources"] if resource["type"] == ROOT_TYPE]
    found: dict[str, Any] = root["outputs"]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            return "[secret]"
        return {key: "[version]" if key == _TOKEN_VERSION else _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        items = [_plain(item) for item in value]
        return (
            sorted(items) if all(isinstance(item, str) and item.startswith("urn:pulumi:") for item in value) else items
        )
    if isinstance(value, str) and value.startswith("urn:pulumi:"):
        return _urn(value)
    return value


def _urn(text: str) -> str:
    """A URN without project, stack and component; of a reference to a provider, without its id."""
    _, _, path, name, *_ = text.removeprefix("urn:pulumi:").split("::")
    if path in (ROOT_TYPE, STACK_TYPE):
        return "above"
    return f"{path.removeprefix(f'{STACK_TYPE}$')}::{name}"
