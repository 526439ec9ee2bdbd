"""What a team adds to a server's pods: taken as it is stated, and never against what the plan decided."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.planning import ServerPlan
from gke_llm_inference.planning.plan import Toleration
from gke_llm_inference.planning.pod.plan import (
    ExtraVolume,
    PodExtras,
    VariableReference,
    VariableSource,
)
from gke_llm_inference.planning.pod.template import pod_template
from gke_llm_inference.settings import Refusal
from tests.planning.support import (
    QWEN,
    TGI,
    only_problem,
    only_server,
    outcome_of,
    planned,
    problems_of,
    standard_stack,
)
from tests.settings.support import Raw, autopilot_stack

SERVER = {**QWEN, "maxModelLen": 4096}
KEY = "hf_" + "a1B2" * 8


def on_l4(pod: Raw, **server: Any) -> Raw:
    return standard_stack({"l4": {"maxNodes": 2}}, {"chat": {**SERVER, "pod": pod, **server}})


def with_volume(mount_path: str, name: str = "mine", **more: Any) -> Raw:
    return {"volumes": [{"name": name, "configMap": "files", "mountPath": mount_path, **more}]}


PLAIN = only_server(on_l4({}))


def test_a_server_without_them_has_none() -> None:
    assert PLAIN.pod == PodExtras()


def test_each_of_them_is_taken_as_it_is_stated() -> None:
    server = only_server(
        on_l4(
            {
                "annotations": {"example.com/team": "search"},
                "tolerations": [{"key": "example.com/team", "value": "search", "effect": "NoExecute"}, {"key": "any"}],
                "imagePullSecrets": ["registry"],
                "runtimeClass": "nvidia",
                "env": {"B": {"secret": "s", "key": "k.b"}, "A": {"configMap": "c", "key": "a"}},
                "envFrom": [{"secret": "s", "prefix": "TEAM_"}],
                "volumes": [
                    {"name": "ca", "secret": "ca", "mountPath": "/etc/ssl/certs/team.pem", "subPath": "ca.pem"},
                    {"name": "own", "claim": "own", "mountPath": "/mnt/own", "readOnly": False},
                    {"name": "scratch", "emptyDir": {"sizeGib": 3}, "mountPath": "/mnt/scratch"},
                    {"name": "fast", "emptyDir": {"sizeGib": 2, "memory": True}, "mountPath": "/mnt/fast"},
                ],
            }
        )
    )
    assert server.pod == PodExtras(
        annotations={"example.com/team": "search"},
        image_pull_secrets=("registry",),
        runtime_class="nvidia",
        variables=(
            VariableReference(name="A", kind="ConfigMap", object_name="c", key="a"),
            VariableReference(name="B", kind="Secret", object_name="s", key="k.b"),
        ),
        variable_sources=(VariableSource(prefix="TEAM_", kind="Secret", object_name="s"),),
        volumes=(
            ExtraVolume(
                name="ca",
                kind="Secret",
                object_name="ca",
                mount_path="/etc/ssl/certs/team.pem",
                sub_path="ca.pem",
                read_only=True,
            ),
            ExtraVolume(
                name="own",
                kind="PersistentVolumeClaim",
                object_name="own",
                mount_path="/mnt/own",
                sub_path="",
                read_only=False,
            ),
            ExtraVolume(
                name="scratch",
                kind="emptyDir",
                object_name="",
                mount_path="/mnt/scratch",
                sub_path="",
                read_only=False,
                size_gib=3,
            ),
            ExtraVolume(
                name="fast",
                kind="emptyDir",
                object_name="",
                mount_path="/mnt/fast",
                sub_path="",
                read_only=False,
                size_gib=2,
                in_memory=True,
            ),
        ),
        tolerated=("example.com/team=search:NoExecute", "any:NoSchedule"),
    )
    assert server.tolerations == (
        Toleration(key="any"),
        Toleration(key="example.com/team", value="search", effect="NoExecute"),
        *PLAIN.tolerations,
    )
    # Kubernetes counts empty directories into what a pod may take.
    assert server.resources.ephemeral_storage_gib == PLAIN.resources.ephemeral_storage_gib + 3
    assert server.resources.memory_gib == PLAIN.resources.memory_gib + 2
    assert server.resources.cache_gib == PLAIN.resources.cache_gib
    assert list(server.pod.lines())[2:5] == [
        "TEAM_* from Secret s",
        "volume ca: Secret ca at /etc/ssl/certs/team.pem, read only",
        "volume own: PersistentVolumeClaim own at /mnt/own",
    ]


def test_an_empty_directory_in_memory_takes_a_larger_machine() -> None:
    pod = {"volumes": [{"name": "a", "emptyDir": {"sizeGib": 40, "memory": True}, "mountPath": "/mnt/a"}]}
    assert (PLAIN.machine_type, only_server(on_l4(pod)).machine_type) == ("g2-standard-8", "g2-standard-16")


@pytest.mark.parametrize(
    ("pod", "path", "what"),
    [
        (with_volume("/home/vllm"), "volumes[0].mountPath", "/home/vllm would hide the server's home and cache"),
        (with_volume("/home"), "volumes[0].mountPath", "/home would hide the server's home and cache"),
        (with_volume("/home/vllm/x"), "volumes[0].mountPath", "/home/vllm/x would hide the server's home and cache"),
        (with_volume("/dev/shm"), "volumes[0].mountPath", "/dev/shm would hide shared memory"),
        (
            with_volume("/etc/llm-inference/api-keys"),
            "volumes[0].mountPath",
            "/etc/llm-inference/api-keys would hide API keys",
        ),
        (with_volume("/usr"), "volumes[0].mountPath", "/usr would hide a part of the image or the system"),
        (with_volume("/proc/1"), "volumes[0].mountPath", "/proc/1 would hide a part of the image or the system"),
        (
            with_volume("/usr/local/nvidia/lib64"),
            "volumes[0].mountPath",
            "/usr/local/nvidia/lib64 would hide a part of the image or the system",
        ),
        (with_volume("/mnt/a", "cache"), "volumes[0].name", "cache is the name of a volume of the plan"),
        (
            with_volume("/mnt/a", "gke-gcsfuse-tmp"),
            "volumes[0].name",
            "gke-gcsfuse-tmp is the name of a volume of the plan",
        ),
        ({"env": {"HF_HOME": {"secret": "a", "key": "b"}}}, "env.HF_HOME", "cannot be set in pod.env"),
        ({"env": {"HF_TOKEN": {"secret": "a", "key": "b"}}}, "env.HF_TOKEN", "cannot be set in pod.env"),
        ({"env": {"VLLM_API_KEY": {"secret": "a", "key": "b"}}}, "env.VLLM_API_KEY", "cannot be set in pod.env"),
        (
            {"env": {"PYTORCH_ALLOC_CONF": {"secret": "a", "key": "b"}}},
            "env.PYTORCH_ALLOC_CONF",
            "cannot be set in pod.env",
        ),
        ({"envFrom": [{"secret": "a", "prefix": "HF_"}]}, "envFrom[0].prefix", "may give HF_DATASETS_OFFLINE"),
        (
            {"envFrom": [{"secret": "a", "prefix": "A_"}, {"secret": "b", "prefix": "A_B_"}]},
            "envFrom[1].prefix",
            "may give a variable twice, as A_ of pod.envFrom[0] does",
        ),
        (
            {"annotations": {"llm-inference/token-version": "2"}},
            "annotations.llm-inference/token-version",
            "is the plan's own",
        ),
        (
            {"annotations": {"container.apparmor.security.beta.kubernetes.io/inference-server": "unconfined"}},
            "annotations.container.apparmor.security.beta.kubernetes.io/inference-server",
            "would replace the container's AppArmor profile",
        ),
        (
            {"tolerations": [{"key": "nvidia.com/gpu"}]},
            "tolerations[0].key",
            "nvidia.com/gpu is decided by the plan",
        ),
        ({"tolerations": [{"key": "a"}, {"key": "a"}]}, "tolerations[1]", "a is listed twice"),
    ],
)
def test_what_is_against_the_plan_is_refused(pod: Raw, path: str, what: str) -> None:
    problem = only_problem(on_l4(pod))
    assert (problem.path, problem.what) == (f"servers.chat.pod.{path}", what)
    assert problem.why
    assert problem.fix


@pytest.mark.parametrize(
    ("pod", "path", "what"),
    [
        ({"env": {"A": {"key": "b"}}}, "env.A", "names no Secret and no ConfigMap"),
        ({"env": {"A": {"key": "b", "secret": "a", "configMap": "b"}}}, "env.A", "names a Secret and a ConfigMap"),
        ({"volumes": [{"name": "a", "mountPath": "/mnt/a"}]}, "volumes[0]", "does not say what it is"),
        (
            {"volumes": [{"name": "a", "mountPath": "/mnt/a", "secret": "b", "claim": "c"}]},
            "volumes[0]",
            "is several volumes in one",
        ),
        (with_volume("/mnt/a", readOnly=False), "volumes[0]", "cannot be written to"),
    ],
)
def test_a_place_is_one_place(pod: Raw, path: str, what: str) -> None:
    problem = only_problem(on_l4(pod))
    assert (problem.path, problem.what) == (f"servers.chat.pod.{path}", what)


@pytest.mark.parametrize("mount_path", ["mnt/a", "/mnt/../etc", "/mnt/a/", "/", "/mnt//a"])
def test_a_mount_path_is_absolute_and_plain(mount_path: str) -> None:
    assert [problem.path for problem in problems_of(on_l4(with_volume(mount_path)))] == [
        "servers.chat.pod.volumes[0].mountPath"
    ]


@pytest.mark.parametrize(
    "pod",
    [
        {"env": {"A": {"secret": KEY, "key": "b"}}},
        {"env": {"A": {"secret": "a", "key": KEY}}},
        {"env": {"A": {"value": KEY}}},
        {"env": {"A": KEY}},
        {"env": {KEY: {"secret": "a", "key": "b"}}},
        {"annotations": {"example.com/a": KEY}},
        with_volume("/mnt/" + KEY),
    ],
)
def test_a_secret_is_refused_and_never_told(pod: Raw) -> None:
    with pytest.raises(Refusal) as refused:
        planned(on_l4(pod))
    assert KEY not in str(refused.value)
    assert "secret" in str(refused.value).lower() or "token" in str(refused.value).lower()


def test_flags_of_tgi_are_no_variables() -> None:
    pod = {"env": {"QUANTIZE": {"configMap": "a", "key": "b"}}, "envFrom": [{"configMap": "a", "prefix": "MAX_"}]}
    raw = standard_stack({"l4": {"maxNodes": 2}}, {"chat": {**TGI, "pod": pod}})
    assert [(one.path, one.what) for one in problems_of(raw)] == [
        ("servers.chat.pod.env.QUANTIZE", "cannot be set in pod.env"),
        ("servers.chat.pod.envFrom[0].prefix", "may give MAX_BATCH_PREFILL_TOKENS"),
    ]


def test_a_variable_has_one_value() -> None:
    raw = on_l4({"env": {"LOG": {"configMap": "a", "key": "b"}}}, extraEnv={"LOG": "1"})
    assert only_problem(raw).why == "extraEnv sets it"


def container(name: str = "side", **more: Any) -> Raw:
    return {"name": name, "image": "registry.example.com/side:1", "cpu": 1, "memoryGib": 2, **more}


def test_containers_count_into_what_the_pod_requests() -> None:
    both = [container("a"), container("b", cpu=0.5)]
    server = only_server(on_l4({"containers": both, "initContainers": [container("c", cpu=2)]}))
    assert (PLAIN.resources.pod_cpu_millicores, PLAIN.resources.pod_memory_gib) == (4000, 14)
    assert (server.resources.cpu_millicores, server.resources.memory_gib) == (4000, 14)
    assert (server.resources.pod_cpu_millicores, server.resources.pod_memory_gib) == (5500, 18)
    assert list(server.pod.lines()) == [
        "before the server c: registry.example.com/side:1, 2 vCPU, 2 GiB",
        "beside the server a: registry.example.com/side:1, 1 vCPU, 2 GiB",
        "beside the server b: registry.example.com/side:1, 0.5 vCPU, 2 GiB",
    ]
    # What runs before the server leaves when it starts: it counts only where it is larger than all the rest.
    first = only_server(on_l4({"initContainers": [container(cpu=6, memoryGib=20), container("other")]}))
    assert (first.resources.pod_cpu_millicores, first.resources.pod_memory_gib) == (6000, 20)


def test_containers_take_a_larger_machine_or_are_refused() -> None:
    larger = only_server(on_l4({"containers": [container(memoryGib=24)]}))
    assert (PLAIN.machine_type, larger.machine_type) == ("g2-standard-8", "g2-standard-12")
    pinned = standard_stack(
        {"l4": {"maxNodes": 2, "machineType": "g2-standard-4"}},
        {"chat": {**SERVER, "resources": {"cpu": 2}, "pod": {"containers": [container(cpu=3)]}}},
    )
    assert any("5 vCPU and 16 GiB are more than" in problem.what for problem in problems_of(pinned))
    (problem,) = problems_of(autopilot_stack(pod={"containers": [container(memoryGib=900)]}))
    assert problem.path.endswith(".resources.memoryGib")


def test_recorded_digests_pin_the_images_of_all_containers() -> None:
    image, digest = "registry.example.com/side:1", f"sha256:{'ab' * 32}"
    raw = {**on_l4({"containers": [container()]}), "imageDigests": {image: digest}}
    plan = planned(raw)
    (server,) = plan.servers
    assert server.images == (PLAIN.image, f"{image}@{digest}")
    assert plan.warnings == ()


@pytest.mark.parametrize(
    ("pod", "path", "what"),
    [
        (
            {"containers": [container("inference-server")]},
            "containers[0].name",
            "inference-server is the name of another container of the pod",
        ),
        (
            {"initContainers": [container()], "containers": [container()]},
            "containers[0].name",
            "side is the name of another container of the pod",
        ),
        ({"containers": [container(image="side")]}, "containers[0].image", "does not pin a version"),
        ({"containers": [container(extraEnv={"PASSWORD": "x1"})]}, "containers[0].extraEnv.PASSWORD", "holds a secret"),
        (
            {"containers": [container(extraEnv={"A": "1"}, env={"A": {"secret": "a", "key": "b"}})]},
            "containers[0].env.A",
            "is set twice",
        ),
        (
            {"containers": [container(mounts={"a": "/mnt/a"})]},
            "containers[0].mounts.a",
            "a is no volume of pod.volumes",
        ),
        (
            {**with_volume("/mnt/a"), "containers": [container(mounts={"mine": "/proc"})]},
            "containers[0].mounts.mine",
            "/proc would hide a part of the image or the system",
        ),
        ({"containers": [container(user=0)]}, "containers[0].user", None),
        ({"containers": [container(gpu=1)]}, "containers[0].gpu", None),
    ],
)
def test_a_container_that_cannot_be_is_refused(pod: Raw, path: str, what: str | None) -> None:
    problem = only_problem(on_l4(pod))
    assert problem.path == f"servers.chat.pod.{path}"
    assert what is None or problem.what == what


def toleration(key: str, value: str) -> Raw:
    return {"key": f"example.com/{key}", "value": value}


NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
VARIABLES = st.from_regex(r"TEAM_[A-Z]{1,8}", fullmatch=True)
PLACES = st.one_of(st.builds(lambda name: {"secret": name}, NAMES), st.builds(lambda name: {"configMap": name}, NAMES))
VOLUMES = st.dictionaries(
    st.from_regex(r"v-[a-z]{1,8}", fullmatch=True),
    st.one_of(
        PLACES,
        st.builds(lambda name, readable: {"claim": name, "readOnly": readable}, NAMES, st.booleans()),
        st.builds(lambda size: {"emptyDir": {"sizeGib": size}}, st.integers(1, 4)),
    ),
    max_size=3,
)
CONTAINERS: st.SearchStrategy[list[Raw]] = st.lists(
    st.builds(
        lambda name, cpu: container(f"c-{name}", cpu=cpu),
        st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        st.sampled_from([0.1, 0.5]),
    ),
    max_size=2,
    unique_by=lambda one: str(one["name"]),
)
TOLERATIONS: st.SearchStrategy[list[Raw]] = st.lists(
    st.builds(toleration, NAMES, NAMES), max_size=2, unique_by=lambda one: str(one["key"])
)
PODS = st.fixed_dictionaries(
    {},
    optional={
        "annotations": st.dictionaries(st.builds("example.com/{}".format, NAMES), NAMES, max_size=2),
        "tolerations": TOLERATIONS,
        "imagePullSecrets": st.lists(NAMES, max_size=2),
        "runtimeClass": NAMES,
        "env": st.dictionaries(VARIABLES, st.builds(lambda place: {**place, "key": "k"}, PLACES), max_size=3),
        "envFrom": st.lists(st.builds(lambda place: {**place, "prefix": "OTHERS_"}, PLACES), max_size=1),
        "containers": CONTAINERS,
        "initContainers": CONTAINERS.map(lambda found: [{**one, "name": f"i{one['name']}"} for one in found]),
        "volumes": VOLUMES.map(
            lambda found: [{"name": name, "mountPath": f"/mnt/{name}", **one} for name, one in found.items()]
        ),
    },
)


def decided(server: ServerPlan) -> tuple[object, ...]:
    """What no setting of a pod changes."""
    return (
        server.command,
        server.all_arguments,
        server.image,
        server.environment,
        server.gpu_type,
        server.gpu_count,
        server.node_selector,
        server.probes,
        server.shutdown,
        server.port,
        server.user,
        server.read_only_root_filesystem,
        server.host_ipc,
        server.labels,
        server.memory,
        server.resources.cpu_millicores,
        server.resources.cache_gib,
    )


AUTOPILOT = only_server(autopilot_stack())


@given(PODS)
def test_no_pod_setting_changes_what_the_plan_decided(pod: Raw) -> None:
    server = only_server(on_l4(pod))
    assert decided(server) == decided(PLAIN)
    assert set(PLAIN.tolerations) <= set(server.tolerations)
    assert decided(only_server(autopilot_stack(pod=pod))) == decided(AUTOPILOT)


def spread_of(raw: Raw) -> list[Raw]:
    spec = pod_template(only_server(raw))["spec"]
    return [
        {key: value for key, value in one.items() if key not in ("labelSelector", "matchLabelKeys")}
        for one in spec["topologySpreadConstraints"]
    ]


def test_replicas_are_spread_as_planned_but_where_the_settings_say_otherwise() -> None:
    zone, host = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
    soft = {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
    assert spread_of(on_l4({})) == [{"topologyKey": zone, **soft}, {"topologyKey": host, **soft}]
    stated = [{"key": host, "when": "DoNotSchedule", "maxSkew": 2, "minDomains": 2}, {"key": "rack"}]
    assert spread_of(on_l4({"topologySpread": stated})) == [
        {"topologyKey": zone, **soft},
        {"topologyKey": host, "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2},
        {"topologyKey": "rack", **soft},
    ]
    assert list(only_server(on_l4({"topologySpread": stated})).pod.lines()) == [
        f"spread over {host}: 2 apart at most, over 2 at least, or waits",
        "spread over rack: 1 apart at most, where there is room",
    ]


@pytest.mark.parametrize(
    ("stated", "path", "what"),
    [
        ([{"key": "rack", "minDomains": 2}], "[0].minDomains", "needs when: DoNotSchedule"),
        ([{"key": "rack"}, {"key": "rack", "maxSkew": 2}], "[1].key", "rack is listed twice"),
        ([{"key": "kubernetes.io/hostname"}], "[0]", "is what the plan does already"),
    ],
)
def test_a_spread_that_says_nothing_is_refused(stated: list[Raw], path: str, what: str) -> None:
    problem = only_problem(on_l4({"topologySpread": stated}))
    assert (problem.path, problem.what) == (f"servers.chat.pod.topologySpread{path}", what)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 5))
def test_replicas_that_wait_for_zones_find_a_place_or_are_refused(replicas: int, domains: int, skew: int) -> None:
    spread = {"key": "topology.kubernetes.io/zone", "when": "DoNotSchedule", "minDomains": domains, "maxSkew": skew}
    pool = {"maxNodes": 12, "zones": ["us-central1-a", "us-central1-b"]}
    raw = standard_stack({"l4": pool}, {"chat": {**SERVER, "replicas": replicas, "pod": {"topologySpread": [spread]}}})
    outcome = outcome_of(raw)
    # With two zones of fewer than minDomains, each takes maxSkew pods.
    fits = domains <= 2 or replicas <= 2 * skew
    assert isinstance(outcome, Refusal) is not fits
