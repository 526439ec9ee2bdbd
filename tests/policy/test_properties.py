"""Whatever the properties are, policies neither raise nor show a secret, and hold nothing against the unknown."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from gke_llm_inference.policy.checks import check
from gke_llm_inference.policy.configuration import Configured, configure, environment_document
from gke_llm_inference.policy.pack import plain_properties
from gke_llm_inference.policy.preview_check import resources_of
from gke_llm_inference.policy.resources import Opaque, Resource
from gke_llm_inference.preview.recording import Recording
from tests.policy.cases import CASES, TOKEN, Case, resource

CONFIGURED = configure(environment_document("prod"))
TYPES = sorted({resource.type for case in CASES for resource in case.resources})

_KEYS = st.sampled_from(
    [
        *sorted({key for case in CASES for resource in case.resources for key in resource.inputs}),
        *("template", "containers", "env", "args", "resources", "limits", "selector", "rules", "nvidia.com/gpu"),
    ]
)
_LEAVES = st.one_of(
    st.sampled_from(list(Opaque)),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["LoadBalancer", "nvidia-l4", "100%", "nan", "1e999", TOKEN]),
)


def _trees(leaves: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    keys = _KEYS | st.text(max_size=4)
    values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4))
    return st.dictionaries(keys, values, max_size=5)


def _resource(type_: str, properties: dict[str, Any], name: str = "one") -> Resource:
    return Resource(f"urn:pulumi:prod::project::{type_}::{name}", type_, name, properties)


def _messages(one: Configured, resources: list[Resource]) -> list[str]:
    return [violation.message for violation in check(one.policy, resources, one.settings)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TYPES), _trees(_LEAVES)), min_size=1, max_size=4))
def test_any_properties_are_looked_at_without_an_error(stack: list[tuple[str, dict[str, Any]]]) -> None:
    resources = [_resource(type_, properties, str(index)) for index, (type_, properties) in enumerate(stack)]
    for one in CONFIGURED:
        assert not [message for message in _messages(one, resources) if TOKEN in message]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_property_that_becomes_unknown_adds_no_violation(case: Case) -> None:
    """Each property of each case is hidden in turn; a message may lose a name or a part of a sum by it."""
    resources = resources_of(case.recording)
    for one in CONFIGURED:
        before = set(_messages(one, list(resources)))
        for index, known in enumerate(resources):
            for hidden in _hidden(known.properties):
                changed = [*resources]
                changed[index] = replace(known, properties=hidden)
                added = set(_messages(one, changed)) - before
                assert all(re.search(r"GPU machines may cost|container \d", message) for message in added), hidden


def _hidden(value: Any) -> list[Any]:
    """The tree with each of its parts hidden in turn, one by one."""
    if isinstance(value, dict):
        return [{**value, key: part} for key in value for part in (Opaque.UNKNOWN, *_hidden(value[key]))]
    if isinstance(value, list):
        return [
            [*value[:index], part, *value[index + 1 :]]
            for index in range(len(value))
            for part in (Opaque.UNKNOWN, *_hidden(value[index]))
        ]
    return []


def test_what_stands_for_a_value_in_a_recording_is_opaque() -> None:
    inputs = {"a": [1, {"b": "[unknown]", "c": "[secret]"}], "d": {"[asset]": {"kind": "asset"}}, "e": "[unknown]"}
    recording = Recording(project="p", stack="prod", resources=(resource("gcp:storage/bucket:Bucket", "b", inputs),))
    assert resources_of(recording)[0].properties == {
        "a": [1, {"b": Opaque.UNKNOWN, "c": Opaque.SECRET}],
        "d": Opaque.UNKNOWN,
        "e": Opaque.UNKNOWN,
    }


@given(_trees(st.none() | st.booleans() | st.integers() | st.text(max_size=5)))
def test_plain_values_stay_as_they_are(properties: dict[str, Any]) -> None:
    assert plain_properties(properties) == properties
