"""Disks that nodes start with: what they hold, how pods ask for them, and who allows them."""

from __future__ import annotations

from typing import Any

import pytest

from gke_llm_inference.planning import AllowlistPlan
from tests.planning.support import (
    GEMMA,
    QWEN,
    existing_stack,
    only_server,
    planned,
    problems_of,
    standard_stack,
)
from tests.settings.support import Raw, autopilot_stack

IMAGE = "projects/my-project/global/images/vllm"
OTHER = "projects/other-project/global/images/tgi"
VLLM = "docker.io/vllm/vllm-openai:v0.26.0"
DIGEST = "sha256:" + "0" * 64
LABEL = "cloud.google.com.node-restriction.kubernetes.io/gke-secondary-boot-disk-vllm"
SHARED = {"name": "shared", "location": "us-central1", "profile": "autopilot"}


def on_disk(*images: str, **server: Any) -> Raw:
    return autopilot_stack(secondaryBootDisk={"image": IMAGE, "containerImages": list(images)}, **server)


def in_pool(*images: str, **server: Any) -> Raw:
    disk = {"image": IMAGE, "containerImages": list(images)}
    return standard_stack({"l4": {"secondaryBootDisks": [disk]}}, {"qwen": {**QWEN, **server}})


def pull(raw: Raw) -> tuple[float, str]:
    part = only_server(raw).start.part("imagePull")
    return part.seconds, part.why


def told(raw: Raw) -> list[tuple[str, str]]:
    return [(one.path, one.what) for one in planned(raw).warnings if "oot" in one.path]


def refused(raw: Raw) -> list[tuple[str, str]]:
    return [(one.path, one.what) for one in problems_of(raw)]


@pytest.mark.parametrize("held", [VLLM, "vllm/vllm-openai:v0.26.0"], ids=["full name", "without the registry"])
def test_an_image_on_the_disk_is_not_pulled(held: str) -> None:
    assert pull(on_disk(held)) == (10, "on the secondary boot disk of its nodes")
    assert pull(in_pool(held)) == (10, "on the pool's secondary boot disk")
    assert told(on_disk(held)) == told(in_pool(held)) == []


def test_a_disk_that_says_nothing_is_taken_to_hold_it() -> None:
    assert pull(on_disk()) == (10, "on the secondary boot disk of its nodes, if its image was made with this one")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (on_disk("vllm/vllm-openai:v0.25.0"), "servers.gemma.secondaryBootDisk"),
        (in_pool("vllm/vllm-openai:v0.25.0"), "nodePools.l4.secondaryBootDisks[0]"),
    ],
)
def test_another_image_on_the_disk_is_warned_of_and_the_start_counts_a_pull(raw: Raw, path: str) -> None:
    assert pull(raw) == (240, "pulled whole: GKE does not stream from docker.io")
    assert told(raw) == [(f"{path}.containerImages", f"does not have {VLLM}")]


def test_a_digest_or_a_repository_is_a_part_of_the_name() -> None:
    pinned = on_disk(VLLM) | {"imageDigests": {VLLM: DIGEST}}
    assert told(pinned) == [("servers.gemma.secondaryBootDisk.containerImages", f"does not have {VLLM}@{DIGEST}")]
    assert told(on_disk(f"{VLLM}@{DIGEST}") | {"imageDigests": {VLLM: DIGEST}}) == []
    through = on_disk(VLLM) | {"imageRegistry": {"mode": "create"}}
    assert pull(through)[0] == 30
    (finding,) = told(through)
    assert finding[1].startswith("does not have us-central1-docker.pkg.dev/my-project/")


def test_the_probe_does_not_follow_the_disk_but_the_deadline_does() -> None:
    plain, held = only_server(autopilot_stack()), only_server(on_disk(VLLM))
    assert held.probes == plain.probes
    assert plain.rollout.progress_deadline_seconds - held.rollout.progress_deadline_seconds == 2 * (240 - 10)
    assert plain.start.new_node_seconds - held.start.new_node_seconds == 240 - 10


def test_pods_ask_for_nodes_that_start_with_it() -> None:
    assert only_server(on_disk()).node_selector[LABEL] == "CONTAINER_IMAGE_CACHE.my-project"
    assert not any("boot-disk" in key for key in only_server(in_pool(VLLM)).node_selector)


