"""A model that servers read from the stack's store: what they are told, what they need no more, what cannot work."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog import GIB
from gke_llm_inference.planning.model_source.specs import (
    claim_spec,
    compute_class_spec,
    data_source_spec,
    storage_class,
)
from gke_llm_inference.planning.model_source.streamer import largest_tensor_bytes, plan_streamer
from gke_llm_inference.planning.models import served_model
from gke_llm_inference.planning.pod.template import pod_template
from gke_llm_inference.planning.stack_cost import stack_cost
from gke_llm_inference.settings import Finding, Refusal, VllmSettings, parse_settings
from tests.planning.support import (
    CATALOG,
    GEMMA,
    QWEN,
    architecture,
    existing_stack,
    only_problem,
    only_server,
    outcome_of,
    planned,
    problems_of,
    standard_stack,
)

if TYPE_CHECKING:
    from tests.settings.support import Raw

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STORE: Raw = {"bucket": {"mode": "existing", "name": "acme-models"}, "projectNumber": "123456789", "copy": False}
URI = f"gs://acme-models/Qwen/Qwen2.5-7B-Instruct/{COMMIT}"
NEW = "1.35.0-gke.1171000"
FACTS = CATALOG.model_sources


def source(by: str | None = None, **more: Any) -> Raw:
    return {"modelSource": {"source": "modelStore", **({"by": by} if by else {}), **more}}


def stack(server: Raw | None = None, *, pool: Raw | None = None, store: Raw | None = None, **cluster: Any) -> Raw:
    """A Standard stack with one server that reads the store, by default as it likes."""
    asked = {**QWEN, "revision": COMMIT, **source(), **(server or {})}
    raw = standard_stack({"l4": pool or {"maxNodes": 3}}, {"qwen": asked}, **{"gkeVersion": NEW, **cluster})
    return {**raw, "huggingFace": {"tokenSource": "none"}, "modelStore": store or STORE}


def on_autopilot(server: Raw | None = None, **cluster: Any) -> Raw:
    asked = {**QWEN, "revision": COMMIT, **source(), **(server or {})}
    of = {"mode": "autopilot", "location": "us-central1", "gkeVersion": NEW, **cluster}
    return {"cluster": of, "servers": {"qwen": asked}, "modelStore": STORE}


def warned(raw: Raw, path: str) -> list[Finding]:
    return [one for one in planned(raw).warnings if one.path == path]


def flows(raw: Raw) -> set[str]:
    policy = only_server(raw).network_policy
    assert policy is not None
    return {flow.feature for flow in policy.flows if flow.direction == "out"}


def test_vllm_streams_the_commit_under_the_models_own_name() -> None:
    plan = only_server(stack())
    assert plan.arguments[0] == URI
    assert "--served-model-name=Qwen/Qwen2.5-7B-Instruct" in plan.arguments
    assert "--load-format=runai_streamer" in plan.arguments
    assert not any(one.startswith("--revision") for one in plan.arguments)
    assert loader_of(plan.arguments) == {"concurrency": 16, "memory_limit": 3 * GIB}
    assert plan.model_source is not None
    assert (plan.model_source.source.path, plan.model_source.source.uri) == ("streamer", URI)
    assert "--served-model-name=chat" in only_server(stack({"servedModelName": "chat"})).arguments


def loader_of(arguments: tuple[str, ...]) -> dict[str, Any]:
    flag = "--model-loader-extra-config="
    (found,) = [one.removeprefix(flag) for one in arguments if one.startswith(flag)]
    loaded: dict[str, Any] = json.loads(found)
    return loaded


def test_the_gpus_of_a_pod_share_the_reading_where_the_version_can() -> None:
    pool: Raw = {"accelerator": {"type": "nvidia-l4", "count": 2}}
    two: Raw = {"accelerator": {"type": "nvidia-l4", "count": 2}}
    assert loader_of(only_server(stack(two, pool=pool)).arguments)["distributed"] is True
    older = only_server(stack({**two, "version": "0.15.0"}, pool=pool))
    assert "distributed" not in loader_of(older.arguments)


def test_neither_hugging_face_nor_a_token_nor_room_for_a_download_is_needed() -> None:
    gated = stack({**GEMMA, "revision": COMMIT, **source()})
    plan = only_server({**gated, "huggingFace": {"tokenSource": "config"}})
    assert not plan.uses_token
    assert plan.resources.cache_gib == 8
    assert only_server(gated).model == "google/gemma-7b-it"
    assert "download" not in {part.key for part in plan.start.parts}
    assert "download" not in str(plan.decisions)


@pytest.mark.parametrize(("version", "offline"), [("0.19.1", None), ("0.25.0", None), ("0.26.0", "1"), ("0.33.0", "1")])
def test_vllm_is_told_that_it_is_offline_from_where_it_still_finds_the_bucket(
    version: str, offline: str | None
) -> None:
    assert dict(only_server(stack({"version": version})).environment).get("HF_HUB_OFFLINE") == offline
    assert dict(only_server(stack({"version": version, **source("gcsfuse")})).environment)["HF_HUB_OFFLINE"] == "1"


def test_a_version_that_loses_the_bucket_offline_is_not_told_so_by_hand_either() -> None:
    problem = only_problem(stack({"version": "0.19.1", "extraEnv": {"HF_HUB_OFFLINE": "1"}}))
    assert problem.path == "servers.qwen.extraEnv.HF_HUB_OFFLINE"
    assert problem.what == "vLLM 0.19.1 does not find gs:// with it"


def test_pods_may_call_the_bucket_and_the_metadata_server_alone() -> None:
    assert flows(stack()) == {"dns", "identity", "model"}
    assert flows(stack(source("gcsfuse"))) == {"dns", "identity", "model"}
    assert flows(stack(source("hyperdiskMl", disk={"zone": "us-central1-a"}))) == {"dns"}
    policy = only_server(stack(fqdnNetworkPolicy=True)).network_policy
    assert policy is not None
    assert policy.fqdn_spec is not None
    assert "storage.googleapis.com" in str(policy.fqdn_spec)
    assert "huggingface" not in str(policy.fqdn_spec)


def test_by_default_what_cannot_be_streamed_is_read_as_files() -> None:
    def way(server: Raw) -> tuple[str, str]:
        plan = only_server(stack(server))
        assert plan.model_source is not None
        (decision,) = [one for one in plan.decisions if one.origin == "modelSource"]
        return plan.model_source.source.path, decision.why

    assert way({}) == ("streamer", "the fastest way of this server and version")
    assert way({"version": "0.10.0"}) == (
        "gcsfuse",
        "the streamer is left out: vLLM's image reads gs:// from 0.11.1 on, and the server is 0.10.0",
    )
    assert way({"server": "tgi"})[0] == "gcsfuse"
    assert way({"presets": ["bitsandbytes"]})[0] == "gcsfuse"
    assert way({"loadFormat": "safetensors"})[0] == "gcsfuse"
    assert way(source("gcsfuse"))[1] == "modelSource.by says so"


@pytest.mark.parametrize(
    ("server", "path", "why"),
    [
        ({"server": "tgi"}, "modelSource.by", "it is a part of vLLM, and the server is another"),
        (
            {"version": "0.10.0"},
            "modelSource.by",
            "vLLM's image reads gs:// from 0.11.1 on, and the server is 0.10.0",
        ),
        (
            {"presets": ["bitsandbytes"]},
            "modelSource.by",
            "it reads safetensors for vLLM's own loader, and bitsandbytes has a loader of its own",
        ),
        (
            {"loadFormat": "tensorizer"},
            "loadFormat",
            "the streamer is a load format itself, runai_streamer",
        ),
    ],
)
def test_a_streamer_that_cannot_read_the_model_is_refused(server: Raw, path: str, why: str) -> None:
    problems = problems_of(stack({**server, **source("streamer")}))
    (problem,) = [one for one in problems if one.path.endswith(("modelSource.by", "loadFormat"))]
    assert (problem.path, problem.why) == (f"servers.qwen.{path}", why)


@pytest.mark.parametrize(
    ("server", "path"),
    [
        ({"extraEnv": {"RUNAI_STREAMER_MEMORY_LIMIT": "-1"}}, "extraEnv.RUNAI_STREAMER_MEMORY_LIMIT"),
        ({"extraArgs": ['--model-loader-extra-config={"concurrency":4}']}, "extraArgs[0]"),
        ({"extraArgs": ["--tokenizer=Qwen/Qwen2.5-7B"]}, "extraArgs[0]"),
    ],
)
def test_nothing_takes_the_bound_off_the_streamer_or_calls_hugging_face(server: Raw, path: str) -> None:
    assert only_problem(stack(server)).path == f"servers.qwen.{path}"


def test_files_are_read_ahead_into_memory_and_cached_nowhere() -> None:
    spec = pod_template(only_server(stack(source("gcsfuse"))))["spec"]
    (volume,) = [one for one in spec["volumes"] if one["name"] == "model"]
    assert volume["csi"] == {
        "driver": "gcsfuse.csi.storage.gke.io",
        "readOnly": True,
        "volumeAttributes": {
            "bucketName": "acme-models",
            "mountOptions": "implicit-dirs,file-cache:max-size-mb:0,read_ahead_kb=131072,"
            f"read:enable-buffered-read:true,read:global-max-blocks:80,only-dir=Qwen/Qwen2.5-7B-Instruct/{COMMIT}",
            "skipCSIBucketAccessCheck": "true",
            "gcsfuseMetadataPrefetchOnMount": "true",
        },
    }
    plan = only_server(stack(source("gcsfuse")))
    assert plan.arguments[0] == "/models"
    assert "--served-model-name=Qwen/Qwen2.5-7B-Instruct" in plan.arguments
    assert "--load-format" not in str(plan.arguments)


def test_tgi_finds_the_files_where_the_models_name_is_their_path() -> None:
    plan = only_server(stack({"server": "tgi"}))
    assert "--model-id=Qwen/Qwen2.5-7B-Instruct" in plan.arguments
    assert not any(one.startswith("--revision") for one in plan.arguments)
    container = pod_template(plan)["spec"]["containers"][0]
    assert container["workingDir"] == "/usr/src"
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "model"]
    assert mount == {"name": "model", "mountPath": "/usr/src/Qwen/Qwen2.5-7B-Instruct", "readOnly": True}


def test_the_sidecar_is_counted_and_limited_on_autopilot_alone() -> None:
    def annotations(raw: Raw) -> dict[str, str]:
        found: dict[str, str] = pod_template(only_server(raw))["metadata"]["annotations"]
        return found

    requested = {
        "gke-gcsfuse/volumes": "true",
        "gke-gcsfuse/cpu-request": "1000m",
        "gke-gcsfuse/memory-request": "2Gi",
        "gke-gcsfuse/ephemeral-storage-request": "1Gi",
    }
    assert annotations(stack(source("gcsfuse"))) == {
        **requested,
        **{f"gke-gcsfuse/{name}-limit": "0" for name in ("cpu", "memory", "ephemeral-storage")},
    }
    limited = annotations(on_autopilot(source("gcsfuse")))
    assert limited["gke-gcsfuse/memory-limit"] == "2Gi"
    assert limited["gke-gcsfuse/cpu-limit"] == "1000m"
    streamed, files = only_server(stack()).resources, only_server(stack(source("gcsfuse"))).resources
    assert files.pod_memory_gib - streamed.pod_memory_gib == 2
    assert files.pod_cpu_millicores - streamed.pod_cpu_millicores == 1000
    assert files.pod_disk_gib - streamed.pod_disk_gib == 1


def test_a_driver_is_told_what_its_version_knows() -> None:
    def options(version: str | None) -> str:
        raw = stack(source("gcsfuse"))
        raw["cluster"] = {key: value for key, value in raw["cluster"].items() if key != "gkeVersion"}
        if version is not None:
            raw["cluster"]["gkeVersion"] = version
        volume = only_server(raw).model_volume
        assert volume is not None
        assert volume.fuse is not None
        return volume.fuse.attributes["mountOptions"]

    assert "buffered" in options("1.34.0-gke.2011000")
    assert "buffered" not in options(None)
    assert "read_ahead_kb" not in options(None)
    assert options(None).startswith("implicit-dirs,file-cache:max-size-mb:0,only-dir=")


@pytest.mark.parametrize(
    ("by", "profile", "since"),
    [
        ("gcsfuse", "standard", "1.34.0-gke.2011000"),
        ("hyperdiskMl", "standard", "1.33.3-gke.1136000"),
        ("hyperdiskMl", "autopilot", "1.33.2-gke.4780000"),
    ],
)
def test_a_cluster_that_is_too_old_is_refused_and_one_of_an_unknown_version_warned_of(
    by: str, profile: str, since: str
) -> None:
    asked = source(by, **({"disk": {"zone": "us-central1-a"}} if by == "hyperdiskMl" else {}))
    make = stack if profile == "standard" else on_autopilot
    problem = only_problem(make(asked, gkeVersion="1.33.1-gke.1000000"))
    assert problem.path == "servers.qwen.modelSource.by"
    assert problem.what == f"needs GKE {since} or later, and cluster.gkeVersion is 1.33.1-gke.1000000"
    planned(make(asked, gkeVersion=since))
    raw = make(asked)
    del raw["cluster"]["gkeVersion"]
    (warning,) = warned(raw, "servers.qwen.modelSource.by")
    assert warning.what == f"needs GKE {since} or later"


def test_a_volume_is_filled_from_the_commit_and_the_pods_follow_it() -> None:
    raw = stack(source("hyperdiskMl", disk={"zone": "us-central1-a", "throughputMib": 1200}))
    stack_plan = planned(raw)
    (plan,) = stack_plan.servers
    assert plan.model_source is not None
    disk = plan.model_source.disk
    assert disk is not None
    assert plan.node_selector["topology.kubernetes.io/zone"] == "us-central1-a"
    assert plan.arguments[0] == "/models"
    assert pod_template(plan)["spec"]["volumes"][-1] == {
        "name": "model",
        "persistentVolumeClaim": {"claimName": disk.name, "readOnly": True},
    }
    assert (plan.model_source.reader, data_source_spec(disk, "qwen-model")) == (
        "qwen-model",
        {"cloudStorage": {"serviceAccountName": "qwen-model", "uri": f"{URI}/"}},
    )
    assert stack_plan.model_store is not None
    assert [one.account for one in stack_plan.model_store.readers] == ["qwen-model"]
    assert storage_class(disk)["parameters"] == {
        "type": "hyperdisk-ml",
        "provisioned-throughput-on-create": "1200Mi",
    }
    assert storage_class(disk)["allowedTopologies"] == [
        {"matchLabelExpressions": [{"key": "topology.gke.io/zone", "values": ["us-central1-a"]}]}
    ]
    assert claim_spec(disk)["dataSourceRef"] == {
        "apiGroup": "datalayer.gke.io",
        "kind": "GCPDataSource",
        "name": disk.name,
    }
    # 14.2 GiB, a tenth more, and one.
    assert claim_spec(disk)["resources"] == {"requests": {"storage": "17Gi"}}
    nodes = stack_plan.transfer_nodes
    assert nodes is not None
    assert nodes.name == "gcs-to-hdml-compute-class"
    assert compute_class_spec(nodes)["priorities"] == [{"machineFamily": "c3"}, {"machineFamily": "c3d"}]
    assert planned(stack()).transfer_nodes is None
    cost = stack_cost(stack_plan, CATALOG)
    (part,) = [one for one in cost.parts if one.title.startswith("volume of qwen")]
    assert part.title == "volume of qwen: 17 GB of hyperdisk-ml, 1200 MiB/s"
    assert part.cost.note == "no price known of hyperdisk-ml in us-central1"
    assert cost.is_least


def test_another_commit_is_another_volume_beside_the_old_one() -> None:
    def names(commit: str) -> tuple[str, str]:
        plan = only_server(stack({"revision": commit, **source("hyperdiskMl", disk={"zone": "us-central1-a"})}))
        assert plan.model_source is not None
        assert plan.model_source.disk is not None
        return plan.model_source.disk.name, plan.model_source.disk.storage_class

    old, new = names(COMMIT), names("f" * 40)
    assert old == names(COMMIT)
    assert not set(old) & set(new)


def test_the_zone_of_a_pool_with_one_is_the_volumes() -> None:
    one = only_server(stack(source("hyperdiskMl"), pool={"zones": ["us-central1-b"]}))
    assert one.model_source is not None
    assert one.model_source.disk is not None
    assert one.model_source.disk.zone == "us-central1-b"
    missing = only_problem(stack(source("hyperdiskMl"), pool={"zones": ["us-central1-a", "us-central1-b"]}))
    assert (missing.path, missing.fix) == (
        "servers.qwen.modelSource.disk.zone",
        "set it to one of us-central1-a, us-central1-b",
    )
    elsewhere = only_problem(
        stack(source("hyperdiskMl", disk={"zone": "us-central1-c"}), pool={"zones": ["us-central1-a"]})
    )
    assert elsewhere.what == "us-central1-c is not a zone of node pool l4"
    unknown = only_problem(on_autopilot(source("hyperdiskMl", disk={"zone": "us-central1-f"})))
    assert unknown.what == "us-central1-f is not a zone of nvidia-l4"


def test_machines_that_do_not_attach_such_a_volume_are_refused() -> None:
    t4: Raw = {"accelerator": {"type": "nvidia-tesla-t4", "count": 1}}
    raw = stack(
        {**t4, "allowUnfit": True, **source("hyperdiskMl")},
        pool={**t4, "zones": ["us-central1-a"]},
    )
    (problem,) = [one for one in problems_of(raw) if "modelSource" in one.path]
    assert problem.what == "machines with nvidia-tesla-t4 do not attach Hyperdisk ML"
    own = {**QWEN, **t4, "allowUnfit": True, "modelVolume": {"claim": "weights", "storage": "hyperdiskMl"}}
    (problem,) = [one for one in problems_of(standard_stack({"t4": t4}, {"qwen": own})) if "modelVolume" in one.path]
    assert problem.path == "servers.qwen.modelVolume.storage"


def test_every_tier_attaches_the_volume_and_is_in_its_zone() -> None:
    def on_tiers(*tiers: Raw | str) -> Raw:
        disk = source("hyperdiskMl", disk={"zone": "us-central1-a"})
        return on_autopilot({"capacity": list(tiers), "maxModelLen": 4096, "allowUnfit": True, **disk})

    a100: Raw = {"model": "spot", "machineType": "a2-highgpu-1g", "accelerator": "nvidia-tesla-a100"}
    plan = planned(on_tiers("onDemand", a100)).servers[0]
    assert plan.node_selector["topology.kubernetes.io/zone"] == "us-central1-a"
    t4: Raw = {"model": "spot", "machineType": "n1-standard-8", "accelerator": "nvidia-tesla-t4"}
    found = [one for one in problems_of(on_tiers("onDemand", t4)) if one.path == "servers.qwen.modelSource.by"]
    assert [one.what for one in found] == ["machines of tier spot n1-standard-8 do not attach Hyperdisk ML"]


def test_a_cluster_of_others_needs_the_class_of_nodes_itself() -> None:
    raw = existing_stack(
        {"qwen": {**QWEN, "revision": COMMIT, **source("hyperdiskMl", disk={"zone": "us-central1-a"})}},
        name="shared",
        location="us-central1",
        profile="autopilot",
        gkeVersion=NEW,
    )
    raw["modelStore"] = STORE
    assert planned(raw).transfer_nodes is None
    (warning,) = warned(raw, "servers.qwen.modelSource.by")
    assert warning.what == "needs a ComputeClass with the name gcs-to-hdml-compute-class in the cluster"


def test_a_cache_is_off_and_costs_something_where_it_is_on() -> None:
    assert planned(stack()).bucket_caches is None
    raw = stack(source("gcsfuse", anywhereCache=True), pool={"zones": ["us-central1-a", "us-central1-c"]})
    plan = planned(raw)
    assert plan.bucket_caches is not None
    assert plan.bucket_caches.zones == ("us-central1-a", "us-central1-c")
    (warning,) = warned(raw, "servers.qwen.modelSource.anywhereCache")
    assert warning.what == "costs money for what it keeps and for what is read through it"
    (part,) = [one for one in stack_cost(plan, CATALOG).parts if one.title.startswith("Anywhere Cache")]
    assert part.cost.hourly_usd is None
    far = {**STORE, "bucket": {**STORE["bucket"], "location": "europe-west4"}}
    problem = only_problem({**raw, "modelStore": far})
    assert problem.what == "cannot be in us-central1 for a bucket in europe-west4"


def test_one_place_of_the_model_is_enough() -> None:
    volume = {"modelVolume": {"claim": "weights", "storage": "filestore"}}
    problem = only_problem(stack(volume))
    assert (problem.path, problem.what) == ("servers.qwen", "has modelVolume and modelSource")
    beside = only_problem(stack(source("gcsfuse", disk={"zone": "us-central1-a"})))
    assert beside.what == "describes a volume that nothing makes"
    cached = only_problem(stack(source("hyperdiskMl", anywhereCache=True)))
    assert cached.what == "has a cache that nothing reads"


def test_other_checkpoints_are_not_proposed_for_what_the_store_holds() -> None:
    raw = stack({"model": "google/gemma-7b-it", "allowUnfit": True})
    assert not any("model" in dict(one.changes) for one in only_server(raw).alternatives)


@given(
    kind=st.sampled_from(["vllm", "tgi"]),
    version=st.sampled_from([None, "0.10.0", "0.15.0", "0.26.0", "0.33.0"]),
    by=st.sampled_from([None, "streamer", "gcsfuse", "hyperdiskMl"]),
    gke=st.sampled_from([None, "1.32.2-gke.1297001", NEW]),
    autopilot=st.booleans(),
    by_name=st.booleans(),
    preset=st.sampled_from([(), ("bitsandbytes",), ("awq",)]),
)
def test_no_server_of_the_store_reaches_hugging_face(
    kind: str, version: str | None, by: str | None, gke: str | None, autopilot: bool, by_name: bool, preset: Any
) -> None:
    """Whatever is asked: it is refused, or its pods have no token and may call the bucket at most."""
    disk = {"disk": {"zone": "us-central1-a"}} if by == "hyperdiskMl" else {}
    server: Raw = {"server": kind, "presets": list(preset), "allowUnfit": True, **source(by, **disk)}
    if version is not None and kind == "vllm":
        server["version"] = version
    raw = (on_autopilot if autopilot else stack)(server, fqdnNetworkPolicy=by_name)
    raw["cluster"] = {key: value for key, value in {**raw["cluster"], "gkeVersion": gke}.items() if value}
    raw["huggingFace"] = {"tokenSource": "config"}
    outcome = outcome_of(raw)
    if isinstance(outcome, Refusal):
        return
    (plan,) = outcome.servers
    assert plan.model_source is not None
    assert outcome.model_store is not None
    assert plan.network_policy is not None
    template = str(pod_template(plan))
    assert not plan.uses_token
    assert "HF_TOKEN" not in template
    hosts = plan.network_policy.fqdn_spec
    assert "hugging" not in str(hosts)
    assert ("storage.googleapis.com" in str(hosts)) == (by_name and plan.model_source.source.reads == "bucket")
    assert [one.account for one in outcome.model_store.readers] == [plan.model_source.reader]
    assert ("gke-gcsfuse" in template) == (plan.model_source.source.path == "gcsfuse")
    assert plan.model_source.source.path == by or by is None


MODEL, _ = served_model("server", VllmSettings.model_validate(QWEN), CATALOG)


@given(gpus=st.integers(1, 8), host=st.integers(0, 64), memory=st.none() | st.integers(1, 500))
def test_buffers_never_take_more_than_the_pod_has(gpus: int, host: int, memory: int | None) -> None:
    """Buffer, one tensor and everything else fit the pod's memory, whatever is stated; or the pod is refused."""
    assert MODEL is not None
    raw = {**QWEN, "accelerator": {"type": "nvidia-l4", "count": gpus}}
    if memory is not None:
        raw["resources"] = {"memoryGib": memory}
    streamer = plan_streamer(VllmSettings.model_validate(raw), "0.26.0", MODEL, host, FACTS.streamer)
    largest = largest_tensor_bytes(MODEL) / GIB
    assert streamer.buffer_bytes >= largest_tensor_bytes(MODEL)
    shared = 1 if gpus == 1 else 2 * gpus
    planned_gib = 4 + 9 * gpus + shared + host + streamer.host_gib if memory is None else memory
    needed = 4 + shared + host + gpus * (4 + streamer.buffer_bytes / GIB + largest)
    assert needed <= planned_gib + 1e-6 or (memory is not None and memory < streamer.least_memory_gib)


