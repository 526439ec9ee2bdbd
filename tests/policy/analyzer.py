"""The policy pack as the Pulumi CLI starts it: a process with `pulumi_policy`'s own server, asked over gRPC."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from gke_llm_inference.policy.pack import message_of
from gke_llm_inference.policy.preview_check import Report
from gke_llm_inference.preview.recording import Recording, Resource
from tests.policy.cases import TOKEN
from tests.support import PROJECT, REPOSITORY

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_ASSET = "c44067f5952c0a294b673a41bacd8c17"
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_LEVELS = {
    analyzer_pb2.ADVISORY: "advisory",
    analyzer_pb2.MANDATORY: "mandatory",
    analyzer_pb2.DISABLED: "disabled",
}

Said = tuple[str, str, str, str]
"""Policy, level, URN (empty for the stack) and message."""


@dataclass(frozen=True)
class Analyzer:
    """A running pack."""

    stub: analyzer_pb2_grpc.AnalyzerStub

    def configure(self, given: Mapping[str, Any] | None = None) -> analyzer_pb2.AnalyzerInfo:
        """Hands the pack its configuration as the CLI does: its own, then what `--policy-pack-config` says."""
        info: analyzer_pb2.AnalyzerInfo = self.stub.GetAnalyzerInfo(empty_pb2.Empty())
        request = analyzer_pb2.ConfigureAnalyzerRequest()
        for policy in info.policies:
            config = request.policyConfig[policy.name]
            config.enforcementLevel = policy.enforcementLevel
            config.MergeFrom(info.initialConfig[policy.name])
        levels = {name: value for value, name in _LEVELS.items()}
        for name, stated in sorted((given or {}).items(), key=lambda item: item[0] != "all"):
            document = {"enforcementLevel": stated} if isinstance(stated, str) else dict(stated)
            level = document.pop("enforcementLevel", None)
            for one in [policy.name for policy in info.policies] if name == "all" else [name]:
                if level is not None:
                    request.policyConfig[one].enforcementLevel = levels[level]
            if document:
                request.policyConfig[name].properties.update(document)
        self.stub.Configure(request)
        return info

    def check(self, recording: Recording) -> list[Said]:
        """What the engine would be told of a stack: each resource on its own, then all together."""
        said = []
        resources = [one for one in recording.resources if not one.options.get("external")]
        for one in resources:
            answer = self.stub.Analyze(
                analyzer_pb2.AnalyzeRequest(
                    urn=one.urn,
                    type=one.type,
                    name=one.name,
                    properties=_struct(one.inputs),
                    options=analyzer_pb2.AnalyzerResourceOptions(protect=one.protect, parent=one.parent or ""),
                )
            )
            said += [(*_parts(diagnostic), one.urn, diagnostic.message) for diagnostic in answer.diagnostics]
        request = analyzer_pb2.AnalyzeStackRequest(resources=[_of_stack(one) for one in resources])
        answer = self.stub.AnalyzeStack(request)
        said += [(*_parts(diagnostic), diagnostic.urn, diagnostic.message) for diagnostic in answer.diagnostics]
        return sorted(said)


@contextmanager
def analyzer(stack: str, config: Mapping[str, str] | None = None) -> Iterator[Analyzer]:
    """The pack for a stack, with the stack's configuration, started like the CLI's own plugin does."""
    directory = REPOSITORY / "policy-pack"
    environment = {
        **{key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")},
        "PULUMI_PROJECT": PROJECT,
        "PULUMI_STACK": stack,
        "PULUMI_DRY_RUN": "true",
        "PULUMI_CONFIG": json.dumps(dict(config or {})),
    }
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", "."],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port.isdigit():
            _, errors = process.communicate(timeout=10)
            raise AssertionError(errors)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Analyzer(analyzer_pb2_grpc.AnalyzerStub(channel))
    finally:
        process.kill()
        process.communicate()


def _parts(diagnostic: analyzer_pb2.AnalyzeDiagnostic) -> tuple[str, str]:
    return diagnostic.policyName, _LEVELS[diagnostic.enforcementLevel]


def _of_stack(one: Resource) -> analyzer_pb2.AnalyzerResource:
    properties = one.inputs if one.custom else one.outputs or {}
    return analyzer_pb2.AnalyzerResource(
        urn=one.urn,
        type=one.type,
        name=one.name,
        properties=_struct(properties),
        options=analyzer_pb2.AnalyzerResourceOptions(protect=one.protect),
        parent=one.parent or "",
        dependencies=one.dependencies,
    )


def _struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    return json_format.ParseDict(_wire(dict(properties)), struct_pb2.Struct())


def _wire(value: Any) -> Any:
    """The value as the engine sends it: signed secrets in clear, unknown values by their mark."""
    if isinstance(value, dict):
        if set(value) == {"[asset]"}:
            return {_SIGNATURE: _ASSET, "text": "content"}
        return {key: _wire(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_wire(item) for item in value]
    if value == "[secret]":
        return {_SIGNATURE: _SECRET, "value": TOKEN}
    return _UNKNOWN if value == "[unknown]" else value


def said_offline(report: Report) -> list[Said]:
    return sorted(
        (
            one.policy.name,
            one.level,
            one.violation.urn,
            f"{one.policy.description}\n{message_of(one.policy, one.violation.message)}",
        )
        for one in report.found
    )
