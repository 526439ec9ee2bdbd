"""A tiny engine that deploys instead of previewing: everything is created at once, nothing is masked.

It shares no code with the offline preview, so each can be held against the other: a program runs with decrypted
secrets here and gets ids and outputs as from a cloud, and the requests are kept as they came over the wire.
"""

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc

from tests.support import CLUSTER, PROJECT, REPOSITORY
from tests.warm_python import warm_python

SIGNATURE = "4dabf18193072939515e22adb298388d"
STACK_REFERENCE = "pulumi:pulumi:StackReference"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"


@dataclass(frozen=True)
class Request:
    """One request of a program, and all of it as text."""

    call: str
    type: str
    name: str
    content: dict[str, Any]
    """Inputs, outputs or the message; secrets still in their envelope."""
    text: str


@dataclass
class Deployment:
    """What a program sent, in the order of its arrival, and how it ended."""

    code: int = 0
    stdout: str = ""
    stderr: str = ""
    requests: list[Request] = field(default_factory=list)

    def registered(self, type_: str) -> dict[str, dict[str, Any]]:
        """Inputs of every registration of a type by name."""
        return {
            request.name: request.content
            for request in self.requests
            if (request.call, request.type) == ("RegisterResource", type_)
        }

    @property
    def types(self) -> list[str]:
        """Type of every registration."""
        return [request.type for request in self.requests if request.call == "RegisterResource"]

    @property
    def exports(self) -> dict[str, Any]:
        """The stack's outputs."""
        (found,) = (
            request.content
            for request in self.requests
            if request.call == "RegisterResourceOutputs" and "::pulumi:pulumi:Stack::" in request.name
        )
        return found

    @property
    def logged(self) -> list[str]:
        """The messages to the user."""
        return [request.content["message"] for request in self.requests if request.call == "Log"]


class _Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    def __init__(self, deployment: Deployment, outputs: Mapping[str, Mapping[str, Any]]) -> None:
        self._deployment = deployment
        self._outputs = outputs
        self._lock = threading.Lock()

    def _keep(self, call: str, request: Any, name: str, content: struct_pb2.Struct) -> None:
        kind = getattr(request, "type", "")
        kept = Request(call, kind, name, json_format.MessageToDict(content), str(request))
        with self._lock:
            self._deployment.requests.append(kept)

    def GetDeploymentInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        features = (
            resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
            resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
            resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
            resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
        )
        return resource_pb2.DeploymentInfo(project=PROJECT, stack="test", dryRun=False, supportedFeatures=features)

    def RegisterResource(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._keep("RegisterResource", request, request.name, request.object)
        urn = f"urn:pulumi:test::{PROJECT}::{request.type}::{request.name}"
        state = struct_pb2.Struct()
        state.CopyFrom(request.object)
        self._add_outputs(state, request.type, request.name)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=f"id-of-{request.name}", object=state)

    def ReadResource(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._keep("ReadResource", request, request.name, request.properties)
        urn = f"urn:pulumi:test::{PROJECT}::{request.type}::{request.name}"
        state = struct_pb2.Struct()
        self._add_outputs(state, request.type, request.name)
        return resource_pb2.ReadResourceResponse(urn=urn, id=request.id, properties=state)

    def _add_outputs(self, state: struct_pb2.Struct, type_: str, name: str) -> None:
        if type_ == "gcp:serviceaccount/account:Account":
            email = f"{state['accountId']}@my-project.iam.gserviceaccount.com"
            state.update({"email": email, "member": f"serviceAccount:{email}"})
        elif type_.startswith("gcp:") and "name" not in state:
            state.update({"name": f"{name}-1a2b3c4"})
        state.update(self._outputs.get(type_, {}))

    def RegisterResourceOutputs(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._keep("RegisterResourceOutputs", request, request.urn, request.outputs)
        return empty_pb2.Empty()

    def SignalAndWaitForShutdown(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return empty_pb2.Empty()


class _Engine(engine_pb2_grpc.EngineServicer):
    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def Log(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if request.severity != engine_pb2.DEBUG:
            content = {"message": request.message}
            self._deployment.requests.append(Request("Log", "", "", content, str(request)))
        return empty_pb2.Empty()


def deploy(
    config: Mapping[str, Any],
    *,
    secrets: Mapping[str, str] | None = None,
    cluster: Mapping[str, Any] | None = None,
    referenced: Mapping[str, Any] | None = None,
) -> Deployment:
    """Runs the real program as `pulumi up` would.

    Args:
        config: plain configuration; keys without a namespace belong to the project.
        secrets: decrypted secrets of the project by key.
        cluster: what a GKE cluster answers beside its inputs.
        referenced: outputs of the stack that a stack reference names.

    """
    values = {
        key if ":" in key else f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in {**config, **(secrets or {})}.items()
    }
    deployment = Deployment()
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    reference = {"outputs": dict(referenced or {}), "secretOutputNames": []}
    monitor = _Monitor(deployment, {CLUSTER: cluster or {}, STACK_REFERENCE: reference})
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    engine_pb2_grpc.add_EngineServicer_to_server(_Engine(deployment), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        ended = subprocess.run(
            [warm_python(), "-P", Path(__file__).with_name("launcher.py")],
            input=json.dumps(
                {
                    "address": address,
                    "config": values,
                    "project": PROJECT,
                    "root": str(REPOSITORY),
                    "secretKeys": [f"{PROJECT}:{key}" for key in secrets or {}],
                    "stack": "test",
                }
            ),
            capture_output=True,
            text=True,
            env={**os.environ, "PULUMI_ERROR_OUTPUT_STRING": "1"},
            timeout=120,
            check=False,
        )
    finally:
        server.stop(grace=None).wait()
    deployment.code, deployment.stdout, deployment.stderr = ended.returncode, ended.stdout, ended.stderr
    return deployment


def is_secret(value: Any) -> bool:
    """Whether a property travels in the envelope of a secret."""
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET_SIGNATURE
