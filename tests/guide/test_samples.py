"""The examples of Google's guide against the facts of its samples: no difference without a reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from gke_llm_inference.settings.schema import stack_schema
from tests.guide.samples import (
    ABSENT,
    Difference,
    Sample,
    differences_between,
    load_differences,
    load_samples,
    manifest_aspects,
)
from tests.support import DEPLOYMENT, GUIDE, REPOSITORY, SECRET, SERVICE, Recordings, of_type

if TYPE_CHECKING:
    from pathlib import Path

README = GUIDE / "README.md"
SAMPLES = load_samples()
DIFFERENCES = load_differences()


@pytest.fixture(scope="module", params=SAMPLES.values(), ids=lambda sample: sample.name)
def sample(request: pytest.FixtureRequest) -> Sample:
    found: Sample = request.param
    return found


def example(name: str) -> Path:
    return GUIDE / f"Pulumi.{name}.yaml"


def config_of(name: str) -> dict[str, Any]:
    text = example(name).read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)["config"]
    return config


def server_of(name: str) -> dict[str, Any]:
    (server,) = config_of(name)["gke-llm-inference:servers"].values()
    found: dict[str, Any] = server
    return found


def table_below(heading: str) -> list[tuple[str, ...]]:
    """The rows of the README's table below a heading."""
    section = README.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines[2:]]


def test_every_sample_has_an_example() -> None:
    assert {path.name for path in GUIDE.glob("*.yaml")} == {f"Pulumi.{name}.yaml" for name in SAMPLES}


def test_example_differs_from_its_sample_only_where_a_reason_is_given(sample: Sample, recordings: Recordings) -> None:
    recording = recordings.file(example(sample.name))
    (deployment,), (service,) = of_type(recording, DEPLOYMENT), of_type(recording, SERVICE)
    found = differences_between(manifest_aspects(deployment.inputs, service.inputs), sample.aspects)
    listed = [difference for difference in DIFFERENCES if sample.is_in(difference.group)]
    unlisted = {
        aspect: f"ours {ours}, the sample's {theirs}"
        for aspect, (ours, theirs) in found.items()
        if not any(difference.explains(aspect, ours, theirs) for difference in listed)
    }
    assert not unlisted, "differences without a reason in differences.yaml"
    gone = [
        difference
        for difference in listed
        if not any(difference.explains(aspect, *values) for aspect, values in found.items())
    ]
    assert not gone, "differences in differences.yaml that do not occur"


def test_example_makes_the_secret_that_the_sample_expects(sample: Sample, recordings: Recordings) -> None:
    (secret,) = of_type(recordings.file(example(sample.name)), SECRET)
    (key,) = secret.inputs["stringData"]
    assert f"{key} of {secret.inputs['metadata']['name']}" == sample.aspects["env.HUGGING_FACE_HUB_TOKEN"]


def test_example_states_what_the_sample_states(sample: Sample) -> None:
    """What the plan would choose anyway stands in the example too, so that it says the same as its sample."""
    server = server_of(sample.name)
    asked = server["resources"]
    assert server["server"] == sample.server
    assert server["model"] == sample.aspects["model"]
    assert server["accelerator"] == {
        "type": sample.aspects["pod.nodeSelector.cloud.google.com/gke-accelerator"],
        "count": sample.gpus,
    }
    assert {
        "cpu": str(asked["cpu"]),
        "memory": f"{asked['memoryGib']}Gi",
        "ephemeral-storage": f"{asked['ephemeralStorageGib']}Gi",
        "nvidia.com/gpu": str(server["accelerator"]["count"]),
    } == {key.removeprefix("requests."): value for key, value in sample.aspects.items() if key.startswith("requests.")}


def test_example_follows_the_schema(sample: Sample) -> None:
    text = example(sample.name).read_text(encoding="utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n# \S.*\n# \S.*\nconfig:\n", text)
    assert named
    assert (GUIDE / named[1]).resolve() == REPOSITORY / "schemas" / "stack.schema.json"
    jsonschema.validate(yaml.safe_load(text), stack_schema())


def test_readme_lists_every_example() -> None:
    expected = [
        (
            f"[{name}](Pulumi.{name}.yaml)",
            f"`{sample.file}`",
            ", ".join(f"`{preset}`" for preset in server_of(name)["presets"]),
            f"`{sample.aspects['model']}`",
            str(sample.gpus),
            f"`.venv/bin/python -m gke_llm_inference preview --config-file examples/guide/Pulumi.{name}.yaml`",
        )
        for name, sample in SAMPLES.items()
    ]
    assert [(*row[:2], *row[3:]) for row in table_below("The ten")] == expected
    assert all(row[2] for row in table_below("The ten"))


def test_readme_lists_every_difference() -> None:
    assert table_below("Differences") == [difference.cells for difference in DIFFERENCES]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.what)
def test_every_difference_is_for_samples_that_exist_and_has_a_reason(difference: Difference) -> None:
    groups = {"all", "vllm", "tgi", "two GPUs"}
    names = set(difference.group) if isinstance(difference.group, list) else set()
    assert names <= set(SAMPLES)
    assert names or difference.group in groups
    assert difference.reason
    assert difference.ours != difference.sample or "*" in difference.ours
    assert not ABSENT == difference.ours == difference.sample


def test_a_difference_is_found_both_ways() -> None:
    found = differences_between({"image": "a", "ours": "1", "same": "x"}, {"image": "b", "sample": "2", "same": "x"})
    assert found == {"image": ("a", "b"), "ours": ("1", ABSENT), "sample": (ABSENT, "2")}
    assert Difference("image", "a", "*", "all", "why").explains("image", "a", "b")
    assert not Difference("image", "a", "*", "all", "why").explains("image", "c", "b")
    assert not Difference("image", "a.", "*", "all", "why").explains("image", "ab", "b")
