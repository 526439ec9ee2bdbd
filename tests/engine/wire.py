"""Property values as they travel between the engine and a resource provider.

The preview's decoder masks secrets; a provider needs them in clear, so this is the provider's side of the format.
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value

from gke_llm_inference.pulumi_protocol.wire import SECRET_SIGNATURE, SIGNATURE_KEY, UNKNOWN_SENTINELS

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine takes for a value that is not known yet."""


def decode(properties: Struct) -> dict[str, Any]:
    """Properties in plain Python types: secrets in clear, whole numbers as int, unknowns as `UNKNOWN`."""
    return {key: _decoded(value) for key, value in sorted(properties.fields.items())}


def encode(properties: Mapping[str, Any]) -> Struct:
    """Properties for the engine."""
    struct = Struct()
    struct.update(dict(properties))
    return struct


def _decoded(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            text = value.string_value
            return UNKNOWN if text in UNKNOWN_SENTINELS else text
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_decoded(item) for item in value.list_value.values]
        case "struct_value":
            fields = value.struct_value.fields
            if SIGNATURE_KEY in fields and fields[SIGNATURE_KEY].string_value == SECRET_SIGNATURE:
                return _decoded(fields["value"])
            return {key: _decoded(item) for key, item in sorted(fields.items())}
        case _:
            return None
