"""The public surface changes only with a word in the changelog, and names of deployed resources only with an alias."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.package.surface import Surface, changes, lost, surface_of, unnamed
from tests.support import REPOSITORY, Recordings, expect_golden

CHANGELOG = REPOSITORY / "CHANGELOG.md"
RELEASED = Path(__file__).with_name("surface-released.json")
TODAY = Path(__file__).with_name("surface.json")


@pytest.fixture(scope="module")
def recording(recordings: Recordings) -> Recording:
    return recordings.program(REPOSITORY / "tests" / "components" / "gallery.py")


@pytest.fixture(scope="module")
def surface(recording: Recording) -> Surface:
    return surface_of(recording)


@pytest.fixture(scope="module")
def released() -> Surface:
    content: Surface = json.loads(RELEASED.read_text("utf-8"))
    return content


def test_the_surface_is_the_one_on_record(surface: Surface) -> None:
    expect_golden(TODAY, json.dumps(surface, indent=1) + "\n")


def test_every_change_since_the_last_release_is_in_the_changelog(surface: Surface, released: Surface) -> None:
    missing = unnamed(changes(released, surface), CHANGELOG.read_text("utf-8"))
    assert missing == [], "name each in backquotes in CHANGELOG.md under [Unreleased]"


def test_no_deployed_resource_is_lost(recording: Recording, released: Surface) -> None:
    assert lost(released, recording) == [], "give the resource an alias with its old name or type"


def test_the_public_names_are_the_promised_ones(surface: Surface) -> None:
    names = surface["names"]
    assert names.keys() >= {f"gke_llm_inference.{name}" for name in ("parse_settings", "plan_stack", "Refusal")}
    assert names.keys() >= {
        f"gke_llm_inference.components.{name}"
        for name in ("GkeCluster", "GpuNodePool", "HuggingFaceToken", "InferenceServer")
    }


CHANGED: list[tuple[Callable[[Surface], object], list[str]]] = [
    (lambda new: new["names"].pop("gke_llm_inference.plan_stack"), ["plan_stack"]),
    (
        lambda new: new["names"]["gke_llm_inference.components.GpuNodePoolArgs"].append("spare: optional"),
        ["GpuNodePoolArgs"],
    ),
    (lambda new: new["names"].update({"gke_llm_inference.price": ["(plan)"]}), ["price"]),
    (lambda new: new["resources"]["gke-llm-inference:index:GpuNodePool"].append("gcp:a/b:C {name}-c"), ["GpuNodePool"]),
    (lambda new: new["resources"].pop("gke-llm-inference:index:Network"), ["Network"]),
]


@pytest.mark.parametrize(("change", "expected"), CHANGED)
def test_a_change_needs_its_own_entry(
    change: Callable[[Surface], object], expected: list[str], surface: Surface
) -> None:
    new = deepcopy(surface)
    change(new)
    assert changes(surface, surface) == []
    assert changes(surface, new) == expected
    assert unnamed(expected, f"## [Unreleased]\n\n## [0.1.0]\n* `{expected[0]}`\n") == expected
    assert unnamed(expected, f"## [Unreleased]\n* Something about `components.{expected[0]}`.\n") == []


def test_a_renamed_child_is_lost_without_an_alias_and_found_with_one(recording: Recording, surface: Surface) -> None:
    old = deepcopy(surface)
    children = old["resources"]["gke-llm-inference:index:InferenceServer"]
    service = "kubernetes:core/v1:Service {name}-service"
    children[children.index(service)] = "kubernetes:core/v1:Service {name}-endpoint"
    assert lost(old, recording) == [
        "gke-llm-inference:index:InferenceServer: kubernetes:core/v1:Service {name}-endpoint"
    ]

    def with_alias(recorded: Recording) -> Recording:
        return replace(
            recorded,
            resources=tuple(
                replace(one, aliases=({"name": one.name.removesuffix("-service") + "-endpoint"},))
                if one.type == "kubernetes:core/v1:Service"
                else one
                for one in recorded.resources
            ),
        )

    assert lost(old, with_alias(recording)) == []


def test_a_renamed_component_is_lost_without_an_alias(recording: Recording, surface: Surface) -> None:
    old = deepcopy(surface)
    old["resources"]["gke-llm-inference:index:Pool"] = old["resources"].pop("gke-llm-inference:index:GpuNodePool")
    assert lost(old, recording) == ["gke-llm-inference:index:Pool"]
    resources = tuple(
        replace(one, aliases=({"type": "gke-llm-inference:index:Pool"},)) if one.type.endswith(":GpuNodePool") else one
        for one in recording.resources
    )
    assert lost(old, replace(recording, resources=resources)) == []
