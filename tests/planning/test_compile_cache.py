"""What a server compiled and keeps: where, and what the plan promises for the first start and for later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.planning.pod.template import pod_template
from tests.planning.support import (
    CATALOG,
    GEMMA,
    existing_stack,
    only_problem,
    only_server,
    planned,
    problems_of,
    standard_stack,
)
from tests.settings.support import autopilot_stack

if TYPE_CHECKING:
    from gke_llm_inference.planning import ServerPlan
    from tests.settings.support import Raw

DISK: Raw = {"keepCompileCache": {"storage": "disk"}}
CLAIM = "gemma-compile-cache-10gi-premium-rwo"
NO_CLASS = "no StorageClass of GKE's own makes a disk that its machines can attach"
REVISION = "a" * 40
DIGEST = "sha256:" + "0123456789ab" * 5 + "cdef"


BUCKET: Raw = {
    "keepCompileCache": {"storage": "bucket", "name": "acme-gemma", "projectNumber": "123456789012"},
}


def in_bucket(**settings: Any) -> Raw:
    return autopilot_stack(**{**BUCKET, **settings})


def server_with(**settings: Any) -> ServerPlan:
    return only_server(autopilot_stack(**{**DISK, **settings}))


def key_of(**settings: Any) -> str:
    kept = server_with(**settings).compile_cache
    assert kept is not None
    return kept.key


def warnings_of(raw: Raw) -> list[str]:
    return [f"{one.path}: {one.what}" for one in planned(raw).warnings if "ompileCache" in one.path]


def test_a_disk_of_the_servers_own_holds_what_it_compiled() -> None:
    server = server_with()
    assert server.compile_cache is not None
    disk = server.compile_cache.disk
    assert disk is not None
    assert (disk.claim, disk.size_gib, disk.storage_class) == (CLAIM, 10, "premium-rwo")
    spec = pod_template(server)["spec"]
    (container,) = spec["containers"]
    assert {"name": "compile-cache", "persistentVolumeClaim": {"claimName": CLAIM}} in spec["volumes"]
    assert {"name": "compile-cache", "mountPath": "/compile-cache"} in container["volumeMounts"]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert variables["VLLM_CACHE_ROOT"] == f"/compile-cache/{server.compile_cache.key}"


def test_another_size_is_another_claim() -> None:
    """A claim is replaced by any change, and cannot go while a pod uses it."""
    kept = server_with(keepCompileCache={"storage": "disk", "sizeGib": 20}).compile_cache
    assert kept is not None
    assert kept.disk is not None
    assert (kept.disk.claim, kept.disk.size_gib) == ("gemma-compile-cache-20gi-premium-rwo", 20)


def test_without_it_nothing_changes() -> None:
    server = only_server(autopilot_stack())
    assert server.compile_cache is None
    assert "VLLM_CACHE_ROOT" not in dict(server.environment)
    assert "compile-cache" not in str(pod_template(server))


def test_the_only_pod_goes_before_another_can_mount_its_disk() -> None:
    raw = standard_stack({"l4": {"maxNodes": 2}}, {"qwen": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct"}})
    assert only_server(raw).rollout.max_surge == 1
    raw["servers"]["qwen"] |= DISK
    rollout = only_server(raw).rollout
    assert (rollout.max_surge, rollout.max_unavailable) == (0, 1)
    assert rollout.reason.startswith("only one node at a time can mount the disk of the compile cache")


def test_a_directory_says_what_it_was_made_by() -> None:
    assert key_of(revision=REVISION).startswith("v0.26.0_aaaaaaaaaaaa_nvidia-l4-1_")
    assert key_of().startswith("v0.26.0_main_nvidia-l4-1_")
    pinned = autopilot_stack(**DISK) | {"imageDigests": {"vllm/vllm-openai:v0.26.0": DIGEST}}
    kept = only_server(pinned).compile_cache
    assert kept is not None
    assert kept.key.startswith("0123456789ab_main_nvidia-l4-1_")


@pytest.mark.parametrize(
    "other",
    [
        {"revision": REVISION},
        {"version": "0.25.0"},
        {"image": "me/vllm:v0.26.0"},
        {"accelerator": {"type": "nvidia-l4", "count": 2}},
        {"accelerator": {"type": "nvidia-a100-80gb"}},
        {"model": "google/gemma-7b"},
    ],
    ids=["revision", "version", "image of the same tag", "more GPUs", "another GPU", "model"],
)
def test_what_another_image_model_or_gpu_compiles_has_another_directory(other: Raw) -> None:
    assert key_of(**other) != key_of()


def test_settings_that_change_no_compiled_code_keep_the_directory() -> None:
    assert key_of(maxModelLen=2048, labels={"team": "ml"}) == key_of()


def test_the_first_start_compiles_and_later_ones_do_not() -> None:
    server, plain = server_with(), only_server(autopilot_stack())
    assert server.start.new_node_seconds == plain.start.new_node_seconds
    assert server.start.later_node_seconds == plain.start.new_node_seconds - (70 - 10)
    assert plain.start.later_node_seconds == plain.start.new_node_seconds
    # A probe or a deadline that only later starts keep would kill the first one.
    assert server.probes == plain.probes
    assert server.rollout.progress_deadline_seconds == plain.rollout.progress_deadline_seconds
    part = server.start.part("compile")
    assert part.why == "torch.compile with an empty cache, which later pods find filled"


@pytest.mark.parametrize("share", [0.9, 0.93, 0.95])
def test_the_promise_holds_for_the_first_start_and_for_later_ones(share: float) -> None:
    """A filled cache leaves more for the KV cache, and then less for what comes after the profile."""
    memory = server_with(gpuMemoryUtilization=share, modelRunner="V2", maxModelLen=2048).memory
    alone = only_server(autopilot_stack(gpuMemoryUtilization=share, modelRunner="V2", maxModelLen=2048)).memory
    assert memory is not None
    assert alone is not None
    assert memory.cold == alone.cold
    assert memory.state == memory.cold
    assert memory.state.kv_cache_tokens < memory.warm.kv_cache_tokens
    assert memory.peak_mib == memory.warm.peak_mib > alone.cold.peak_mib
    order = ["fits", "tight", "does not fit"]
    assert memory.verdict == max(memory.cold.verdict, memory.warm.verdict, key=order.index)
    # A container that restarts in its pod finds it filled, whether it is kept or not: what then fails is not promised.
    assert alone.verdict == ("does not fit" if alone.warm.verdict == "does not fit" else "fits")
    assert (share == 0.95) == (alone.verdict == "does not fit")


def test_what_only_a_restart_makes_fail_is_told_as_such() -> None:
    raw = autopilot_stack(gpuMemoryUtilization=0.95, modelRunner="V2", maxModelLen=2048)
    raw["servers"]["gemma"]["allowUnfit"] = False
    problem = only_problem(raw)
    assert problem.what == "does not fit 1 × nvidia-l4"
    assert problem.why.startswith("at a restart in its pod, the profile passes, and then sampling")


def test_what_only_a_filled_cache_makes_fail_is_told_as_such() -> None:
    raw = autopilot_stack(**DISK, gpuMemoryUtilization=0.95, modelRunner="V2", maxModelLen=2048)
    raw["servers"]["gemma"]["allowUnfit"] = False
    problem = only_problem(raw)
    assert problem.what == "does not fit 1 × nvidia-l4"
    assert problem.why.startswith("once the compile cache is filled, the profile passes, and then sampling")


def test_a_bucket_of_the_servers_own_serves_any_number_of_replicas() -> None:
    server = only_server(in_bucket(replicas=3))
    kept = server.compile_cache
    assert kept is not None
    assert kept.disk is None
    assert kept.bucket is not None
    assert (kept.bucket.name, kept.bucket.location, kept.bucket.project) == ("acme-gemma", "us-central1", "my-project")
    assert kept.bucket.member == (
        "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/"
        "my-project.svc.id.goog/subject/ns/llm-inference/sa/gemma"
    )
    assert kept.bucket.roles == ("roles/storage.bucketViewer", "roles/storage.objectUser")
    template = pod_template(server)
    (volume,) = (one for one in template["spec"]["volumes"] if one["name"] == "compile-cache")
    assert volume["csi"] == {
        "driver": "gcsfuse.csi.storage.gke.io",
        "readOnly": False,
        # Files of root could not be written by the user that vLLM runs as.
        "volumeAttributes": {"bucketName": "acme-gemma", "mountOptions": "implicit-dirs,uid=2000,gid=0"},
    }
    assert template["metadata"]["annotations"]["gke-gcsfuse/volumes"] == "true"
    assert server.rollout.reason != only_server(autopilot_stack(**DISK)).rollout.reason


def test_its_pods_may_reach_the_bucket_and_request_what_mounts_it() -> None:
    server, plain = only_server(in_bucket()), only_server(autopilot_stack())
    assert server.network_policy is not None
    assert plain.network_policy is not None
    assert set(server.network_policy.features("out")) - set(plain.network_policy.features("out")) == {"identity"}
    reasons = {one.why for one in server.network_policy.flows} - {one.why for one in plain.network_policy.flows}
    assert reasons == {
        "keeps what it compiled in its bucket; the policy cannot name its hosts",
        "tokens of Workload Identity, to write to the bucket",
    }
    sidecar = CATALOG.model_sources.gcsfuse.sidecar
    assert server.resources.beside_cpu_millicores == sidecar.cpu_millicores
    assert server.resources.beside_memory_gib == sidecar.memory_gib


def test_later_starts_are_planned_for_a_bucket_as_for_a_disk() -> None:
    server = only_server(in_bucket(replicas=2))
    assert server.start.new_node_seconds - server.start.later_node_seconds == 60
    assert server.memory is not None
    assert server.memory.request.compile_cache == "both"


def test_windows_of_a_server_that_scales_to_many_follow_later_starts() -> None:
    scaled = {"autoscaling": {"minReplicas": 1, "maxReplicas": 4}}
    server, plain = only_server(in_bucket(**scaled)), only_server(autopilot_stack(**scaled))
    assert server.autoscaling is not None
    assert plain.autoscaling is not None
    assert server.autoscaling.cold_start_seconds == plain.autoscaling.cold_start_seconds - 60
    assert server.autoscaling.down.window_seconds == plain.autoscaling.down.window_seconds - 60


@pytest.mark.parametrize(
    ("raw", "path", "what"),
    [
        (
            autopilot_stack(keepCompileCache={"storage": "bucket", "name": "acme-gemma"}),
            "servers.gemma.keepCompileCache.projectNumber",
            "is missing",
        ),
        (
            existing_stack({"gemma": {**GEMMA, **BUCKET}}),
            "servers.gemma.keepCompileCache.storage",
            "needs the project and the region of the cluster",
        ),
        (
            autopilot_stack() | {"servers": {key: {**GEMMA, **BUCKET} for key in ("one", "two")}},
            "servers.two.keepCompileCache.name",
            "acme-gemma is the bucket of servers.one too",
        ),
        (
            in_bucket()
            | {"modelStore": {"bucket": {"mode": "existing", "name": "acme-gemma"}, "projectNumber": "123456789012"}},
            "servers.gemma.keepCompileCache.name",
            "acme-gemma is the bucket of modelStore.bucket too",
        ),
    ],
)
def test_a_bucket_that_is_not_the_servers_alone_is_refused(raw: Raw, path: str, what: str) -> None:
    assert (path, what) in [(one.path, one.what) for one in problems_of(raw)]


def test_the_projects_number_may_stand_with_the_token() -> None:
    token = {"tokenSource": "secretManager", "secret": "hf", "projectNumber": "210987654321"}
    raw = autopilot_stack(keepCompileCache={"storage": "bucket", "name": "acme-gemma"}) | {"huggingFace": token}
    kept = only_server(raw).compile_cache
    assert kept is not None
    assert kept.bucket is not None
    assert "/projects/210987654321/" in kept.bucket.member


@pytest.mark.parametrize(
    ("settings", "path", "what"),
    [
        ({"replicas": 2}, "keepCompileCache.storage", "2 replicas cannot share a disk that is written to"),
        (
            {"autoscaling": {"minReplicas": 1, "maxReplicas": 3}},
            "keepCompileCache.storage",
            "3 replicas cannot share a disk that is written to",
        ),
        (
            {"compileCache": "warm"},
            "compileCache",
            "is warm, while keepCompileCache keeps what the server compiles itself",
        ),
        (
            {"extraEnv": {"VLLM_CACHE_ROOT": "/tmp/cache"}},
            "extraEnv.VLLM_CACHE_ROOT",
            "is decided by keepCompileCache",
        ),
        (
            {"pod": {"volumes": [{"name": "mine", "mountPath": "/compile-cache", "emptyDir": {"sizeGib": 1}}]}},
            "pod.volumes[0].mountPath",
            "/compile-cache would hide the compile cache",
        ),
    ],
)
def test_what_cannot_work_is_refused(settings: Raw, path: str, what: str) -> None:
    found = problems_of(autopilot_stack(**DISK, **settings))
    assert (f"servers.gemma.{path}", what) in [(one.path, one.what) for one in found]


def test_machines_that_attach_no_disk_which_gke_makes_keep_nothing_on_one() -> None:
    gpus = {"type": "nvidia-h200-141gb", "count": 8, "memoryMib": 143000}
    raw = existing_stack({"gemma": {**GEMMA, **DISK, "maxModelLen": 4096, "accelerator": gpus}})
    assert ("servers.gemma.keepCompileCache.storage", NO_CLASS) in [(one.path, one.what) for one in problems_of(raw)]


def test_a_server_that_compiles_nothing_keeps_nothing() -> None:
    assert warnings_of(autopilot_stack(**DISK, enforceEager=True)) == [
        "servers.gemma.keepCompileCache: has no effect with enforceEager"
    ]


def test_the_windows_of_a_server_that_scales_follow_later_starts() -> None:
    """With the disk, one pod alone: the most that it may be asked for is one."""
    scaled = {
        "autoscaling": {"minReplicas": 0, "maxReplicas": 1, "scaleToZero": {"holder": "httpAddOn"}, "source": "keda"}
    }
    server, plain = server_with(**scaled), only_server(autopilot_stack(**scaled))
    assert server.autoscaling is not None
    assert plain.autoscaling is not None
    assert plain.autoscaling.cold_start_seconds - server.autoscaling.cold_start_seconds == 60
    assert server.autoscaling.interceptor is not None
    assert plain.autoscaling.interceptor is not None
    assert server.autoscaling.interceptor.wait_seconds == plain.autoscaling.interceptor.wait_seconds


def test_its_source_is_in_the_catalog() -> None:
    facts = CATALOG.startup
    assert facts.compile.basis == facts.compile_cached.basis == "measured"
