"""The plan of a single server, whose cluster the program knows."""

from typing import Any

import pytest

from gke_llm_inference.planning import StackIdentity
from gke_llm_inference.provider.plans import server_plan
from gke_llm_inference.settings import Refusal

IDENTITY = StackIdentity("acme", "dev", "my-project")
QWEN = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}


def arguments(**server: Any) -> dict[str, Any]:
    return {"profile": "autopilot", "server": {**QWEN, **server}}


def test_a_boot_disk_is_asked_for_and_allowed_by_the_program() -> None:
    plan = server_plan(
        arguments(secondaryBootDisk={"image": "projects/my-project/global/images/vllm"}), "chat", IDENTITY
    )
    assert plan.boot_disk_allowlist is None
    assert any("gke-secondary-boot-disk-vllm" in key for key in plan.servers[0].node_selector)


def test_compiled_code_is_kept_on_a_disk_and_not_in_a_bucket_of_an_unknown_project() -> None:
    kept = server_plan(arguments(keepCompileCache={"storage": "disk"}), "chat", IDENTITY).servers[0].compile_cache
    assert kept is not None
    assert kept.disk is not None
    asked = {"storage": "bucket", "name": "acme-chat", "projectNumber": "123456789012"}
    with pytest.raises(Refusal) as refused:
        server_plan(arguments(keepCompileCache=asked), "chat", IDENTITY)
    (problem,) = refused.value.problems
    assert (problem.path, problem.what) == (
        "server.keepCompileCache.storage",
        "needs the project and the region of the cluster",
    )
