"""The example of capacity has the same tiers on both modes, and policies say no more than that A100s are dear."""

import re

import pytest

from gke_llm_inference.policy.preview_check import check_recording
from gke_llm_inference.preview.recording import Severity
from tests.cluster.support import documents_of, plan_of_file
from tests.support import REPOSITORY, Recordings

FOLDER = REPOSITORY / "examples" / "capacity"
MODES = ("autopilot", "standard")
TIERS = [
    ("reservation", "g2-standard-8"),
    ("onDemand", "g2-standard-8"),
    ("flexStart", "g2-standard-8"),
    ("spot", "g2-standard-8"),
    ("onDemand", "a2-highgpu-1g"),
    ("spot", "a2-highgpu-1g"),
]


def test_there_is_a_stack_file_for_each_mode() -> None:
    assert sorted(FOLDER.glob("Pulumi.*.yaml")) == [FOLDER / f"Pulumi.{mode}.yaml" for mode in MODES]


@pytest.mark.parametrize("mode", MODES)
def test_the_plan_has_the_tiers_of_the_readme_and_warns_of_nothing(mode: str) -> None:
    plan = plan_of_file(FOLDER / f"Pulumi.{mode}.yaml")
    assert plan.cluster.settings.mode == mode
    (server,) = plan.servers
    assert server.capacity is not None
    assert [(tier.model, tier.machine_type) for tier in server.capacity.tiers] == TIERS
    assert all(
        tier.memory is not None and tier.memory.verdict in ("fits", "estimated") for tier in server.capacity.tiers
    )
    assert all(tier.usd_per_hour is not None for tier in server.capacity.tiers)
    assert plan.warnings == ()
    rows = re.findall(r"^\| `([^`]+)` \|", (FOLDER / "README.md").read_text("utf-8"), re.M)
    assert rows == ["reservation", "onDemand", "flexStart", "spot", "machineType: a2-highgpu-1g"]


@pytest.mark.parametrize("mode", MODES)
def test_it_becomes_one_class_and_policies_say_only_that_an_a100_is_dear(mode: str, recordings: Recordings) -> None:
    recording = recordings.file(FOLDER / f"Pulumi.{mode}.yaml")
    assert recording.messages(Severity.ERROR) == ()
    (compute_class,) = [one for one in documents_of(recording) if one["kind"] == "ComputeClass"]
    assert [one["machineType"] for one in compute_class["spec"]["priorities"]] == [machine for _, machine in TIERS]
    # What the A100 at its dearest tier is for dev's own allow-list and ceiling; nothing else is said.
    report = check_recording(recording, "dev")
    assert report.passed
    assert {one.policy.name for one in report.found} == {"allowed-gpus", "gpu-budget"}
