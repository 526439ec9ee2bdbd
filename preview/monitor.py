"""The stand-in for the Pulumi engine: answers a program as a first preview would, and records it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import engine_pb2_grpc, resource_pb2, resource_pb2_grpc

from preview import wire
from preview.masking import SECRET, Vault
from preview.recording import LogEntry, Recording, Resource, Severity
from preview.transforms import Transforms
from preview.urn import STACK_TYPE, is_provider_type, make_urn, package_of, provider_urn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pulumi.runtime.proto.alias_pb2 import Alias
    from pulumi.runtime.proto.callback_pb2 import Callback
    from pulumi.runtime.proto.engine_pb2 import LogRequest
    from pulumi.runtime.proto.resource_pb2 import (
        ReadResourceRequest,
        RegisterResourceOutputsRequest,
        RegisterResourceRequest,
        ResourceInvokeRequest,
    )

_MAX_MESSAGE_BYTES = 400 * 1024 * 1024
_WORKERS = 8

# What the engine supports and this monitor honours. Left out: output values (only remote components use
# them), byte strings and state migrations, for which the SDK then says itself that they are not supported.
_FEATURES = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_PARAMETERIZATION,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_INVOKE_DEPENDS_ON,
)

_FEATURE_NAMES = frozenset(
    (
        "secrets",
        "resourceReferences",
        "aliasSpecs",
        "deletedWith",
        "replaceWith",
        "transforms",
        "parameterization",
        "resourceHooks",
        "errorHooks",
    )
)

_KUBERNETES_SECRET = "kubernetes:core/v1:Secret"  # noqa: S105 - a type token
_SECRET_FIELDS = ("data", "stringData")

_EMPTY = empty_pb2.Empty()


@dataclass(frozen=True, slots=True)
class _Goal:
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

    def __init__(self, project: str, stack: str, vault: Vault) -> None:
        self.project = project
        self.stack = stack
        self.vault = vault
        self.stack_finished = False
        """Whether the stack registered its outputs, which is the last thing that a program does."""
        self._resources: dict[str, Resource] = {}
        self._outputs: dict[str, dict[str, Any]] = {}
        self._goals: dict[str, _Goal] = {}
        self._logs: list[LogEntry] = []
        self._lock = threading.Lock()

    def claim(self, urn: str, goal: _Goal) -> bool:
        """Takes a URN for a registration; False if another one has it already."""
        with self._lock:
            if urn in self._goals:
                return False
            self._goals[urn] = goal
            return True

    def goal(self, urn: str) -> _Goal | None:
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
        """Records a registration."""
        with self._lock:
            self._resources[resource.urn] = resource

    def add_outputs(self, urn: str, outputs: dict[str, Any]) -> None:
        """Records the outputs of a component or of the stack."""
        with self._lock:
            self._outputs[urn] = outputs
            goal = self._goals.get(urn)
            if goal is not None and not goal.parent:
                self.stack_finished = True

    def log(self, severity: Severity, message: str, urn: str | None = None) -> None:
        """Records a message; the same message twice is recorded once."""
        entry = LogEntry(severity, message.strip(), urn)
        with self._lock:
            if entry not in self._logs:
                self._logs.append(entry)

    def problems(self) -> tuple[str, ...]:
        """The error messages so far, in order of arrival, without secrets."""
        with self._lock:
            logs = list(self._logs)
        return tuple(self.vault.mask(entry.message) for entry in logs if entry.severity is Severity.ERROR)

    def finish(self, stdout: str = "", stderr: str = "") -> Recording:
        """The recording: sorted, and with every known secret masked wherever else the program put it.

        Sorting makes two runs equal although registrations and messages arrive in an order that varies.
        """
        mask, mask_value = self.vault.mask, self.vault.mask_value
        with self._lock:
            resources = [self._with_outputs(resource) for _, resource in sorted(self._resources.items())]
            logs = sorted(self._logs, key=lambda entry: (entry.severity, entry.urn or "", entry.message))
            stack = next((resource for resource in resources if resource.type == STACK_TYPE), None)
        for resource in resources:
            if mask(resource.urn) != resource.urn:
                message = "a secret value is part of a resource's name; the state would hold it in plain text"
                logs.append(LogEntry(Severity.WARNING, message, resource.urn))
        return Recording(
            project=self.project,
            stack=self.stack,
            resources=tuple(_masked(resource, self.vault) for resource in resources),
            logs=tuple(
                LogEntry(entry.severity, mask(entry.message), mask(entry.urn) if entry.urn else None)
                for entry in logs
                if entry.severity is not Severity.DEBUG
            ),
            exports=mask_value(stack.outputs or {}) if stack else {},
            program_stdout=mask(stdout),
            program_stderr=mask(stderr),
        )

    def _with_outputs(self, resource: Resource) -> Resource:
        outputs = self._outputs.get(resource.urn)
        if outputs is None:
            return resource
        return _replace(resource, outputs=outputs)


def _replace(resource: Resource, **changes: Any) -> Resource:
    values = {name: getattr(resource, name) for name in Resource.__slots__}
    return Resource(**{**values, **changes})


def _masked(resource: Resource, vault: Vault) -> Resource:
    mask, mask_value = vault.mask, vault.mask_value
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


class RecordingMonitor(resource_pb2_grpc.ResourceMonitorServicer):
    """The resource monitor. Calls that it does not know answer UNIMPLEMENTED, as in an older engine."""

    def __init__(self, recorder: Recorder, transforms: Transforms) -> None:
        self._recorder = recorder
        self._transforms = transforms

    # What the program asks about the deployment

    def GetDeploymentInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, D102, N802
        return resource_pb2.DeploymentInfo(
            project=self._recorder.project,
            stack=self._recorder.stack,
            dryRun=True,
            supportedFeatures=_FEATURES,
        )

    def SupportsFeature(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, D102, N802
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in _FEATURE_NAMES)

    # Registrations

    def RegisterResource(  # noqa: D102, N802
        self, request: RegisterResourceRequest, context: grpc.ServicerContext
    ) -> resource_pb2.RegisterResourceResponse:
        recorder = self._recorder
        parent = request.parent
        parent_goal = recorder.goal(parent) if parent else None
        if parent_goal is not None:
            _inherit(request, parent_goal)
        if request.custom or request.remote:
            request.provider = _resolve_provider(request, parent_goal)
        callbacks = self._transforms.applying_to(request.transforms, recorder.ancestors(parent))
        if callbacks:
            try:
                self._transforms.apply(callbacks, request)
            except grpc.RpcError as error:
                _fail(context, grpc.StatusCode.UNKNOWN, _details(error))
        urn = make_urn(recorder.stack, recorder.project, parent, request.type, request.name)
        self._claim(urn, _goal_of(request, parent_goal), context)
        self._transforms.remember(urn, request.transforms)
        decoded = wire.decode(request.object, recorder.vault)
        if request.remote:
            recorder.log(
                Severity.WARNING,
                "a component of another language is built by its provider plugin; "
                "what it would create is not part of this preview",
                urn,
            )
        recorder.add(self._resource(urn, request, decoded))
        response = resource_pb2.RegisterResourceResponse(urn=urn)
        # An empty id and missing properties are unknown to the program, as for anything yet to be created.
        if request.custom:
            response.object.CopyFrom(request.object)
            for key in request.additionalSecretOutputs:
                _make_secret(response.object, key)
        return response

    def _resource(self, urn: str, request: RegisterResourceRequest, decoded: wire.Decoded) -> Resource:
        if request.type == _KUBERNETES_SECRET:
            self._mask_kubernetes_secret(urn, request.object, decoded)
        property_dependencies = {
            key: sorted({*dependencies.urns, *decoded.dependencies.get(key, ())})
            for key, dependencies in sorted(request.propertyDependencies.items())
            if key in decoded.value
        }
        return Resource(
            urn=urn,
            type=request.type,
            name=request.name,
            parent=request.parent or None,
            custom=request.custom,
            provider=None if is_provider_type(request.type) else provider_urn(request.provider),
            inputs=decoded.value,
            secret_inputs=tuple(sorted(set(decoded.secret_paths))),
            dependencies=tuple(sorted(set(request.dependencies))),
            property_dependencies={key: tuple(urns) for key, urns in property_dependencies.items() if urns},
            aliases=(*request.aliasURNs, *map(_alias, request.aliases)),
            protect=request.protect,
            options=_options(request, self._recorder.vault),
        )

    def _mask_kubernetes_secret(self, urn: str, properties: struct_pb2.Struct, decoded: wire.Decoded) -> None:
        """Masks what a Kubernetes Secret holds, keeping its keys, whether or not the program marked it."""
        for field in _SECRET_FIELDS:
            if field not in properties.fields:
                continue
            marked = any(path == field or path.startswith(f"{field}.") for path in decoded.secret_paths)
            marked = marked or any(path.startswith(f"{field}[") for path in decoded.secret_paths)
            plain = _unwrap(properties.fields[field])
            if plain.WhichOneof("kind") != "struct_value":
                continue
            values = decoded.value[field]
            if isinstance(values, dict):
                self._recorder.vault.add({k: v for k, v in values.items() if v not in ("", SECRET)})
                unmarked = sorted(k for k, v in values.items() if v != SECRET)
                if unmarked and not (marked and not unmarked):
                    self._recorder.log(
                        Severity.WARNING,
                        f"{field} of a Kubernetes Secret is not marked as secret ({', '.join(unmarked)}); "
                        "the state would hold it in plain text. Wrap it in pulumi.Output.secret(…)",
                        urn,
                    )
                    decoded.secret_paths.extend(wire.path_of(field, key) for key in unmarked)
            decoded.value[field] = dict.fromkeys(sorted(plain.struct_value.fields), SECRET)

    def _claim(self, urn: str, goal: _Goal, context: grpc.ServicerContext) -> None:
        if not self._recorder.claim(urn, goal):
            message = f"Duplicate resource URN '{urn}'; try giving it a unique name"
            self._recorder.log(Severity.ERROR, message, urn)
            _fail(context, grpc.StatusCode.ALREADY_EXISTS, message)

    def RegisterResourceOutputs(  # noqa: D102, N802
        self,
        request: RegisterResourceOutputsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> empty_pb2.Empty:
        decoded = wire.decode(request.outputs, self._recorder.vault)
        self._recorder.add_outputs(request.urn, decoded.value)
        return _EMPTY

    def ReadResource(  # noqa: D102, N802
        self, request: ReadResourceRequest, context: grpc.ServicerContext
    ) -> resource_pb2.ReadResourceResponse:
        recorder = self._recorder
        parent_goal = recorder.goal(request.parent) if request.parent else None
        urn = make_urn(recorder.stack, recorder.project, request.parent, request.type, request.name)
        goal = _Goal(request.parent, None, None, "", request.provider, {}, is_component=False)
        self._claim(urn, goal, context)
        decoded = wire.decode(request.properties, recorder.vault)
        provider = request.provider
        if not provider and parent_goal is not None:
            provider = parent_goal.providers.get(package_of(request.type) or "", "")
        recorder.log(
            Severity.WARNING,
            f"a preview without a cloud cannot read the existing resource '{request.name}' "
            f"({request.type}); what it would return is unknown",
            urn,
        )
        recorder.add(
            Resource(
                urn=urn,
                type=request.type,
                name=request.name,
                parent=request.parent or None,
                custom=True,
                provider=provider_urn(provider),
                inputs=decoded.value,
                secret_inputs=tuple(sorted(set(decoded.secret_paths))),
                dependencies=tuple(sorted(set(request.dependencies))),
                options={"external": True, "id": request.id},
            )
        )
        return resource_pb2.ReadResourceResponse(urn=urn, id=request.id, properties=request.properties)

    # Functions

    def Invoke(  # noqa: D102, N802
        self,
        request: ResourceInvokeRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> resource_pb2.ResourceInvokeResponse:
        self._recorder.log(
            Severity.WARNING,
            f"a preview without a cloud cannot answer {request.tok}; its result is unknown",
        )
        return resource_pb2.ResourceInvokeResponse(unknown=True)

    def Call(self, request: Any, context: grpc.ServicerContext) -> NoReturn:  # noqa: D102, N802
        _fail(
            context,
            grpc.StatusCode.UNIMPLEMENTED,
            f"a preview without a cloud cannot call the method {request.tok}",
        )

    def ExistsResource(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, D102, N802
        self._recorder.log(
            Severity.WARNING,
            f"a preview without a cloud cannot tell whether {request.type} '{request.id}' exists",
        )
        return resource_pb2.ExistsResourceResponse(unknown=True)

    # Packages, transforms, hooks, end

    def RegisterPackage(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, D102, N802
        parameters = request.parameterization if request.HasField("parameterization") else request.extension
        return resource_pb2.RegisterPackageResponse(
            ref=f"{request.name}@{request.version}/{parameters.name}@{parameters.version}"
        )

    def RegisterStackTransform(  # noqa: D102, N802
        self,
        request: Callback,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> empty_pb2.Empty:
        self._transforms.register_for_stack(request)
        return _EMPTY

    def RegisterResourceHook(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, D102, N802
        return _EMPTY  # hooks run when something is created, updated or deleted, never in a preview

    def RegisterErrorHook(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, D102, N802
        return _EMPTY

    def SignalAndWaitForShutdown(  # noqa: D102, N802
        self,
        request: Any,  # noqa: ARG002
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> empty_pb2.Empty:
        return _EMPTY


class RecordingEngine(engine_pb2_grpc.EngineServicer):
    """The engine's side channel: messages."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def Log(self, request: LogRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: ARG002, D102, N802
        severity = Severity(int(request.severity))
        if not request.ephemeral and severity is not Severity.DEBUG:
            self._recorder.log(severity, request.message, request.urn or None)
        return _EMPTY

    def RequirePulumiVersion(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, D102, N802
        from pulumi.runtime.proto import engine_pb2

        return engine_pb2.RequirePulumiVersionResponse()  # no CLI takes part, so none can be too old


class MonitorServer:
    """Both services on one loopback port. Use as a context manager; `address` is what programs connect to."""

    def __init__(self, recorder: Recorder) -> None:
        self._transforms = Transforms()
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="monitor"),
            options=(
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
            ),
        )
        monitor = RecordingMonitor(recorder, self._transforms)
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, self._server)
        engine_pb2_grpc.add_EngineServicer_to_server(RecordingEngine(recorder), self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"

    def __enter__(self) -> MonitorServer:
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.stop(grace=None).wait()
        self._transforms.close()


def _goal_of(request: RegisterResourceRequest, parent: _Goal | None) -> _Goal:
    providers = dict(request.providers)
    if not request.custom and parent is not None and parent.is_component:
        providers = {**parent.providers, **providers}
    return _Goal(
        parent=request.parent,
        protect=request.protect if request.HasField("protect") else None,
        retain_on_delete=request.retainOnDelete if request.HasField("retainOnDelete") else None,
        deleted_with=request.deletedWith,
        provider=request.provider,
        providers={} if request.custom else providers,
        is_component=not request.custom,
    )


def _inherit(request: RegisterResourceRequest, parent: _Goal) -> None:
    """What the engine hands down from a parent: deletedWith, protect, retainOnDelete and the provider."""
    if not request.deletedWith:
        request.deletedWith = parent.deleted_with
    if not request.HasField("protect") and parent.protect is not None:
        request.protect = parent.protect
    if not request.HasField("retainOnDelete") and parent.retain_on_delete is not None:
        request.retainOnDelete = parent.retain_on_delete
    if not request.provider and parent.provider:
        urn = provider_urn(parent.provider)
        served = package_of(urn.split("::")[2].rsplit("$", 1)[-1]) if urn else None
        if (not request.remote and not request.custom) or served == package_of(request.type):
            request.provider = parent.provider


def _resolve_provider(request: RegisterResourceRequest, parent: _Goal | None) -> str:
    package = package_of(request.type) or ""
    if request.provider or is_provider_type(request.type):
        return request.provider
    if package in request.providers:
        return request.providers[package]
    return parent.providers.get(package, "") if parent is not None else ""


def _alias(alias: Alias) -> str | dict[str, Any]:
    if alias.HasField("urn"):
        return alias.urn
    return {field.name: value for field, value in alias.spec.ListFields() if value}


def _options(request: RegisterResourceRequest, vault: Vault) -> dict[str, Any]:
    """The options that are not at their default, by wire name, sorted."""
    options: dict[str, Any] = {
        "additionalSecretOutputs": sorted(request.additionalSecretOutputs),
        "deletedWith": request.deletedWith,
        "envVarMappings": dict(sorted(request.envVarMappings.items())),
        "hideDiffs": sorted(request.hideDiffs),
        "ignoreChanges": sorted(request.ignoreChanges),
        "importId": request.importId,
        "packageRef": request.packageRef,
        "pluginDownloadURL": request.pluginDownloadURL,
        "providers": {key: provider_urn(ref) for key, ref in sorted(request.providers.items())},
        "remote": request.remote,
        "replaceOnChanges": sorted(request.replaceOnChanges),
        "replaceWith": sorted(request.replace_with),
        "retainOnDelete": request.retainOnDelete,
        "version": request.version,
    }
    if request.deleteBeforeReplaceDefined:
        options["deleteBeforeReplace"] = request.deleteBeforeReplace
    if request.HasField("customTimeouts"):
        options["customTimeouts"] = {
            field.name: value for field, value in request.customTimeouts.ListFields() if value
        }
    if request.HasField("replacement_trigger"):
        trigger = struct_pb2.Struct(fields={"value": request.replacement_trigger})
        options["replacementTrigger"] = wire.decode(trigger, vault).value["value"]
    if request.hooks.ListFields():
        options["hooks"] = {field.name: list(names) for field, names in request.hooks.ListFields()}
    kept = {key: value for key, value in options.items() if value or key == "deleteBeforeReplace"}
    return dict(sorted(kept.items()))


def _make_secret(properties: struct_pb2.Struct, key: str) -> None:
    """Marks a property as secret on the wire, unless it is already or is missing."""
    if key not in properties.fields:
        return
    current = properties.fields[key]
    if _is_secret(current):
        return
    wrapped = struct_pb2.Value()
    wrapped.struct_value.fields[wire.SIGNATURE_KEY].string_value = wire.SECRET_SIGNATURE
    wrapped.struct_value.fields["value"].CopyFrom(current)
    properties.fields[key].CopyFrom(wrapped)


def _is_secret(value: struct_pb2.Value) -> bool:
    fields = value.struct_value.fields
    return wire.SIGNATURE_KEY in fields and fields[wire.SIGNATURE_KEY].string_value == wire.SECRET_SIGNATURE


def _unwrap(value: struct_pb2.Value) -> struct_pb2.Value:
    while _is_secret(value) and "value" in value.struct_value.fields:
        value = value.struct_value.fields["value"]
    return value


def _fail(context: grpc.ServicerContext, code: grpc.StatusCode, details: str) -> NoReturn:
    context.abort(code, details)
    raise AssertionError("abort raises")


def _details(error: grpc.RpcError) -> str:
    details = getattr(error, "details", None)
    return str(details()) if callable(details) else str(error)
