"""Whole stacks in programs of other people: the README's own, below a component, with transforms."""

import re
from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.components.test_options import everything_below
from tests.support import (
    DEPLOYMENT,
    GKE_CLUSTER,
    GPU_NODE_POOL,
    HUGGING_FACE_TOKEN,
    INFERENCE_SERVER,
    INFERENCE_STACK,
    NAMESPACE,
    NETWORK,
    NODE_IDENTITY,
    PROJECT,
    REPOSITORY,
    Recordings,
    find,
    names_of,
    root_urn,
    shape,
)

COMPONENTS = [
    (GKE_CLUSTER, "cluster", 13),
    (GPU_NODE_POOL, "pool", 1),
    (HUGGING_FACE_TOKEN, "token", 4),
    (INFERENCE_SERVER, "server", 5),
    (INFERENCE_STACK, "stack", 21),
    (NETWORK, "network", 4),
    (NODE_IDENTITY, "identity", 4),
]


@pytest.fixture(scope="module")
def sample(recordings: Recordings) -> Recording:
    return recordings.program(Path(__file__).with_name("composition_sample.py"))


def python_of(page: Path, heading: str) -> str:
    """The Python of a section of a page."""
    section = page.read_text("utf-8").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return str(code)


@pytest.fixture(scope="module")
def readme(recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    program = tmp_path_factory.mktemp("readme") / "program.py"
    program.write_text(python_of(REPOSITORY / "README.md", "## Compose your own"), "utf-8")
    return recordings.program(program)


def test_the_readmes_program_makes_a_whole_stack(readme: Recording) -> None:
    assert shape(readme, find(readme, "pulumi:pulumi:Stack", f"{PROJECT}-test")) == {
        (GKE_CLUSTER, "gke"),
        (NAMESPACE, "llm-inference"),
        (HUGGING_FACE_TOKEN, "hugging-face"),
        (INFERENCE_SERVER, "qwen"),
    }
    assert readme.exports == {"url": "http://qwen.llm-inference.svc.cluster.local:8000"}


def test_the_readmes_servers_are_in_a_namespace_that_the_program_makes(readme: Recording) -> None:
    namespace = find(readme, NAMESPACE, "llm-inference")
    deployment = find(readme, DEPLOYMENT, "qwen-deployment")
    assert deployment.inputs["metadata"]["namespace"] == namespace.inputs["metadata"]["name"]
    assert namespace.urn in deployment.dependencies
    assert deployment.provider == namespace.provider


def test_the_readmes_program_has_no_more_than_15_lines(readme: Recording) -> None:
    assert len(python_of(REPOSITORY / "README.md", "## Compose your own").splitlines()) <= 15


def test_the_program_of_the_repository_is_the_documented_one() -> None:
    assert len((REPOSITORY / "__main__.py").read_text("utf-8").splitlines()) <= 12


@pytest.mark.parametrize(("type_", "name", "count"), COMPONENTS)
def test_transforms_reach_everything_below_a_component(sample: Recording, type_: str, name: str, count: int) -> None:
    component = find(sample, type_, name)
    below = everything_below(sample, component)
    assert len(below) == count
    for resource in (component, *below):
        assert set(resource.options["ignoreChanges"]) >= {"transform", "transformation"}, resource.urn


def test_options_of_a_stack_are_those_of_every_piece(sample: Recording) -> None:
    pieces = [one for one in sample.resources if one.parent == root_urn(sample) and one.name in ("gke", "gemma", "l4")]
    assert len(pieces) == 3
    for piece in pieces:
        for resource in (piece, *everything_below(sample, piece)):
            assert set(resource.options["ignoreChanges"]) >= {"transform", "transformation"}, resource.urn


def test_a_stack_below_a_component_differs_in_its_urns_alone(sample: Recording) -> None:
    component = find(sample, INFERENCE_STACK, "stack")
    prefix = f"urn:pulumi:test::{PROJECT}::{INFERENCE_STACK}"
    assert all(one.urn.startswith(f"{prefix}$") for one in everything_below(sample, component))
    assert names_of([one.urn for one in everything_below(sample, component) if one.type == DEPLOYMENT]) == [
        "gemma-deployment"
    ]


def test_every_resource_of_a_stack_can_be_reached_through_attributes(sample: Recording) -> None:
    component = find(sample, INFERENCE_STACK, "stack")
    assert set(sample.exports["below"]) == {one.urn for one in everything_below(sample, component)}
    names = {"gke", "llm-inference", "hugging-face", "l4", "gemma"}
    pieces = [one for one in sample.resources if one.parent == root_urn(sample) and one.name in names]
    assert len(pieces) == len(names)
    made = {one.urn for piece in pieces for one in (piece, *everything_below(sample, piece))}
    assert set(sample.exports["stack"]) == made
    assert len(made) == 28
