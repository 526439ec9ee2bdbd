"""The SDK's functions with less work for the same answers.

Loaded by path into the program's process: the module depends on nothing but the SDK. Each shortcut knows the source of
the function whose answers it gives; in a version of the SDK that has another one, the SDK's own function stays, and a
large preview takes longer.
"""

import asyncio
import functools
import hashlib
import inspect
from collections.abc import Callable
from enum import Enum
from types import ModuleType
from typing import Any

import pulumi
from pulumi import _types
from pulumi.runtime import resource, rpc

# What passes through most of the SDK's functions as it is.
_PLAIN = frozenset({str, int, float, bool, type(None)})
_OUTPUTS_ARE_ONE_FUTURE = hasattr(pulumi.Output, "_from_data") and hasattr(pulumi.output, "_OutputData")


def take_shortcuts() -> None:
    """Put the shortcuts in place that are for this version of the SDK. Programs see no difference but the time."""
    # Nobody reads debug messages here, and the SDK makes several for each resource.
    pulumi.log.debug = _nothing
    for module, name, remember in _ANNOTATIONS:
        original = getattr(module, name, None)
        if original is not None:
            setattr(module, name, remember(original))
    for name, (digest, shortcut) in SHORTCUTS.items():
        module = module_of(name)
        original = getattr(module, name, None)
        if original is not None and digest_of(original) == digest:
            setattr(module, name, shortcut(original))
    # Known there by a name of its own.
    resource.serialize_property = rpc.serialize_property  # type: ignore[attr-defined]


def module_of(name: str) -> ModuleType:
    """Where the SDK has the function that a shortcut stands for."""
    return resource if name == "create_urn" else rpc


def digest_of(function: Callable[..., Any]) -> str:
    """What tells a function's source from any other; empty where there is none."""
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (OSError, TypeError):
        return ""


def _nothing(*_: Any, **__: Any) -> None:
    pass


def remembered(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of an annotation, asked once for each: they are few and stay, and to hash one is slow."""
    answers: dict[int, tuple[Any, Any]] = {}

    def shortcut(annotation: Any) -> Any:
        known = answers.get(id(annotation))
        if known is None:
            # The annotation is kept, so that nothing else gets its id.
            known = answers[id(annotation)] = (annotation, original(annotation))
        return known[1]

    return shortcut


def _contains_unknowns(original: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def shortcut(val: Any) -> bool:
        return type(val) not in _PLAIN and original(val)

    return shortcut


def _serialize_property(original: Callable[..., Any]) -> Callable[..., Any]:
    async def shortcut(value: Any, *arguments: Any, return_protobuf_value: bool = False, **named: Any) -> Any:
        if type(value) in _PLAIN and not return_protobuf_value:
            return value
        return await original(value, *arguments, return_protobuf_value=return_protobuf_value, **named)

    return shortcut


def _deserialize_property(original: Callable[..., Any]) -> Callable[..., Any]:
    unknown = rpc.UNKNOWN

    def shortcut(value: Any, *arguments: Any, **named: Any) -> Any:
        if type(value) in _PLAIN and value != unknown:
            return value
        return original(value, *arguments, **named)

    return shortcut


def _translate_output_properties(original: Callable[..., Any]) -> Callable[..., Any]:
    @remembered
    def is_kept(annotation: Any) -> bool:
        """Whether a plain value stays as it is: whole numbers travel as fractions, members of an enum as values."""
        kind = _types.unwrap_optional_type(annotation)
        return kind is not int and not (inspect.isclass(kind) and issubclass(kind, Enum))

    def shortcut(output: Any, output_transformer: Any, typ: Any = None, *arguments: Any, **named: Any) -> Any:
        if type(output) in _PLAIN and (typ is None or is_kept(typ)):
            return output
        return original(output, output_transformer, typ, *arguments, **named)

    return shortcut


def _transfer_properties(original: Callable[..., Any]) -> Callable[..., Any]:
    if not _OUTPUTS_ARE_ONE_FUTURE:
        return original

    def shortcut(res: Any, props: Any, custom: bool) -> dict[str, Any]:
        resolvers = {}
        for name in props:
            if name == "urn" or (name == "id" and custom):
                continue
            # One future for each, where the SDK has four and a task that waits for them.
            future: asyncio.Future[Any] = asyncio.Future()
            resolvers[name] = functools.partial(_resolve, res, future)
            res.__dict__[name] = pulumi.Output._from_data(future)
        return resolvers

    return shortcut


def _resolve(
    res: Any, future: Any, value: Any, is_known: bool, is_secret: bool, deps: Any, failed: Exception | None
) -> None:
    if failed is not None:
        future.set_exception(failed)
        return
    future.set_result(
        pulumi.output._OutputData(resources={*(deps or ()), res}, value=value, is_known=is_known, is_secret=is_secret)
    )


def _create_urn(original: Callable[..., Any]) -> Callable[..., Any]:
    if not _OUTPUTS_ARE_ONE_FUTURE:
        return original

    def shortcut(name: Any, type_: Any, parent: Any = None, project: Any = None, stack: Any = None) -> Any:
        if not (isinstance(name, str) and isinstance(type_, str) and isinstance(parent, str)):
            return original(name, type_, parent, project, stack)
        urn: asyncio.Future[Any] = asyncio.Future()
        urn.set_result(
            pulumi.output._OutputData(
                resources=set(),
                value=f"{parent[: parent.rfind('::')]}${type_}::{name}",
                is_known=True,
                is_secret=False,
            )
        )
        return pulumi.Output._from_data(urn)

    return shortcut


_ANNOTATIONS: tuple[tuple[ModuleType, str, Callable[[Any], Any]], ...] = (
    (rpc, "get_origin", remembered),
    (_types, "unwrap_type", remembered),
    (_types, "unwrap_optional_type", remembered),
    (_types, "resource_types", functools.cache),
    (_types, "resource_pulumi_to_py_names", functools.cache),
    (_types, "input_type_py_to_pulumi_names", functools.cache),
)
"""Functions of an annotation or a class alone, and how their answers are kept."""

SHORTCUTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "contains_unknowns": ("1f1f335b6f48b96055607dbb5be2e53b1163e35ec88704c89a41271070017cc8", _contains_unknowns),
    "serialize_property": ("7e1361fad73506d2c78408541126e705a07da73e5ef44e348e369394f3e30a7a", _serialize_property),
    "deserialize_property": ("662b333c8c26d2708fa7f7745c712def4e8bc98a844c1ab9bac1e266f48a2cb5", _deserialize_property),
    "translate_output_properties": (
        "3b2d90a79afc9f4f99b6577ecf3a145f6599bcea9cfc35a280d3cc40c9995f42",
        _translate_output_properties,
    ),
    "transfer_properties": ("0e7c02ffa04ff20b31cd58a4829188d173300ed40eae0cb7bb48435121c233d9", _transfer_properties),
    "create_urn": ("b4efa209c920a83ac0a652e3f00fa7e987bdb7e438231fc88146f4c372c85596", _create_urn),
}
"""By the name of what each stands for: the digest of its source, and what makes the shortcut of it."""
