"""The SDK's shortcuts in a preview: each gives the answers of what it stands for."""

from __future__ import annotations

import asyncio
import enum
import re
from typing import TYPE_CHECKING, Any, Optional, Union

import pulumi
import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from pulumi import _types
from pulumi.output import Unknown
from pulumi.runtime import resource, rpc
from pulumi_gcp.compute import SubnetworkSecondaryIpRangeArgs
from pulumi_kubernetes.core.v1 import ContainerPortArgs

from gke_llm_inference.preview import process, shortcuts
from gke_llm_inference.preview.errors import ProgramError
from gke_llm_inference.preview.run import record
from tests.preview.test_preview_recording import CONFIG, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tests.preview.conftest import Workspace

_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(), st.just(rpc.UNKNOWN)
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.sampled_from(["a", "b_c", "d"]), inner))
)
_INPUTS = st.one_of(
    _VALUES,
    st.just(Unknown()),  # type: ignore[no-untyped-call]
    st.builds(lambda port: {"ports": [ContainerPortArgs(container_port=port)]}, st.integers(1, 9)),
    st.builds(lambda text: SubnetworkSecondaryIpRangeArgs(range_name=text, ip_cidr_range=None), st.text()),
    st.builds(lambda raw: [raw], st.binary()),
)


class Color(enum.StrEnum):
    """An enum as the SDKs have them."""

    RED = "red"
    BLUE = "blue"


_ANNOTATIONS: list[Any] = [
    *(None, Any, str, int, float, Color, Optional[int], Optional[Color], list[int]),  # noqa: UP045 - as the SDKs
    *(dict[str, int], Optional[dict[str, Color]], Union[int, str], pulumi.Output[int]),  # noqa: UP007, UP045
]


def shortcut(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A function of the SDK, and what stands for it."""
    original = getattr(shortcuts.module_of(name), name)
    return original, shortcuts.SHORTCUTS[name][1](original)


def outcome(function: Callable[[], Any]) -> Any:
    """What a function gives, with its types, or what it raises."""
    try:
        return re.sub(" at 0x[0-9a-f]+", "", repr(function()))
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", sorted(shortcuts.SHORTCUTS))
def test_every_shortcut_is_for_the_sdk_that_is_locked(name: str) -> None:
    original, _ = shortcut(name)
    assert shortcuts.digest_of(original) == shortcuts.SHORTCUTS[name][0]


def test_what_has_no_source_has_no_digest() -> None:
    assert shortcuts.digest_of(len) == ""


@given(_INPUTS)
def test_unknowns_are_found_as_before(value: Any) -> None:
    original, quick = shortcut("contains_unknowns")
    assert quick(value) == original(value)


@given(_INPUTS, st.sampled_from(_ANNOTATIONS), st.booleans())
def test_inputs_are_serialized_as_before(value: Any, annotation: Any, as_protobuf: bool) -> None:
    original, quick = shortcut("serialize_property")

    def serialized(function: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run(function(value, [], "key", None, None, annotation, return_protobuf_value=as_protobuf))

    assert outcome(lambda: serialized(quick)) == outcome(lambda: serialized(original))


@given(_VALUES)
def test_outputs_are_deserialized_as_before(value: Any) -> None:
    original, quick = shortcut("deserialize_property")
    struct = struct_pb2.Struct()
    struct.update({"value": value})
    assert outcome(lambda: quick(struct["value"], True)) == outcome(lambda: original(struct["value"], True))


@given(st.one_of(_VALUES, st.sampled_from(["red", 3.0])), st.sampled_from(_ANNOTATIONS))
def test_outputs_get_their_types_as_before(value: Any, annotation: Any) -> None:
    original, quick = shortcut("translate_output_properties")

    def translated(function: Callable[..., Any]) -> Any:
        return function(value, lambda name: name, annotation, True)

    assert outcome(lambda: translated(quick)) == outcome(lambda: translated(original))


@pytest.mark.parametrize("annotation", _ANNOTATIONS[1:])
def test_annotations_are_unwrapped_as_before(annotation: Any) -> None:
    quick = shortcuts.remembered(_types.unwrap_type)
    assert [quick(annotation), quick(annotation)] == [_types.unwrap_type(annotation)] * 2


def test_urns_are_built_as_before() -> None:
    original, quick = shortcut("create_urn")

    async def built(function: Callable[..., Any]) -> Any:
        return await function("name", "a:b:C", "urn:pulumi:dev::demo::x:y:Z::parent")._data

    assert asyncio.run(built(quick)) == asyncio.run(built(original))


def test_the_sdk_itself_is_as_it_was() -> None:
    """Shortcuts are for the program's process alone."""
    assert resource.serialize_property.__module__ == rpc.serialize_property.__module__ == "pulumi.runtime.rpc"  # type: ignore[attr-defined]


@pytest.fixture
def without_shortcuts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """A program's process with an SDK that the shortcuts do not know."""

    def forget() -> None:
        directory = tmp_path / "of another version"
        directory.mkdir()
        (directory / "child.py").write_bytes(process._CHILD.read_bytes())
        (directory / "shortcuts.py").write_text("from pulumi.runtime import what_a_later_version_does_not_have\n")
        monkeypatch.setattr(process, "_CHILD", directory / "child.py")

    return forget


def test_a_preview_is_the_same_without_shortcuts(workspace: Workspace, without_shortcuts: Callable[[], None]) -> None:
    workspace.program(PROGRAM)
    workspace.stack(CONFIG)
    quick = record(workspace.directory, "dev")
    without_shortcuts()
    assert record(workspace.directory, "dev") == quick
    assert len(quick.resources) == 12


def test_a_failure_is_the_same_without_shortcuts(workspace: Workspace, without_shortcuts: Callable[[], None]) -> None:
    workspace.program('Thing("test:index:Thing", "first", {"bad": {"list": [b"bytes"]}})\n')

    def problems() -> list[str]:
        with pytest.raises(ProgramError) as caught:
            record(workspace.directory, "dev")
        return [re.sub(r'File ".*/child\.py", line \d+', "child", problem) for problem in caught.value.problems]

    quick = problems()
    without_shortcuts()
    assert problems() == quick
    assert "unexpected input of type bytes for list in Thing" in quick[0]
