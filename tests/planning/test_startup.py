"""A start's parts: what each takes, what decides on it, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.planning.support import CATALOG, GEMMA, QWEN, TGI, existing_stack, only_server, planned, standard_stack
from tests.settings.support import Raw, autopilot_stack

if TYPE_CHECKING:
    from gke_llm_inference.planning import ServerPlan
    from gke_llm_inference.settings import Finding

MIRRORED = "us-central1-docker.pkg.dev/my-project/docker-hub/vllm/vllm-openai:v0.26.0"
OWN = "quay.io/me/vllm:v0.26.0"
IMAGES_DISK = {"image": "projects/my-project/global/images/vllm"}
IN_GKE = {"name": "shared", "location": "us-central1"}


def seconds(server: ServerPlan) -> dict[str, float]:
    return {part.key: round(part.seconds, 1) for part in server.start.parts}


def pull(server: ServerPlan) -> tuple[float, str]:
    part = next(part for part in server.start.parts if part.key == "imagePull")
    return part.seconds, part.why


def streaming_warnings(raw: Raw) -> list[Finding]:
    return [warning for warning in planned(raw).warnings if warning.path.endswith(".image")]


def on_pool(pool: Raw | None = None, **server: Any) -> Raw:
    return standard_stack({"l4": pool or {}}, {"qwen": {**QWEN, **server}})


def test_every_part_of_a_start_has_its_time_from_the_catalog() -> None:
    gib = CATALOG.models[QWEN["model"]].weights_gib
    assert seconds(only_server(on_pool())) == {
        "node": 480,
        "imagePull": 240,
        "download": round(gib / 0.18, 1),
        "load": round(gib / 0.2, 1),
        "process": 30,
        "compile": 70,
        "graphs": 20,
    }


@pytest.mark.parametrize(
    ("raw", "expected", "why"),
    [
        (on_pool(), 240, "pulled whole: GKE does not stream from docker.io"),
        (on_pool(image="vllm/vllm-openai:v0.26.0"), 240, "pulled whole: GKE does not stream from docker.io"),
        (on_pool(image=MIRRORED), 30, "streamed from Artifact Registry"),
        (autopilot_stack(image=MIRRORED), 30, "streamed from Artifact Registry"),
        (standard_stack({"l4": {}}, {"gemma": TGI}), 240, "pulled whole: GKE does not stream from ghcr.io"),
        (
            on_pool({"secondaryBootDisks": [IMAGES_DISK]}),
            10,
            "on the pool's secondary boot disk, if its image was made with this one",
        ),
        (on_pool({"secondaryBootDisks": [{**IMAGES_DISK, "mode": "data"}]}, image=MIRRORED), 30, "streamed"),
        (existing_stack({"gemma": GEMMA}), 240, "pulled whole: whether the cluster's nodes stream images"),
        (existing_stack({"gemma": GEMMA}, profile="autopilot", **IN_GKE), 240, "pulled whole: GKE does not stream"),
    ],
    ids=[
        *("Docker Hub", "Docker Hub unnamed", "mirrored", "Autopilot", "GitHub", "preloaded", "data disk"),
        *("unknown nodes", "existing Autopilot"),
    ],
)
def test_the_image_comes_as_nodes_and_registry_allow(raw: Raw, expected: float, why: str) -> None:
    took, because = pull(only_server(raw))
    assert took == expected
    assert because.startswith(why)


@pytest.mark.parametrize(
    ("location", "streamed"),
    [("us-central1", True), ("us", True), ("us-central2", False), ("europe-west4", False), ("europe", False)],
)
def test_images_stream_to_nodes_of_their_region_or_multi_region_alone(location: str, *, streamed: bool) -> None:
    image = MIRRORED.replace("us-central1", location)
    took, why = pull(only_server(on_pool(image=image)))
    assert took == (30 if streamed else 240)
    assert streamed or why == f"pulled whole: GKE does not stream from {location} to us-central1"
    warnings = streaming_warnings(on_pool(image=image))
    assert (
        [warning.fix for warning in warnings] == []
        if streamed
        else [
            "set image to the same image in a repository in us-central1, "
            "or preload it with nodePools.l4.secondaryBootDisks"
        ]
    )


def test_an_image_of_docker_hub_needs_one_setting_to_be_streamed() -> None:
    (warning,) = streaming_warnings(autopilot_stack(image="me/vllm:v0.26.0"))
    assert warning.fix == (
        "set imageRegistry: {mode: create}, so that it comes through Artifact Registry, "
        "or preload it with servers.gemma.secondaryBootDisk"
    )


@pytest.mark.parametrize(
    ("raw", "warned"),
    [
        (on_pool(image=OWN), True),
        (autopilot_stack(image=OWN), True),
        (on_pool(), False),
        (autopilot_stack(), False),
        (on_pool(image=MIRRORED), False),
        (autopilot_stack(image=MIRRORED), False),
        (on_pool({"secondaryBootDisks": [IMAGES_DISK]}, image=OWN), False),
        (existing_stack({"gemma": {**GEMMA, "image": OWN}}), False),
    ],
    ids=[
        *("pool", "Autopilot", "default", "default on Autopilot", "mirrored", "mirrored on Autopilot"),
        *("preloaded", "unknown nodes"),
    ],
)
def test_an_image_of_ones_own_that_streaming_nodes_cannot_stream_is_a_warning(raw: Raw, *, warned: bool) -> None:
    assert bool(streaming_warnings(raw)) is warned


def test_the_warning_says_what_to_set() -> None:
    (warning,) = streaming_warnings(on_pool(image=OWN))
    assert (warning.path, warning.what) == ("servers.qwen.image", "the image is not streamed from quay.io")
    assert "about 240 s instead of 30" in warning.why
    assert "a remote repository for quay.io" in warning.fix
    assert "at us-central1-docker.pkg.dev" in warning.fix
    assert "nodePools.l4.secondaryBootDisks" in warning.fix
    (warning,) = streaming_warnings(autopilot_stack(image=OWN))
    assert "secondaryBootDisks" not in warning.fix


def test_what_is_said_of_the_server_says_how_its_image_comes() -> None:
    assert only_server(on_pool()).remarks[1] == (
        "start: 270 s expected, 600 s allowed; 990 s on a new node, "
        "with the image pulled whole: GKE does not stream from docker.io"
    )


def test_a_streamed_image_shortens_the_deadline_but_not_the_probe() -> None:
    whole, streamed = only_server(on_pool()), only_server(on_pool(image=MIRRORED))
    assert whole.probes == streamed.probes
    assert whole.rollout.progress_deadline_seconds - streamed.rollout.progress_deadline_seconds == 2 * (240 - 30)
    assert whole.start.new_node_seconds - streamed.start.new_node_seconds == 240 - 30


def test_a_restart_in_the_pod_finds_the_model_and_the_compiled_code() -> None:
    start = only_server(on_pool()).start
    assert {part.key: round(part.restart_seconds) for part in start.parts} == {
        "node": 0,
        "imagePull": 0,
        "download": 0,
        "load": 71,
        "process": 30,
        "compile": 10,
        "graphs": 20,
    }
    assert start.restart_seconds < start.expected_seconds < start.new_node_seconds


_IN_IMAGE: Raw = {"image": "example.com/vllm:v0.26.0", "extraEnv": {"VLLM_CACHE_ROOT": "/opt/compiled"}}


@pytest.mark.parametrize(
    ("server", "compilation"),
    [
        ({}, 70),
        ({"compileCache": "warm"}, 70),
        ({"compileCache": "warm", **_IN_IMAGE}, 10),
        ({"enforceEager": True}, None),
    ],
    ids=["cold", "warm that nothing keeps", "warm", "eager"],
)
def test_compilation_takes_what_its_cache_leaves(server: Raw, compilation: float | None) -> None:
    assert seconds(only_server(on_pool(**server))).get("compile") == compilation


def test_tgi_compiles_nothing() -> None:
    assert "compile" not in seconds(only_server(standard_stack({"l4": {}}, {"gemma": TGI})))


@pytest.mark.parametrize("replicas", [1, 3])
def test_an_update_of_all_pods_has_the_deadline_of_each(replicas: int) -> None:
    rollout = only_server(on_pool({"maxNodes": 3}, replicas=replicas)).rollout
    assert rollout.longest_seconds == replicas * rollout.progress_deadline_seconds
