"""Semantic comparison of values: exact paths, no noise of an order, nothing missed."""

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.diff.compare import compare
from gke_llm_inference.diff.values import ABSENT, differences
from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.pulumi_protocol.wire import path_of
from tests.diff.support import recordings_of_corpus
from tests.support import Recordings


def changes(old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    return [(one.text, one.old, one.new) for one in differences(old, new)]


CONTAINER = {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({"a": 1}, {"a": 1}, [], id="same"),
        pytest.param({"a": 1}, {"a": 2}, [("a", 1, 2)], id="value"),
        pytest.param({"a": 1}, {"a": True}, [("a", 1, True)], id="true is not 1"),
        pytest.param({"a": 0}, {"a": False}, [("a", 0, False)], id="false is not 0"),
        pytest.param({"a": "1"}, {"a": 1}, [("a", "1", 1)], id="text is not a number"),
        pytest.param({"a": None}, {}, [], id="null is nothing"),
        pytest.param({}, {"a": {}}, [("a", ABSENT, {})], id="empty is something"),
        pytest.param({"a.b": {"c d": 1}}, {"a.b": {"c d": 2}}, [('["a.b"]["c d"]', 1, 2)], id="quoted keys"),
        pytest.param(CONTAINER, {"containers": CONTAINER["containers"][::-1]}, [], id="containers go by name"),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}, {"name": "C", "value": "3"}]},
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}]},
            [("env[B]", ABSENT, {"name": "B", "value": "2"})],
            id="one variable more",
        ),
        pytest.param(
            {"initContainers": [{"name": "a"}, {"name": "b"}]},
            {"initContainers": [{"name": "b"}, {"name": "a"}]},
            [("initContainers", ["a", "b"], ["b", "a"])],
            id="init containers have an order",
        ),
        pytest.param({"args": ["m", "--a=1", "--b=2"]}, {"args": ["--b", "2", "m", "--a=1"]}, [], id="flags"),
        pytest.param(
            {"args": ["m", "--a=1"]},
            {"args": ["n", "--a", "2", "--c"]},
            [("args[0]", "m", "n"), ("args[--a]", "1", "2"), ("args[--c]", ABSENT, True)],
            id="arguments",
        ),
        pytest.param(
            {"args": ["--lora", "a", "--lora", "b"]},
            {"args": ["--lora", "a", "--lora", "c"]},
            [("args[--lora][1]", "b", "c")],
            id="a flag twice",
        ),
        pytest.param(
            {"command": ["a", "b"]}, {"command": ["b", "a"]}, [("command", ["a", "b"], ["b", "a"])], id="order"
        ),
        pytest.param({"command": ["a", "c"]}, {"command": ["a", "b", "c"]}, [("command[1]", ABSENT, "b")], id="insert"),
        pytest.param({"oauthScopes": ["a", "b"]}, {"oauthScopes": ["b", "a"]}, [], id="a set"),
        pytest.param(
            {"drop": ["ALL"]}, {"drop": ["ALL", "NET"]}, [("drop[NET]", ABSENT, "NET")], id="one more in a set"
        ),
        pytest.param(
            {"tolerations": [{"key": "a", "effect": "X"}, {"key": "a", "effect": "Y"}]},
            {"tolerations": [{"key": "a", "effect": "Y"}, {"key": "a", "effect": "Z"}]},
            [("tolerations[1].effect", "X", "Z")],
            id="tolerations of one key",
        ),
        pytest.param({"a": [1]}, {"a": {"b": 1}}, [("a", [1], {"b": 1})], id="another type"),
    ],
)
def test_what_is_reported(old: Any, new: Any, expected: list[tuple[str, Any, Any]]) -> None:
    assert changes(old, new) == expected
    assert len(changes(new, old)) == len(expected)
    assert changes(old, copy.deepcopy(old)) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "args", "name", "ports"]), inner),
    max_leaves=12,
)


@given(JSON, JSON)
@settings(deadline=None, max_examples=300)
def test_values_differ_if_and_only_if_something_is_reported(old: Any, new: Any) -> None:
    reported = list(differences({"x": old}, {"x": new}))
    assert list(differences({"x": old}, {"x": copy.deepcopy(old)})) == []
    if not reported:
        assert _settled(old) == _settled(new)
    texts = [one.text for one in reported]
    assert all(one.old is not ABSENT or one.new is not ABSENT for one in reported)
    assert all(text.startswith("x") for text in texts)


