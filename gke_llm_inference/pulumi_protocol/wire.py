"""Decoding of property values as they travel between a program and the engine.

The format is `google.protobuf.Struct` with signed objects for what JSON lacks: secrets, assets, references
to resources, output values. Secrets are masked while decoding, so that no plain value reaches a recording.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value

from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from gke_llm_inference.terminal import SECRET, UNKNOWN

SIGNATURE_KEY: Final = "4dabf18193072939515e22adb298388d"
"""Marks an object as one of the signed forms below."""
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a type tag
_ASSET_SIGNATURE: Final = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE_SIGNATURE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
_RESOURCE_SIGNATURE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT_SIGNATURE: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"

UNKNOWN_SENTINELS: Final = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string, and what SDKs send for any type
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)

_LARGEST_EXACT_INTEGER: Final = 2**53
_PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$-]*")


@dataclass
class Decoded:
    """Properties in plain Python types, and what the wire said about them."""

    value: dict[str, Any]
    secret_paths: list[str] = field(default_factory=list)
    """Property paths of the secrets, in the order they were met."""
    dependencies: dict[str, list[str]] = field(default_factory=dict)
    """URNs that output values name, per top-level property."""


def decode(properties: Struct, masker: SecretMasker) -> Decoded:
    """Decode properties: secrets to `[secret]`, unknowns to `[unknown]`, whole numbers to int, keys sorted.

    Secret values go to the masker. Never raises for a well-formed Struct; a signature that is not known
    (a newer SDK) becomes `[unrecognised value]`.
    """
    result = Decoded({})
    decoder = _Decoder(masker, result)
    for key in sorted(properties.fields):
        decoder.top_level = key
        result.value[key] = decoder.value(properties.fields[key], path_of("", key))
    return result


def path_of(prefix: str, key: str | int) -> str:
    """The property path of an item: `a.b[0]["c.d"]`, as Pulumi writes it."""
    if isinstance(key, int):
        return f"{prefix}[{key}]"
    if not _PLAIN_KEY.fullmatch(key):
        quoted = key.replace("\\", "\\\\").replace('"', '\\"')
        return f'{prefix}["{quoted}"]'
    return f"{prefix}.{key}" if prefix else key


class _Decoder:
    def __init__(self, masker: SecretMasker, result: Decoded) -> None:
        self.masker = masker
        self.result = result
        self.top_level = ""

    def value(self, value: Value, path: str) -> Any:
        kind = value.WhichOneof("kind")
        if kind == "string_value":
            text = value.string_value
            return UNKNOWN if text in UNKNOWN_SENTINELS else text
        if kind == "number_value":
            return _number(value.number_value)
        if kind == "bool_value":
            return value.bool_value
        if kind == "list_value":
            return [self.value(item, path_of(path, i)) for i, item in enumerate(value.list_value.values)]
        if kind == "struct_value":
            return self.struct(value.struct_value, path)
        return None

    def struct(self, struct: Struct, path: str) -> Any:
        fields = struct.fields
        if SIGNATURE_KEY not in fields:
            return {key: self.value(fields[key], path_of(path, key)) for key in sorted(fields)}
        signature = fields[SIGNATURE_KEY].string_value
        if signature == SECRET_SIGNATURE:
            return self.secret(_field(struct, "value"), path)
        if signature == _RESOURCE_SIGNATURE:
            return fields["urn"].string_value
        if signature == OUTPUT_SIGNATURE:
            return self.output(struct, path)
        if signature == _ASSET_SIGNATURE:
            return _asset("asset", fields)
        if signature == _ARCHIVE_SIGNATURE:
            return _asset("archive", fields)
        return "[unrecognised value]"

    def secret(self, value: Value | None, path: str) -> str:
        if value is not None:
            self.masker.add(_Decoder(self.masker, Decoded({})).value(value, path))
        self.result.secret_paths.append(path)
        return SECRET

    def output(self, struct: Struct, path: str) -> Any:
        fields = struct.fields
        if "dependencies" in fields:
            urns = [item.string_value for item in fields["dependencies"].list_value.values]
            self.result.dependencies.setdefault(self.top_level, []).extend(urns)
        inner = _field(struct, "value")
        if "secret" in fields and fields["secret"].bool_value:
            return self.secret(inner, path)
        return UNKNOWN if inner is None else self.value(inner, path)


def _field(struct: Struct, key: str) -> Value | None:
    # Reading a missing key of a message map would insert it.
    return struct.fields[key] if key in struct.fields else None  # noqa: SIM401


def _number(number: float) -> int | float | str:
    if not math.isfinite(number):
        return str(number)  # JSON has no such numbers
    if number.is_integer() and abs(number) <= _LARGEST_EXACT_INTEGER:
        return int(number)
    return number


def _asset(kind: str, fields: Any) -> dict[str, Any]:
    """What an asset or archive is made of, without its content when that is inline text."""
    described: dict[str, Any] = {"kind": kind}
    for key in ("path", "uri", "hash"):
        if key in fields and fields[key].string_value:
            described[key] = fields[key].string_value
    if "text" in fields:
        described["textLength"] = len(fields["text"].string_value)
    if "assets" in fields:
        described["members"] = sorted(fields["assets"].struct_value.fields)
    return {"[asset]": described}
