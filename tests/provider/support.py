"""The provider as a process, and what it registers when it is told to construct a component."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import errors_pb2, plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from gke_llm_inference.preview.monitor import MonitorServer
from gke_llm_inference.preview.recorder import Recorder
from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.pulumi_project.project import load_project, load_stack
from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE as ROOT_TYPE
from gke_llm_inference.pulumi_protocol.wire import OUTPUT_SIGNATURE, SECRET_SIGNATURE, SIGNATURE_KEY
from gke_llm_inference.settings.stack_config import configuration_of
from tests.support import PROJECT, REPOSITORY

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
TOKEN = "hf_plantedPlantedPlanted0123456789"


def secret(value: Any) -> dict[str, Any]:
    """A secret on the wire."""
    return {SIGNATURE_KEY: SECRET_SIGNATURE, "value": value}


def output(value: Any = None, *, secret: bool = False, known: bool = True) -> dict[str, Any]:
    """An Output on the wire."""
    wire: dict[str, Any] = {SIGNATURE_KEY: OUTPUT_SIGNATURE}
    if known:
        wire["value"] = value
    if secret:
        wire["secret"] = True
    return wire


class PropertyErrors(Exception):  # noqa: N818 what the SDK calls them
    """A construction that was refused: reasons by property, and the error as a whole."""

    def __init__(self, reasons: dict[str, str], error: grpc.RpcError) -> None:
        super().__init__(f"{error.details()}\n{reasons}")
        self.reasons = reasons
        self.text = str(error)


@dataclass(frozen=True)
class Construction:
    """What a construction registered, and what the provider answered."""

    recording: Recording
    urn: str
    state: dict[str, Any]


@dataclass(frozen=True)
class Provider:
    """The provider's process."""

    stub: provider_pb2_grpc.ResourceProviderStub
    port: int
    process: "subprocess.Popen[str]" = field(repr=False)

    def construct(
        self,
        type_: str,
        inputs: Mapping[str, Any],
        *,
        name: str = "chat",
        stack: str = "test",
        config: Mapping[str, str] | None = None,
        dependencies: Mapping[str, Sequence[str]] | None = None,
        preview: bool = True,
        **options: Any,
    ) -> Construction:
        """Constructs a component as an engine's preview would.

        Raises:
            PropertyErrors: the provider refused the inputs.

        """
        recorder = Recorder(PROJECT, stack, SecretMasker())
        request = provider_pb2.ConstructRequest(
            project=PROJECT,
            stack=stack,
            organization="organization",
            config=config or {},
            dryRun=preview,
            parallel=4,
            type=type_,
            name=name,
            inputs=json_format.ParseDict(dict(inputs), struct_pb2.Struct()),
            inputDependencies={
                key: provider_pb2.ConstructRequest.PropertyDependencies(urns=urns)
                for key, urns in (dependencies or {}).items()
            },
            **options,
        )
        with MonitorServer(recorder) as server:
            request.monitorEndpoint = server.address
            self.stub.Attach(plugin_pb2.PluginAttach(address=server.address))
            try:
                answer = self.stub.Construct(request, timeout=60)
            except grpc.RpcError as error:
                reasons = _property_errors(error)
                if reasons is None:
                    raise
                raise PropertyErrors(reasons, error) from None
        return Construction(recorder.finish(), answer.urn, json_format.MessageToDict(answer.state))


@contextlib.contextmanager
def running(variables: Mapping[str, str] | None = None) -> Iterator[Provider]:
    """The provider as the engine starts it, in another directory than the repository."""
    # The SDK for Kubernetes makes an argument of KUBECONFIG.
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"} | dict(variables or {})
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "provider")], cwd="/", env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Provider(provider_pb2_grpc.ResourceProviderStub(channel), port, process)
    finally:
        process.kill()
        process.communicate()


def settings_in(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings that a stack file and its base state, as a program would pass them, and the rest of the config."""
    project = load_project(REPOSITORY)
    stack = load_stack(project, None, file)
    stated = configuration_of(stack.values, stack.secret_keys, project.name, project.directory).stated
    rest = {key: value for key, value in stack.values.items() if not key.startswith(f"{PROJECT}:")}
    return stated.model_dump(mode="json", by_alias=True, exclude_unset=True), rest


def below(recording: Recording, component: str, type_: str) -> list[dict[str, Any]]:
    """The registrations of a program without its stack, as they are where a component is above them."""
    root = recording.root
    assert root is not None
    lifted = {resource.urn: _lifted(resource.urn, type_) for resource in recording.resources}
    lifted[root.urn] = component
    text = json.dumps([resource.as_dict() for resource in recording.resources if resource.type != ROOT_TYPE])
    for urn, above in sorted(lifted.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(f'"{urn}"', f'"{above}"')
    documents: list[dict[str, Any]] = json.loads(text)
    return sorted(documents, key=lambda document: document["urn"])


def registrations(resources: Sequence[Resource]) -> list[dict[str, Any]]:
    """Registrations in the form of `below`."""
    return sorted((resource.as_dict() for resource in resources), key=lambda document: document["urn"])


def _lifted(urn: str, type_: str) -> str:
    return re.sub(r"^(urn:pulumi:[^:]*::[^:]*::)", rf"\g<1>{type_}$", urn)


def _property_errors(error: grpc.RpcError) -> dict[str, str] | None:
    metadata: Any = error.trailing_metadata()
    for key, value in metadata or ():
        if key != "grpc-status-details-bin":
            continue
        status = status_pb2.Status.FromString(value)
        for detail in status.details:
            errors = errors_pb2.InputPropertiesError()
            if detail.Unpack(errors):
                # The engine would show the value of a path that it can resolve.
                assert all(one.property_path.endswith(" ") for one in errors.errors)
                return {one.property_path.rstrip(): one.reason for one in errors.errors}
    return None
