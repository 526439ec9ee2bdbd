"""What a component hands down of its caller's options, and what stays with it."""

import pytest

from gke_llm_inference.preview.recording import Recording, Resource
from tests.support import (
    CLUSTER,
    GKE_CLUSTER,
    GPU_NODE_POOL,
    HUGGING_FACE_TOKEN,
    INFERENCE_SERVER,
    INFERENCE_STACK,
    KUBERNETES_PROVIDER,
    NETWORK,
    NODE_IDENTITY,
    children,
    find,
    names_of,
)

PROTECTED = [
    (GKE_CLUSTER, "protected-cluster", 13),
    (GPU_NODE_POOL, "protected-pool", 1),
    (HUGGING_FACE_TOKEN, "protected-token", 1),
    (INFERENCE_SERVER, "protected-server", 5),
    (NETWORK, "protected-network", 4),
    (NODE_IDENTITY, "protected-nodes", 4),
    (INFERENCE_STACK, "protected-stack", 19),
]


def everything_below(recording: Recording, parent: Resource) -> list[Resource]:
    found = []
    for child in children(recording, parent):
        found += [child, *everything_below(recording, child)]
    return found


@pytest.fixture(params=PROTECTED, ids=[name for _, name, _ in PROTECTED])
def component(request: pytest.FixtureRequest, gallery: Recording) -> Resource:
    type_, name, _ = request.param
    return find(gallery, type_, name)


@pytest.mark.parametrize(("type_", "name", "count"), PROTECTED)
def test_protection_reaches_everything_below_a_component(gallery: Recording, type_: str, name: str, count: int) -> None:
    below = everything_below(gallery, find(gallery, type_, name))
    assert len(below) == count
    assert all(resource.protect for resource in below)


def test_the_component_itself_takes_every_option_of_its_caller(component: Resource) -> None:
    assert component.protect is True
    assert component.aliases == ({"name": "former"},)
    assert component.options["ignoreChanges"] == ["labels"]
    assert component.options["customTimeouts"] == {"create": "1h"}
    assert names_of(component.dependencies) == ["llm-inference"]


def test_no_child_takes_its_callers_alias_dependency_or_ignored_changes(
    gallery: Recording, component: Resource
) -> None:
    for resource in everything_below(gallery, component):
        assert {"name": "former"} not in resource.aliases
        assert "llm-inference" not in names_of(resource.dependencies)
        assert "labels" not in resource.options.get("ignoreChanges", [])
        assert resource.options.get("customTimeouts", {}).get("create") != "1h"


@pytest.mark.parametrize(("type_", "name"), [pair[:2] for pair in PROTECTED[2:4]])
def test_the_callers_kubernetes_provider_reaches_every_object(gallery: Recording, type_: str, name: str) -> None:
    provider = find(gallery, KUBERNETES_PROVIDER, "autopilot-kubernetes")
    assert {resource.provider for resource in children(gallery, find(gallery, type_, name))} == {provider.urn}


def test_without_options_nothing_is_protected_but_what_deletion_protection_is_for(gallery: Recording) -> None:
    unprotected = [
        resource
        for resource in gallery.resources
        if "::protected-" not in resource.urn and INFERENCE_STACK not in resource.urn
    ]
    assert len(unprotected) > 100
    protected = [resource for resource in unprotected if resource.protect]
    assert {resource.type for resource in protected} == {CLUSTER}
    assert all(resource.inputs["deletionProtection"] for resource in protected)
