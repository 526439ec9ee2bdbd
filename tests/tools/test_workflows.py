"""What the linters do not hold the workflows to: time limits, pins with versions, and what runs a stranger's code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import REPOSITORY
from tools.post_comment import ARTIFACT, COMMENT_FILE, NUMBER_FILE

FILES = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((REPOSITORY / ".github" / "actions").glob("*/action.yml"))
PINNED = re.compile(r"(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+")


def workflow(name: str) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    loaded: dict[Any, Any] = yaml.safe_load((REPOSITORY / ".github" / "workflows" / name).read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in loaded.items()}


def test_there_is_a_workflow_for_each_purpose() -> None:
    assert [path.name for path in FILES] == [
        f"{name}.yml" for name in ("checks", "comment", "deploy", "drift", "preview", "pulumi-preview", "release")
    ]


@pytest.mark.parametrize("path", [*FILES, *ACTIONS], ids=lambda path: path.parent.name + "/" + path.name)
def test_every_action_is_pinned_by_commit_with_its_version_beside_it(path: Any) -> None:
    used = [line.strip() for line in path.read_text("utf-8").splitlines() if "uses: " in line]
    assert used
    assert [line for line in used if not PINNED.fullmatch(line) and "uses: ./.github/actions/" not in line] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_job_has_a_time_limit_a_fixed_image_and_permissions_of_its_own(path: Any) -> None:
    document = workflow(path.name)
    assert document["permissions"] == {}
    for job in document["jobs"].values():
        assert isinstance(job["timeout-minutes"], int)
        assert job["runs-on"] == "ubuntu-24.04"
        assert job["permissions"]
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert [step["with"]["persist-credentials"] for step in checkouts] == [False] * len(checkouts)


def test_the_offline_preview_has_no_secret_and_may_only_read() -> None:
    text = (REPOSITORY / ".github" / "workflows" / "preview.yml").read_text("utf-8")
    assert "${{ secrets" not in text
    assert "${{ vars" not in text
    document = workflow("preview.yml")
    (job,) = document["jobs"].values()
    assert document["on"] == {"pull_request": None}
    assert job["permissions"] == {"contents": "read"}
    assert "environment" not in job


def test_the_preview_leaves_what_the_comment_is_made_of() -> None:
    (job,) = workflow("preview.yml")["jobs"].values()
    upload = job["steps"][-1]["with"]
    assert upload["name"] == ARTIFACT
    commands = " ".join(step.get("run", "") for step in job["steps"])
    assert f"{upload['path']}/{NUMBER_FILE}" in commands
    assert f"hashFiles('{upload['path']}/{COMMENT_FILE}')" in job["steps"][-1]["if"]
    assert workflow("comment.yml")["on"]["workflow_run"]["workflows"] == [workflow("preview.yml")["name"]]


def test_credentials_reach_pull_requests_of_this_repository_only() -> None:
    (job,) = workflow("pulumi-preview.yml")["jobs"].values()
    assert "github.event.pull_request.head.repo.full_name == github.repository" in job["if"]
    assert job["permissions"] == {"contents": "read", "id-token": "write"}


def test_stacks_are_deployed_one_after_the_other_with_their_policies_and_never_cut_off() -> None:
    jobs = workflow("deploy.yml")["jobs"]
    assert [(name, job.get("needs")) for name, job in jobs.items()] == [
        ("dev", None),
        ("staging", "dev"),
        ("prod", "staging"),
    ]
    for name, job in jobs.items():
        assert job["environment"] == name
        assert job["concurrency"] == {"group": f"pulumi-{name}", "cancel-in-progress": False}
        up = job["steps"][-1]["with"]
        assert (up["command"], up["stack-name"]) == ("up", name)
        # The pack chooses the levels by the stack's own environment.
        assert up["policyPacks"] == "policy-pack"
        assert "policyPackConfigs" not in up


def test_a_release_is_built_tested_and_attested_before_it_is_published_without_a_password() -> None:
    document = workflow("release.yml")
    assert document["on"] == {"push": {"tags": ["v*"]}}
    build, publish = document["jobs"]["build"], document["jobs"]["publish"]
    commands = [step["run"] for step in build["steps"] if "run" in step]
    assert commands == ['python3 -m tools.check_release "$TAG"', "make test", "make test-package", "make dist"]
    assert (publish["needs"], publish["environment"], publish["permissions"]) == (
        "build",
        "release",
        {"id-token": "write"},
    )
    assert "password" not in str(publish)


def test_pre_commit_installs_the_locked_ruff() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    (locked,) = re.findall(r"^ruff==([\d.]+)", (REPOSITORY / "requirements-dev.txt").read_text("utf-8"), re.MULTILINE)
    stated = {one for hook in hooks for one in hook.get("additional_dependencies", ())}
    assert stated == {f"ruff=={locked}"}


def test_pre_commit_generates_again_what_any_source_of_it_changes() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    (generated,) = [hook for hook in hooks if hook["id"] == "generated"]
    for generator in (REPOSITORY / "tools").glob("*_reference.py"):
        imported = re.findall(r"^from gke_llm_inference\.(\w+)", generator.read_text("utf-8"), re.MULTILINE)
        for package in {*imported, "settings", "planning"}:
            assert re.match(generated["files"], f"gke_llm_inference/{package}/a.py"), package
    assert re.match(generated["files"], "components/cluster.py")


def test_a_pull_request_installs_and_uses_the_package() -> None:
    commands = [step.get("run") for job in workflow("checks.yml")["jobs"].values() for step in job["steps"]]
    assert {"make test", "make test-package"} <= set(commands)


def test_dependabot_looks_into_every_folder_with_requirements_of_its_own() -> None:
    updates = yaml.safe_load((REPOSITORY / ".github" / "dependabot.yml").read_text("utf-8"))["updates"]
    (pip,) = [one for one in updates if one["package-ecosystem"] == "pip"]
    listed = subprocess.run(
        ["git", "ls-files", "*requirements*.txt"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    pinned = [name for name in listed.stdout.split() if "==" in (REPOSITORY / name).read_text("utf-8")]
    assert {f"/{Path(name).parent}".replace("/.", "/") for name in pinned} == set(pip["directories"])


def test_every_program_outside_of_a_package_is_checked_for_types() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "__main__.py", "*/__main__.py"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    programs = re.search(r"^PROGRAMS := (.*)$", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert programs is not None
    outside = [name for name in listed.stdout.split() if not (REPOSITORY / name).with_name("__init__.py").exists()]
    assert sorted(outside) == sorted(programs[1].split())


def test_dependabot_looks_into_every_folder_with_a_go_module() -> None:
    updates = yaml.safe_load((REPOSITORY / ".github" / "dependabot.yml").read_text("utf-8"))["updates"]
    (go,) = [one for one in updates if one["package-ecosystem"] == "gomod"]
    # Dependabot cannot resolve a module that needs an SDK which is generated first.
    modules = {
        f"/{path.parent.relative_to(REPOSITORY)}"
        for path in REPOSITORY.rglob("go.mod")
        if "=> ./sdks/" not in path.read_text("utf-8")
    }
    assert [one for one in modules if not any(Path(one).match(pattern) for pattern in go["directories"])] == []