def _settled(value: Any) -> Any:
    """A value without what is not compared: nulls, and the order of what has none."""
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return sorted(repr(_settled(item)) for item in value)
    return repr(value)


UNORDERED = {"containers", "env", "volumeMounts", "volumes", "tolerations", "ports", "nodeLocations", "oauthScopes"}


@pytest.fixture(scope="module")
def bases(recordings: Recordings) -> list[Recording]:
    corpus = recordings_of_corpus(recordings)
    return [corpus["autopilot"], corpus["standard"]]


def _shuffled(value: Any, chance: random.Random, name: str = "") -> Any:
    if isinstance(value, dict):
        items = [(key, _shuffled(item, chance, key)) for key, item in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        items = [_shuffled(item, chance) for item in value]
        if name in UNORDERED or (name == "args" and all(str(item).startswith("--") for item in items[1:])):
            chance.shuffle(items)
        return items
    return value


@pytest.mark.parametrize("seed", range(5))
def test_a_recording_in_another_order_is_the_same(bases: list[Recording], seed: int) -> None:
    chance = random.Random(seed)
    for base in bases:
        resources = [
            Resource(
                **{**_fields(one), "inputs": _shuffled(one.inputs, chance), "options": _shuffled(one.options, chance)}
            )
            for one in base.resources
        ]
        chance.shuffle(resources)
        comparison = compare(base, Recording(base.project, base.stack, tuple(resources)))
        assert comparison.resources == ()
        assert comparison.unchanged == len(base.resources)


def _fields(resource: Resource) -> dict[str, Any]:
    return {name: getattr(resource, name) for name in Resource.__dataclass_fields__}


def _leaves(value: Any, path: str = "", keys: tuple[Any, ...] = ()) -> list[tuple[str, tuple[Any, ...]]]:
    """Every leaf with the path that a person would write, and the way to it."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, path_of(path, key), (*keys, key))]
    if isinstance(value, list):
        found = []
        for index, item in enumerate(value):
            if isinstance(item, dict):
                key = next((one for one in ("name", "key", "mountPath", "rangeName", "port") if one in item), None)
                names = [one.get(key) for one in value]
                # Ports of two protocols share their number; they have their position only.
                own = key is not None and names.count(names[index]) == 1
                below = _leaves(item, f"{path}[{item[key] if own else index}]", (*keys, index))
                found += [leaf for leaf in below if not (own and key == "port" and leaf[1] == (*keys, index, key))]
        return found
    return [(path, keys)]


IDENTITIES = {"name", "key", "mountPath", "rangeName", "containerPort"}


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_a_change_anywhere_is_reported_at_exactly_its_path(bases: list[Recording], data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(bases))
    resource = data.draw(st.sampled_from([one for one in base.resources if one.inputs]))
    leaves = [leaf for leaf in _leaves(resource.inputs) if leaf[1][-1] not in IDENTITIES or len(leaf[1]) < 3]
    path, keys = data.draw(st.sampled_from(leaves))
    inputs = copy.deepcopy(resource.inputs)
    target = inputs
    for key in keys[:-1]:
        target = target[key]
    old, new = target[keys[-1]], data.draw(st.sampled_from(["changed", 41, {"a": 1}, [7], False]))
    if data.draw(st.booleans()):
        new = ABSENT
        del target[keys[-1]]
    else:
        target[keys[-1]] = new
    head = Recording(
        base.project,
        base.stack,
        tuple(Resource(**{**_fields(one), "inputs": inputs}) if one is resource else one for one in base.resources),
    )
    comparison = compare(base, head)
    if new is not ABSENT and type(new) is type(old) and new == old:
        assert comparison.resources == ()
        return
    (change,) = comparison.resources
    assert (change.action, change.resource.urn) == ("changed", resource.urn)
    assert [(one.text, one.old, one.new) for one in change.properties] == [(path, old, new)]
    assert change.options == ()
