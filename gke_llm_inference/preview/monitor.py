"""The stand-in for the Pulumi engine: answers a program as a first preview would, and records it."""

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import engine_pb2_grpc, resource_pb2, resource_pb2_grpc
from pulumi.runtime.proto.alias_pb2 import Alias
from pulumi.runtime.proto.callback_pb2 import Callback
from pulumi.runtime.proto.engine_pb2 import LogRequest
from pulumi.runtime.proto.resource_pb2 import (
    ReadResourceRequest,
    RegisterResourceOutputsRequest,
    RegisterResourceRequest,
    ResourceInvokeRequest,
)

from gke_llm_inference.preview.recorder import Goal, Recorder
from gke_llm_inference.preview.recording import Resource, Severity
from gke_llm_inference.preview.transforms import Transforms
from gke_llm_inference.pulumi_protocol import wire
from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from gke_llm_inference.pulumi_protocol.urn import is_provider_type, make_urn, package_of, provider_urn
from gke_llm_inference.terminal import SECRET

# The engine takes 400 MiB; no resource of a stack comes near a tenth of this.
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_WORKERS = 8

# What the engine supports and this monitor honors. Left out: output values (only remote components use
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
_STACK_REFERENCE = "pulumi:pulumi:StackReference"
_SECRET_FIELDS = ("data", "stringData")

_EMPTY = empty_pb2.Empty()


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
        decoded = wire.decode(request.object, recorder.masker)
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
            options=_options(request, self._recorder.masker),
        )

    def _mask_kubernetes_secret(self, urn: str, properties: struct_pb2.Struct, decoded: wire.Decoded) -> None:
        """Mask what a Kubernetes Secret holds, keeping its keys, whether or not the program marked it."""
        for field in _SECRET_FIELDS:
            if field not in properties.fields:
                continue
            plain = _unwrap(properties.fields[field])
            if plain.WhichOneof("kind") != "struct_value":
                continue  # unknown as a whole
            items = {key: _unwrap(value).string_value for key, value in plain.struct_value.fields.items()}
            self._recorder.masker.add(items)
            if field == "data":
                self._recorder.masker.add(list(filter(None, map(_from_base64, items.values()))))
            values = decoded.value[field]
            unmarked = sorted(k for k, v in values.items() if v != SECRET) if isinstance(values, dict) else []
            if unmarked:
                self._recorder.log(
                    Severity.WARNING,
                    f"{field} of a Kubernetes Secret is not marked as secret ({', '.join(unmarked)}); "
                    "the state would hold it in plain text. Wrap it in pulumi.Output.secret(…)",
                    urn,
                )
                decoded.secret_paths.extend(wire.path_of(field, key) for key in unmarked)
            decoded.value[field] = dict.fromkeys(sorted(items), SECRET)

    def _claim(self, urn: str, goal: Goal, context: grpc.ServicerContext) -> None:
        if not self._recorder.claim(urn, goal):
            message = f"Duplicate resource URN '{urn}'; try giving it a unique name"
            self._recorder.log(Severity.ERROR, message, urn)
            _fail(context, grpc.StatusCode.ALREADY_EXISTS, message)

    def RegisterResourceOutputs(  # noqa: D102, N802
        self,
        request: RegisterResourceOutputsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> empty_pb2.Empty:
        decoded = wire.decode(request.outputs, self._recorder.masker)
        self._recorder.add_outputs(request.urn, decoded.value)
        return _EMPTY

    def ReadResource(  # noqa: D102, N802
        self, request: ReadResourceRequest, context: grpc.ServicerContext
    ) -> resource_pb2.ReadResourceResponse:
        recorder = self._recorder
        parent_goal = recorder.goal(request.parent) if request.parent else None
        urn = make_urn(recorder.stack, recorder.project, request.parent, request.type, request.name)
        goal = Goal(request.parent, None, None, "", request.provider, {}, is_component=False)
        self._claim(urn, goal, context)
        decoded = wire.decode(request.properties, recorder.masker)
        provider = request.provider
        if not provider and parent_goal is not None:
            provider = parent_goal.providers.get(package_of(request.type) or "", "")
        recorder.log(
            Severity.WARNING,
            f"a preview without a cloud cannot read the stack {request.id}; its outputs are unknown"
            if request.type == _STACK_REFERENCE
            else f"a preview without a cloud cannot read the existing resource '{request.name}' "
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

    def __enter__(self) -> "MonitorServer":
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.stop(grace=None).wait()
        self._transforms.close()


def _goal_of(request: RegisterResourceRequest, parent: Goal | None) -> Goal:
    providers = dict(request.providers)
    if not request.custom and parent is not None and parent.is_component:
        providers = {**parent.providers, **providers}
    return Goal(
        parent=request.parent,
        protect=request.protect if request.HasField("protect") else None,
        retain_on_delete=request.retainOnDelete if request.HasField("retainOnDelete") else None,
        deleted_with=request.deletedWith,
        provider=request.provider,
        providers={} if request.custom else providers,
        is_component=not request.custom,
    )


def _inherit(request: RegisterResourceRequest, parent: Goal) -> None:
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


def _resolve_provider(request: RegisterResourceRequest, parent: Goal | None) -> str:
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


def _options(request: RegisterResourceRequest, masker: SecretMasker) -> dict[str, Any]:
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
        options["customTimeouts"] = {field.name: value for field, value in request.customTimeouts.ListFields() if value}
    if request.HasField("replacement_trigger"):
        trigger = struct_pb2.Struct(fields={"value": request.replacement_trigger})
        options["replacementTrigger"] = wire.decode(trigger, masker).value["value"]
    if request.hooks.ListFields():
        options["hooks"] = {field.name: list(names) for field, names in request.hooks.ListFields()}
    kept = {key: value for key, value in options.items() if value or key == "deleteBeforeReplace"}
    return dict(sorted(kept.items()))


def _make_secret(properties: struct_pb2.Struct, key: str) -> None:
    """Mark a property as secret on the wire, unless it is already or is missing."""
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


def _from_base64(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return None


def _fail(context: grpc.ServicerContext, code: grpc.StatusCode, details: str) -> NoReturn:
    context.abort(code, details)
    raise AssertionError("abort raises")


def _details(error: grpc.RpcError) -> str:
    details = getattr(error, "details", None)
    return str(details()) if callable(details) else str(error)