def test_a_pod_without_room_for_the_largest_tensor_is_refused() -> None:
    problem = only_problem(stack({"resources": {"memoryGib": 9}}))
    assert problem.path == "servers.qwen.resources.memoryGib"
    assert problem.what == "9 GiB do not hold the streamer's buffer"
    least = int(problem.fix.split()[1])
    small = only_server(stack({"resources": {"memoryGib": least}}))
    assert loader_of(small.arguments)["memory_limit"] < 2 * GIB


def test_very_large_tensors_get_their_room() -> None:
    """128 fused experts of 5120 × 8192 have gates of 20 GiB."""
    numbers = architecture(
        parameters=400 * 10**9,
        hiddenSize=5120,
        intermediateSize=8192,
        experts={"count": 128, "perToken": 1},
    )
    settings = VllmSettings.model_validate(
        {
            "server": "vllm",
            "model": "acme/experts",
            "architecture": numbers,
            "accelerator": {"type": "nvidia-h200", "count": 8},
        }
    )
    model, _ = served_model("server", settings, CATALOG)
    assert model is not None
    assert largest_tensor_bytes(model) == 128 * 2 * 5120 * 8192 * 2
    streamer = plan_streamer(settings, "0.26.0", model, 0, FACTS.streamer)
    assert streamer.buffer_bytes == 20 * GIB
    assert streamer.host_gib == 8 * (40 - 5)


def test_facts_decide() -> None:
    """Another fact gives another plan."""
    streamer = FACTS.streamer.model_copy(update={"since": "0.30.0"})
    catalog = CATALOG.model_copy(update={"read_model_sources": lambda: FACTS.model_copy(update={"streamer": streamer})})
    plan = planned(stack(), catalog=catalog).servers[0]
    assert plan.model_source is not None
    assert plan.model_source.source.path == "gcsfuse"
    assert replace(plan.model_source.source, path="streamer").uri == URI
    assert parse_settings(stack()).servers["qwen"].downloads is False
