"""Inputs of a component as they come over the wire: what must be plain and is not, and what is, as YAML would hold it.

A plan needs its settings before the first resource. So an Output is refused even where its value is known already:
the same program would fail in its first preview, where it is not.
"""

from collections.abc import Container, Iterator, Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from gke_llm_inference.provider.arguments import Argument, Component
from gke_llm_inference.pulumi_protocol.wire import (
    OUTPUT_SIGNATURE,
    SECRET_SIGNATURE,
    SIGNATURE_KEY,
    UNKNOWN_SENTINELS,
    path_of,
)
from gke_llm_inference.settings import Finding

_WHY_PLAIN = "settings decide which resources there are, before the first is registered"
# The one place where null is a value.
_PATCH = ".podPatch.patch."
_FIX_PLAIN = "write the value itself, or read it from the program's configuration"


def wire_problems(component: Component, inputs: Struct, dependencies: Mapping[str, Any]) -> list[Finding]:
    """Problems that only the wire format shows; no value is echoed.

    Args:
        component: what the inputs are for.
        inputs: the inputs.
        dependencies: URNs that an input depends on, by its name, as `ConstructRequest.inputDependencies`.

    """
    others = {argument.name: argument for argument in component.others if argument.output}
    problems: list[Finding] = []
    for key, value in sorted(inputs.fields.items()):
        if key in others:
            problems += _text_problems(others[key], value)
            continue
        found = list(_unplain(value, path_of("", key)))
        if not found and key in dependencies and dependencies[key].urns:
            found.append(
                Finding(path=path_of("", key), what="is an Output of another resource", why=_WHY_PLAIN, fix=_FIX_PLAIN)
            )
        problems += found
    return problems


def plain_values(value: Any) -> Any:
    """Values as YAML would hold them: on the wire every number is a float, and what is absent may be null."""
    if isinstance(value, Mapping):
        return {key: plain_values(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [plain_values(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def plain_parts(inputs: Struct, left_out: Container[str]) -> dict[str, Any]:
    """Inputs as YAML would hold them, with None for what is not plain.

    Args:
        inputs: the inputs.
        left_out: names of those that need not be plain.

    """
    return {
        key: _plain_part(value)
        for key, value in inputs.fields.items()
        if key not in left_out and value.WhichOneof("kind") != "null_value"
    }


def _plain_part(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return None if value.string_value in UNKNOWN_SENTINELS else value.string_value
        case "list_value":
            return [_plain_part(item) for item in value.list_value.values]
        case "struct_value" if SIGNATURE_KEY in value.struct_value.fields:
            return None
        case "struct_value":
            return plain_parts(value.struct_value, ())
        case "number_value":
            return plain_values(value.number_value)
        case "bool_value":
            return value.bool_value
    return None


def _unplain(value: Value, path: str) -> Iterator[Finding]:
    match value.WhichOneof("kind"):
        case "string_value" if value.string_value in UNKNOWN_SENTINELS:
            yield Finding(path=path, what="is an Output whose value is not known yet", why=_WHY_PLAIN, fix=_FIX_PLAIN)
        case "null_value" if _PATCH in path:
            yield Finding(
                path=path,
                what="is null",
                why="SDKs lose nulls on the way, and the patch would leave what it is to remove",
                fix="put $patch: replace, or $patch: delete, into the object or item around it",
            )
        case "list_value":
            for index, item in enumerate(value.list_value.values):
                yield from _unplain(item, path_of(path, index))
        case "struct_value":
            fields = value.struct_value.fields
            signature = fields[SIGNATURE_KEY].string_value if SIGNATURE_KEY in fields else None
            if signature is None:
                for key, item in sorted(fields.items()):
                    yield from _unplain(item, path_of(path, key))
            elif _is_secret(value):
                yield Finding(
                    path=path,
                    what="is a secret",
                    why="settings are plain data that appears in plans, logs and manifests",
                    fix="write it in clear, or move the secret out of it",
                )
            elif signature == OUTPUT_SIGNATURE:
                yield Finding(path=path, what="is an Output", why=_WHY_PLAIN, fix=_FIX_PLAIN)
            else:
                yield Finding(
                    path=path,
                    what="is not plain data",
                    why="settings are text, numbers, lists and maps",
                    fix="change it",
                )


def _text_problems(argument: Argument, value: Value) -> Iterator[Finding]:
    if argument.secret and not _is_secret(value) and value.WhichOneof("kind") != "null_value":
        yield Finding(
            path=argument.name,
            what="is not a secret",
            why="Pulumi's state would hold it in clear text",
            fix="use a secret of the stack's configuration (pulumi config set --secret), or the SDK's secret function",
        )
    inner = _known(value)
    kind = inner.WhichOneof("kind") if inner is not None else "string_value"
    if kind not in ("string_value", "null_value"):
        yield Finding(
            path=argument.name,
            what="is not text",
            why="values are taken as they are, never converted",
            fix="write text",
        )
    elif inner is not None and kind == "string_value" and not inner.string_value:
        yield Finding(
            path=argument.name, what="is empty", why="nothing could be done with it", fix="set it, or leave it out"
        )


def _is_secret(value: Value) -> bool:
    fields = value.struct_value.fields
    if SIGNATURE_KEY not in fields:
        return False
    signature = fields[SIGNATURE_KEY].string_value
    return signature == SECRET_SIGNATURE or (
        signature == OUTPUT_SIGNATURE and "secret" in fields and fields["secret"].bool_value
    )


def _known(value: Value) -> Value | None:
    """The value inside secrets and Outputs; None where it is not known."""
    while value.WhichOneof("kind") == "struct_value" and SIGNATURE_KEY in value.struct_value.fields:
        fields = value.struct_value.fields
        if "value" not in fields:
            return None
        value = fields["value"]
    return None if value.string_value in UNKNOWN_SENTINELS else value
