"""The public surface changes only with a word in the changelog, and names of deployed resources only with an alias."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from gke_llm_inference import catalog as catalog_module
from gke_llm_inference import parse_settings, planning
from gke_llm_inference.preview.recording import Recording
from tests.package.surface import Surface, changes, lost, surface_of, unnamed
from tests.support import REPOSITORY, Recordings, expect_golden
from tools.python_reference import members, page

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


def test_the_page_of_public_names_is_current_and_linked(surface: Surface) -> None:
    assert (REPOSITORY / "docs" / "python.md").read_text("utf-8") == page()
    assert all(f"### `{name}`\n" in page() for name in surface["names"])
    assert "[docs/python.md](docs/python.md)" in (REPOSITORY / "README.md").read_text("utf-8")


def test_whatever_a_public_function_takes_can_be_made_from_public_names(surface: Surface) -> None:
    catalog = planning.load_catalog()
    assert isinstance(catalog, planning.Catalog)
    settings = parse_settings({"cluster": {"mode": "autopilot", "location": "us-central1"}, "servers": {}})
    identity = planning.StackIdentity("acme", "dev", gcp_project="my-project")
    assert planning.plan_stack(settings, identity, catalog=catalog).servers == ()
    public = {name.rpartition(".")[2] for name in surface["names"]}
    for name, shown in surface["names"].items():
        taken = " ".join(one for one in shown if one.startswith("("))
        ours = {one for one in re.findall(r"\b[A-Z]\w+", taken) if one in vars(planning) or one in vars(catalog_module)}
        assert ours <= public, name


CHANGED: list[tuple[Callable[[Surface], object], list[str]]] = [
    (lambda new: new["names"].pop("gke_llm_inference.plan_stack"), ["plan_stack"]),
    (
        lambda new: new["names"]["gke_llm_inference.components.GpuNodePoolArgs"].append("keyword spare: int = 0"),
        ["GpuNodePoolArgs.spare"],
    ),
    (
        lambda new: new["names"].update({"gke_llm_inference.Refusal": ["(problems: list[Finding])"]}),
        ["Refusal.problems"],
    ),
    (lambda new: new["names"]["gke_llm_inference.components.GkeCluster"].reverse(), ["GkeCluster"]),
    (lambda new: new["names"].update({"gke_llm_inference.price": ["(plan)"]}), ["price"]),
    (
        lambda new: new["resources"]["gke-llm-inference:index:GpuNodePool"].append("gcp:a/b:C {name}-c"),
        ["GpuNodePool.C"],
    ),
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


@pytest.mark.parametrize(
    ("entry", "is_named"),
    [
        ("* `GkeCluster.system_pool`.", True),
        ("* Components expose more: `GkeCluster.cluster` and\n  `.system_pool`.", True),
        ("* `GkeCluster` has `systemPool`.", True),
        ("* `GkeCluster` is new.\n* Something of `system_pool`.", False),
        ("* `GkeCluster.cluster`, and system_pool without quotes.", False),
    ],
)
def test_a_member_is_named_in_the_entry_of_what_it_belongs_to(entry: str, is_named: bool) -> None:
    assert (unnamed(["GkeCluster.system_pool"], f"## [Unreleased]\n\n{entry}\n") == []) is is_named


def _given(x: int, y: int | None = None) -> None: ...
def _required(x: int, y: int | None) -> None: ...
def _by_keyword(x: int, *, y: int | None = None) -> None: ...
def _of_another_type(x: int, y: str | None = None) -> None: ...
def _of_another_default(x: int, y: int | None = 0) -> None: ...
def _returning(x: int, y: int | None = None) -> int:
    return x


def _with_more(x: int, y: int | None = None, **more: int) -> None: ...


class _Model(BaseModel):
    x: int
    y: int | None = None


class _RequiredModel(BaseModel):
    x: int
    y: int | None


class _OtherModel(BaseModel):
    x: int
    y: str | None = None


@dataclass
class _Fields:
    x: int
    y: int | None = None


@dataclass
class _RequiredFields:
    x: int
    y: int | None


@dataclass
class _OtherFields:
    x: int
    y: str | None = None


@dataclass(kw_only=True)
class _KeywordFields:
    x: int
    y: int | None = None


@pytest.mark.parametrize(
    "variants",
    [
        [_given, _required, _by_keyword, _of_another_type, _of_another_default, _returning, _with_more],
        [_Model, _RequiredModel, _OtherModel],
        [_Fields, _RequiredFields, _OtherFields, _KeywordFields],
    ],
)
def test_whatever_a_caller_relies_on_is_part_of_the_surface(variants: list[object]) -> None:
    shown = [tuple(members(one)) for one in variants]
    assert len(set(shown)) == len(variants), shown


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
