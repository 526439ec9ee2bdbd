"""A model that lies on a volume already: what the server is told, what it needs no more, and what cannot work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.settings import Refusal, parse_settings
from tests.planning.support import CATALOG, GEMMA, TGI, existing_stack, only_problem, only_server, standard_stack

if TYPE_CHECKING:
    from tests.settings.support import Raw

DISK = {"claim": "models", "path": "google/gemma-7b-it", "storage": "persistentDisk"}
GIB = CATALOG.models["google/gemma-7b-it"].weights_gib


def stack(volume: Raw | None = None, pool: Raw | None = None, **server: Any) -> Raw:
    return standard_stack(
        {"l4": pool or {"maxNodes": 3}}, {"gemma": {**GEMMA, "modelVolume": volume or DISK, **server}}
    )


def test_vllm_serves_the_directory_under_the_models_own_name() -> None:
    plan = only_server(stack())
    assert plan.arguments[0] == "/models/google/gemma-7b-it"
    assert "--served-model-name=google/gemma-7b-it" in plan.arguments
    assert "--served-model-name=chat" in only_server(stack(servedModelName="chat")).arguments
    assert plan.model_volume is not None
    assert (plan.model_volume.claim, plan.model_volume.mount_path) == ("models", "/models")


@pytest.mark.parametrize("path", ["google/gemma-7b-it", "gemma/2024-03", ""])
def test_tgi_serves_the_directory_under_the_models_own_name_too(path: str) -> None:
    """TGI has no flag for the name: it calls a model by the path that it is told, here relative to where it starts."""
    tgi: Raw = TGI
    plan = only_server(stack({**DISK, "path": path}, **tgi))
    assert "--model-id=google/gemma-7b-it" in plan.arguments
    assert plan.model_volume is not None
    assert plan.model_volume.mount_path == "/usr/src/google/gemma-7b-it"
    assert (plan.model_volume.working_directory, plan.model_volume.sub_path) == ("/usr/src", path)


def test_a_volume_may_be_the_model() -> None:
    assert only_server(stack({"claim": "models", "storage": "filestore"})).arguments[0] == "/models"


def test_nothing_is_downloaded_and_no_token_or_room_is_needed_for_it() -> None:
    raw = {**stack(), "huggingFace": {"tokenSource": "none"}}
    plan = only_server(raw)
    assert not plan.uses_token
    assert dict(plan.environment)["HF_HUB_OFFLINE"] == "1"
    assert plan.resources.cache_gib == 8
    assert not only_server(stack()).uses_token
    downloading = only_server(standard_stack({"l4": {}}, {"gemma": GEMMA}))
    assert downloading.uses_token
    assert "HF_HUB_OFFLINE" not in dict(downloading.environment)
    assert downloading.model_volume is None


@pytest.mark.parametrize(
    ("storage", "rate"), [("persistentDisk", 0.17), ("hyperdiskMl", 0.39), ("gcsfuse", 0.09), ("filestore", 0.07)]
)
def test_the_start_is_as_long_as_its_storage_makes_it(storage: str, rate: float) -> None:
    plan = only_server(stack({**DISK, "storage": storage}))
    parts = {part.key: part for part in plan.start.parts}
    assert "download" not in parts
    assert parts["load"].seconds == parts["load"].restart_seconds == pytest.approx(GIB / rate)
    assert plan.probes.startup_seconds >= max(600, 2 * plan.start.expected_seconds - 10)


def test_cloud_storage_fuse_needs_its_sidecar_and_others_need_nothing() -> None:
    def annotations(storage: str) -> dict[str, str]:
        volume = only_server(stack({**DISK, "storage": storage})).model_volume
        assert volume is not None
        return volume.annotations

    assert annotations("gcsfuse") == {"gke-gcsfuse/volumes": "true"}
    assert annotations("hyperdiskMl") == {}


def test_two_replicas_on_a_read_write_once_volume_are_refused() -> None:
    problem = only_problem(stack({**DISK, "accessMode": "ReadWriteOnce"}, replicas=2))
    assert problem.path == "servers.gemma.modelVolume.accessMode"
    assert problem.what == "2 replicas cannot share a ReadWriteOnce volume"
    assert only_server(stack(replicas=2)).replicas == 2


def test_a_successor_does_not_wait_for_a_volume_that_its_forerunner_holds() -> None:
    rollout = only_server(stack({**DISK, "accessMode": "ReadWriteOnce"})).rollout
    assert (rollout.max_surge, rollout.max_unavailable) == (0, 1)
    assert rollout.reason.startswith("only one node at a time can mount the model's volume")
    assert only_server(stack()).rollout.max_surge == 1


def test_a_revision_that_nothing_downloads_is_refused() -> None:
    assert only_problem(stack(revision="main")).path == "servers.gemma.revision"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"accessMode": "ReadWriteMany"}, "servers.gemma.modelVolume"),
        ({"path": "/models"}, "servers.gemma.modelVolume.path"),
        ({"path": "../other"}, "servers.gemma.modelVolume.path"),
        ({"claim": "My Models"}, "servers.gemma.modelVolume.claim"),
        ({"storage": "nfs"}, "servers.gemma.modelVolume.storage"),
    ],
)
def test_a_volume_that_cannot_be_is_refused_where_it_stands(change: Raw, path: str) -> None:
    with pytest.raises(Refusal) as refusal:
        parse_settings(existing_stack({"gemma": {**GEMMA, "modelVolume": {**DISK, **change}}}))
    assert [problem.path for problem in refusal.value.problems] == [path]
