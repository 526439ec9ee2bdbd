"""The project's own stacks and examples at the levels of their environments."""

from pathlib import Path

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.planning.cost import pool_cost
from gke_llm_inference.policy.configuration import ENVIRONMENT_KEY
from gke_llm_inference.policy.preview_check import check_recording, resources_of
from gke_llm_inference.policy.rules.budget import gpu_cost
from gke_llm_inference.pulumi_project.project import StackConfig, load_project, load_stack
from gke_llm_inference.settings.stack_config import settings_of
from tests.support import GUIDE, PROJECT, REPOSITORY, STACKS, Recordings

# What is advised, never what stops a deployment.
_ADVICE = {
    "dev": [],
    "local": [],
    "staging": ["image-digests"] * 2 + ["model-revisions"] * 2,
    "prod": ["image-digests"] * 2 + ["model-revisions"] * 2,
}


def _config(name: str | None, path: Path | None = None) -> StackConfig:
    return load_stack(load_project(REPOSITORY), name, path)


@pytest.mark.parametrize("name", STACKS)
def test_each_stack_passes(name: str, recordings: Recordings) -> None:
    report = check_recording(recordings.stack(name), _config(name).values.get(ENVIRONMENT_KEY))
    assert [one.policy.name for one in report.found] == _ADVICE[name]
    assert report.passed


@pytest.mark.parametrize("path", sorted(GUIDE.glob("Pulumi.*.yaml")), ids=lambda path: path.stem)
def test_each_example_passes(path: Path, recordings: Recordings) -> None:
    report = check_recording(recordings.file(path), _config(None, path).values[ENVIRONMENT_KEY])
    assert {(one.policy.name, one.level) for one in report.found} == {("required-labels", "advisory")}
    assert report.passed


@pytest.mark.parametrize(("name", "advice"), [("platform", set()), ("chat", {"image-digests", "model-revisions"})])
def test_the_stacks_of_two_teams_pass_at_the_levels_of_prod(
    name: str, advice: set[str], recordings: Recordings
) -> None:
    recording = recordings.file(REPOSITORY / "examples" / "platform-team" / f"Pulumi.{name}.yaml")
    report = check_recording(recording)
    assert report.environment == "prod"
    assert {one.policy.name for one in report.found} == advice
    assert report.passed


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_the_budget_counts_what_the_plan_does_with_every_pool_at_its_largest(name: str, recordings: Recordings) -> None:
    catalog = load_catalog()
    config = _config(name)
    settings = settings_of(config.values, config.secret_keys, PROJECT, REPOSITORY)
    plan = plan_stack(settings, StackIdentity(PROJECT, name, "my-project"), catalog)
    planned = [
        pool_cost(pool, pool.settings.max_nodes, plan.cluster, catalog).hourly_usd or 0 for pool in plan.node_pools
    ]
    counted = [share.usd_per_hour for share in gpu_cost(resources_of(recordings.stack(name)), catalog)]
    assert counted == pytest.approx(planned)
    assert len(counted) == len(settings.node_pools)