def test_the_stack_that_makes_the_cluster_allows_what_its_servers_use() -> None:
    raw = on_disk()
    raw["servers"]["tgi"] = {**GEMMA, "server": "tgi", "secondaryBootDisk": {"image": OTHER}}
    raw["servers"]["again"] = {**GEMMA, "secondaryBootDisk": {"image": IMAGE}}
    name = "gke-secondary-boot-disk-allowlist"
    assert planned(raw).boot_disk_allowlist == AllowlistPlan(name=name, patterns=(IMAGE, OTHER))
    assert planned(autopilot_stack()).boot_disk_allowlist is None
    assert planned(in_pool(VLLM)).boot_disk_allowlist is None


def test_one_stack_of_a_cluster_makes_the_list() -> None:
    server = on_disk()["servers"]["gemma"]
    raw = existing_stack({"gemma": server}, **SHARED)
    assert refused(raw) == [("bootDiskAllowlist", "is missing")]
    assert planned({**raw, "bootDiskAllowlist": {"mode": "existing"}}).boot_disk_allowlist is None
    made = planned({**raw, "bootDiskAllowlist": {"mode": "create", "images": [OTHER]}}).boot_disk_allowlist
    assert made is not None
    assert made.patterns == (IMAGE, OTHER)
    # The stack of the platform, without such a server itself.
    platform = autopilot_stack() | {"bootDiskAllowlist": {"mode": "create", "images": [OTHER]}}
    allowed = planned(platform).boot_disk_allowlist
    assert allowed is not None
    assert allowed.patterns == (OTHER,)


@pytest.mark.parametrize(
    ("raw", "path", "what"),
    [
        (
            standard_stack({"l4": {}}, {"qwen": {**QWEN, "secondaryBootDisk": {"image": IMAGE}}}),
            "servers.qwen.secondaryBootDisk",
            "belongs to the node pool on a Standard cluster",
        ),
        (
            autopilot_stack(secondaryBootDisk={"image": f"projects/my-project/global/images/{'a' * 40}"}),
            "servers.gemma.secondaryBootDisk.image",
            "the disk image's name has 40 characters, more than 39",
        ),
        (
            on_disk() | {"cluster": {"mode": "autopilot", "location": "us-central1", "gkeVersion": "1.30.0-gke.1"}},
            "cluster.gkeVersion",
            "1.30.0-gke.1 is before 1.30.1-gke.1329000, from which nodes that GKE makes have such disks",
        ),
        (
            {**in_pool(), "cluster": {"mode": "standard", "location": "us-central1", "gkeVersion": "1.28.1-gke.1"}},
            "cluster.gkeVersion",
            "1.28.1-gke.1 is before 1.28.3-gke.1067000, from which node pools have secondary boot disks",
        ),
        (
            autopilot_stack() | {"bootDiskAllowlist": {"mode": "create"}},
            "bootDiskAllowlist.images",
            "lists no disk image, and no server has a secondary boot disk",
        ),
        (
            autopilot_stack(secondaryBootDisk={"image": "global/images/vllm"}),
            "servers.gemma.secondaryBootDisk.image",
            "does not have the right form",
        ),
    ],
)
def test_what_cannot_work_is_refused(raw: Raw, path: str, what: str) -> None:
    assert (path, what) in refused(raw)


@pytest.mark.parametrize("mode", ["autopilot", "standard"])
def test_a_compute_class_makes_nodes_that_start_with_it(mode: str) -> None:
    tiers = {"capacity": ["onDemand", "spot"], "model": QWEN["model"], "maxModelLen": 4096}
    raw = on_disk(VLLM, **tiers) | {
        "cluster": {"mode": mode, "location": "us-central1", "gkeVersion": "1.35.6-gke.1049000"}
    }
    plan = planned(raw)
    (compute_class,) = plan.compute_classes
    assert [rule.secondary_boot_disk for rule in compute_class.rules] == [IMAGE, IMAGE]
    assert plan.boot_disk_allowlist is not None
    assert plan.boot_disk_allowlist.patterns == (IMAGE,)
    (server,) = plan.servers
    # The class alone says what nodes there are.
    assert not any("boot-disk" in key for key in server.node_selector)
    assert server.start.part("imagePull").seconds == 10


def test_a_list_that_nothing_asks_is_warned_of() -> None:
    unused = autopilot_stack() | {"bootDiskAllowlist": {"mode": "existing"}}
    assert told(unused) == [("bootDiskAllowlist", "no server has a secondary boot disk")]
    pools = in_pool(VLLM) | {"bootDiskAllowlist": {"mode": "create"}}
    assert told(pools) == [("bootDiskAllowlist", "has no effect on a Standard cluster")]
    assert planned(pools).boot_disk_allowlist is None
