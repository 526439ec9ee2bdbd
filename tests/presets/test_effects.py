"""What extra arguments and variables do to a plan, by their class: what changes memory is never a plain fit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, existing_stack, outcome_of
from tests.presets.support import GEMMA, LLAMA_8B_AWQ, VERSIONS, only_problem, outcome, plan_of, problems_of

if TYPE_CHECKING:
    from gke_llm_inference.catalog import ServerKind
    from gke_llm_inference.catalog.flags import Flag
    from gke_llm_inference.planning.memory import MemoryPlan

KINDS: tuple[ServerKind, ...] = ("vllm", "tgi")


def memory_of(**server: Any) -> MemoryPlan:
    memory = plan_of(**{"model": LLAMA_8B_AWQ, "maxModelLen": 2048, **server}).memory
    assert memory is not None
    return memory


def arguments_for(name: str, flag: Flag) -> list[str]:
    """A flag with a value that it takes, and that is not its default."""
    if flag.type == "boolean" and flag.value is None:
        off = flag.default is True and flag.negated
        return [flag.negated[0] if off else name]
    if flag.form:
        return [f"{name}=sql=/models/sql"]
    if flag.choices:
        other = [choice for choice in flag.choices if choice != flag.default]
        return [f"{name}={other[0]}"]
    samples = {"integer": "7", "number": "0.5", "json": '{"a":1}', "text": "some-text", "list": "7", "boolean": "true"}
    return [f"{name}={samples[flag.type]}"]


def cases(kind: ServerKind) -> list[tuple[str, str, Flag]]:
    versions = load_catalog().flags[kind]
    return [(version, name, flag) for version in VERSIONS[kind] for name, flag in versions[version].flags.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_flag_of_every_version_does_what_its_class_says(kind: ServerKind) -> None:
    effects = CATALOG.effects.servers[kind]
    classes = dict(effects.classes())
    wrong: list[tuple[str, list[str], str]] = []
    for version, name, flag in cases(kind):
        extra = arguments_for(name, flag)
        server = {"server": kind, "version": version, "model": LLAMA_8B_AWQ, "maxModelLen": 2048, "extraArgs": extra}
        result = outcome_of(existing_stack({"gemma": server}))
        refused = isinstance(result, Refusal)
        verdict = None if isinstance(result, Refusal) else result.servers[0].memory
        found = classes[name]
        if found in ("planned", "secret", "needs") and not refused:
            wrong.append((version, extra, found))
        if found == "harmless" and (refused or verdict is None or verdict.verdict == "estimated"):
            wrong.append((version, extra, found))
        if found == "changes" and not refused and (verdict is None or verdict.verdict != "estimated"):
            group = next(group for group in effects.changes if name in group.names)
            if group.concerns(extra[0].partition("=")[2]):
                wrong.append((version, extra, found))
        if found == "refused" and not refused:
            refusal = effects.refusal(name)
            if refusal is not None and refusal.concerns(extra[0].partition("=")[2]):
                wrong.append((version, extra, found))
    assert wrong == []


@pytest.mark.parametrize(
    ("server", "extra"),
    [
        ("vllm", "--host=0.0.0.0"),
        ("vllm", "--uds=/tmp/vllm.sock"),
        ("vllm", "--headless"),
        ("vllm", "--nnodes=2"),
        ("vllm", "--ssl-keyfile=/tls/key.pem"),
        ("vllm", "--data-parallel-size=2"),
        ("vllm", "--data_parallel_size=2"),
        ("vllm", "--runner=pooling"),
        ("vllm", "--download-dir=/data"),
        ("vllm", "--distributed-executor-backend=ray"),
        ("tgi", "--hostname=127.0.0.1"),
        ("tgi", "--huggingface-hub-cache=/data"),
    ],
)
def test_what_breaks_the_pod_is_refused_with_what_to_do(server: str, extra: str) -> None:
    problem = only_problem(server=server, extraArgs=[extra])
    assert problem.path == "servers.gemma.extraArgs[0]"
    assert problem.what.endswith("cannot be set in extraArgs")
    assert problem.fix


@pytest.mark.parametrize(
    "extra",
    [
        "--dtype=float32",
        "--root-path=/llm",
        "--enable-lora",
        '--speculative-config={"method":"eagle","model":"a/b"}',
        "--cpu-offload-gb=4",
        "--hf-overrides.rope_theta=1",
        "--middleware=my.module",
    ],
)
def test_what_changes_memory_or_routes_makes_the_verdict_an_estimate(extra: str) -> None:
    result = outcome(model=LLAMA_8B_AWQ, maxModelLen=2048, extraArgs=[extra])
    assert not isinstance(result, Refusal), str(result)
    memory = result.servers[0].memory
    assert memory is not None
    assert memory.verdict == "estimated"
    assert memory.summary.startswith("estimated: ")
    (warning,) = [one for one in result.warnings if one.path == "servers.gemma.extraArgs[0]"]
    assert "estimated" in warning.what
    assert "GiB of each GPU" in warning.why


@pytest.mark.parametrize(
    "extra",
    [
        "--dtype=bfloat16",
        "--dtype=auto",
        "--no-enable-lora",
        "--cpu-offload-gb=0",
        '--speculative-config={"method": "ngram", "num_speculative_tokens": 3}',
        "--max-lora-rank=64",
        "--distributed-executor-backend=mp",
    ],
)
def test_a_value_that_changes_nothing_leaves_the_plan_as_it_is(extra: str) -> None:
    assert memory_of(extraArgs=[extra]).verdict == memory_of().verdict


def test_a_band_that_the_gpu_does_not_hold_is_a_plain_no() -> None:
    """Float32 takes weights and KV cache twice at least."""
    (problem,) = problems_of(model=GEMMA, allowUnfit=False, maxModelLen=2048, extraArgs=["--dtype=float32"])
    assert problem.path == "servers.gemma"
    assert problem.what == "does not fit 1 × nvidia-l4"


def test_adapters_count_by_their_number_and_rank() -> None:
    small = memory_of(extraArgs=["--enable-lora"]).band_mib
    large = memory_of(extraArgs=["--enable-lora", "--max-loras=4", "--max-lora-rank=64"]).band_mib
    # Buffers of one adapter of rank 16 for Llama 3.1 8B: 16 × 2 bytes × 32 × (2·8192 + 2·5120 + 3·18432).
    buffers = 16 * 2 * 32 * (2 * 8192 + 2 * 5120 + 3 * 18432) / 2**20
    assert small == pytest.approx((0.5 * buffers, 1.5 * buffers + 512))
    assert large == pytest.approx((0.5 * 16 * buffers, 1.5 * 16 * buffers + 512))


def test_a_stated_kv_cache_is_what_the_plan_counts_with() -> None:
    memory = memory_of(extraArgs=["--kv-cache-memory-bytes=2G"])
    assert memory.state.kv_cache_mib == 2048
    assert memory.verdict == "fits"
    assert not memory.calibrated
    assert memory_of(extraArgs=["--kv-cache-memory-bytes=1M"]).verdict == "does not fit"
    assert memory_of(extraArgs=["--kv-cache-memory-bytes=40G"]).verdict == "does not fit"


@pytest.mark.parametrize(
    ("extra", "setting"),
    [
        ("--kv-cache-dtype=fp8", {"kvCacheDtype": "fp8_e4m3"}),
        ("--max-model-len=4k", {"maxModelLen": 4000}),
        ("--max_model_len=4K", {"maxModelLen": 4096}),
        ("--max-num-seqs=16", {"maxNumSeqs": 16}),
        ("--enforce-eager", {"enforceEager": True}),
        ("--gpu-memory-utilization=0.8", {"gpuMemoryUtilization": 0.8}),
        ("--no-enable-chunked-prefill", {"chunkedPrefill": False}),
    ],
)
def test_a_flag_that_sets_what_a_setting_sets_is_planned_like_it(extra: str, setting: dict[str, Any]) -> None:
    by_argument = outcome(model=LLAMA_8B_AWQ, version="0.26.0", maxModelLen=2048, extraArgs=[extra])
    by_setting = outcome(**{"model": LLAMA_8B_AWQ, "version": "0.26.0", "maxModelLen": 2048, **setting})
    if isinstance(by_argument, Refusal) or isinstance(by_setting, Refusal):
        assert [str(one) for one in getattr(by_argument, "problems", ())] == [
            str(one) for one in getattr(by_setting, "problems", ())
        ]
        return
    one, other = by_argument.servers[0].memory, by_setting.servers[0].memory
    assert one is not None
    assert other is not None
    assert (one.request, one.state) == (other.request, other.state)


@pytest.mark.parametrize("extra", ["--max-model-len=auto", "--kv-cache-dtype=nvfp4", "--max-model-len=-1"])
def test_a_value_that_the_plan_cannot_count_with_names_the_setting(extra: str) -> None:
    problem = only_problem(version="0.33.0", extraArgs=[extra])
    assert problem.path == "servers.gemma.extraArgs[0]"
    assert problem.fix in ("set maxModelLen instead", "set kvCacheDtype instead")


@pytest.mark.parametrize("dtype", ["half", "float16"])
def test_a_family_that_overflows_in_float16_is_not_loaded_in_it(dtype: str) -> None:
    problem = only_problem(model="google/gemma-2-9b-it", maxModelLen=2048, extraArgs=["--seed=1", f"--dtype={dtype}"])
    assert problem.path == "servers.gemma.extraArgs[1]"
    assert problem.what == f"{dtype} is float16, in which gemma2 overflows"


# The form of arguments with several values


def test_values_of_a_flag_that_takes_several_stand_after_it() -> None:
    extra = [
        "--enable-lora",
        "--lora-modules",
        "sql=/models/sql",
        '{"name": "chat", "path": "/models/chat"}',
        "--seed=1",
    ]
    assert plan_of(extraArgs=extra).arguments[-5:] == tuple(extra)


def test_names_of_one_s_own_take_the_place_of_the_planned_one() -> None:
    plan = plan_of(servedModelName="gemma", extraArgs=["--served-model-name", "a", "b"])
    place = plan.arguments.index("--served-model-name")
    assert plan.arguments[place : place + 3] == ("--served-model-name", "a", "b")
    assert "--served-model-name=gemma" not in plan.arguments


def test_a_flag_that_is_given_again_and_again_may_stand_several_times() -> None:
    extra = ["--middleware=a.b", "--middleware=c.d"]
    assert plan_of(extraArgs=extra).arguments[-2:] == tuple(extra)


@pytest.mark.parametrize(
    ("extra", "what", "fix"),
    [
        (
            ["--enable-lora", "--lora-modules=a=/a", "--lora-modules=b=/b"],
            "--lora-modules is listed twice",
            "write --lora-modules once, and after it each value as an entry of its own",
        ),
        (["--enable-lora", "--lora-modules=a=/a", "b=/b"], "does not begin with a flag", None),
        (["--enable-lora", "--lora-modules", "a"], "--lora-modules a: 'a' is neither name=path nor JSON", None),
        (["--enable-lora", "--lora-modules=a=/x=y"], "--lora-modules=a=/x=y: 'a=/x=y' is not one name", None),
        (["--enable-lora", '--lora-modules={"name":"a"}'], "is not a JSON object with name and path", None),
        (["--lora-modules=a=/a"], "--lora-modules needs --enable-lora", None),
        (["--enable-auto-tool-choice"], "--enable-auto-tool-choice needs --tool-call-parser", None),
        (["--middleware", "a.b", "c.d"], "", None),
    ],
)
def test_another_form_is_refused(extra: list[str], what: str, fix: str | None) -> None:
    found = problems_of(extraArgs=extra)
    assert any(what in one.what and (fix is None or one.fix == fix) for one in found), [str(one) for one in found]


def test_a_version_that_splits_once_takes_a_path_with_an_equals_sign() -> None:
    assert plan_of(version="0.33.0", extraArgs=["--enable-lora", "--lora-modules=a=/x=y"])


# Variables


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("vllm", "CUDA_VISIBLE_DEVICES"),
        ("tgi", "NVIDIA_VISIBLE_DEVICES"),
        ("vllm", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"),
        ("vllm", "VLLM_PORT"),
        ("vllm", "HF_HOME"),
        ("vllm", "HF_HUB_OFFLINE"),
        ("vllm", "LD_LIBRARY_PATH"),
        ("vllm", "VLLM_USE_V2_MODEL_RUNNER"),
        ("tgi", "NUM_SHARD"),
        ("tgi", "MAX_TOTAL_TOKENS"),
        ("tgi", "QUANTIZE"),
        ("tgi", "HOSTNAME"),
    ],
)
def test_a_variable_that_breaks_the_pod_or_goes_past_the_plan_is_refused(server: str, name: str) -> None:
    problem = only_problem(server=server, extraEnv={name: "1"})
    assert problem.path == f"servers.gemma.extraEnv.{name}"


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("vllm", "PYTORCH_CUDA_ALLOC_CONF"),
        ("vllm", "NCCL_BUFFSIZE"),
        ("vllm", "VLLM_ATTENTION_BACKEND"),
        ("vllm", "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"),
        ("vllm", "VLLM_SOMETHING_NEW"),
        ("tgi", "TGI_WIGGLE_ROOM"),
    ],
)
def test_a_variable_that_changes_memory_makes_the_verdict_an_estimate(server: str, name: str) -> None:
    result = outcome(server=server, model=LLAMA_8B_AWQ, maxModelLen=2048, extraEnv={name: "1"})
    assert not isinstance(result, Refusal), str(result)
    memory = result.servers[0].memory
    assert memory is not None
    assert memory.verdict == "estimated"
    assert [one.path for one in result.warnings if "estimated" in one.what] == [f"servers.gemma.extraEnv.{name}"]


@pytest.mark.parametrize("name", ["NCCL_DEBUG", "HF_ENDPOINT", "VLLM_LOGGING_LEVEL", "MINE", "OMP_NUM_THREADS"])
def test_a_harmless_variable_changes_nothing(name: str) -> None:
    assert memory_of(extraEnv={name: "1"}).verdict == memory_of().verdict


# The pod's own memory


@pytest.mark.parametrize(
    ("version", "extra", "more"),
    [
        ("0.26.0", "--cpu-offload-gb=8", 8),
        ("0.26.0", "--mm-processor-cache-gb=10", 6),
        ("0.10.0", "--swap-space=4", 0),
        ("0.10.0", "--swap-space=16", 12),
        ("0.26.0", "--kv-offloading-size=20", 20),
    ],
)
def test_what_is_kept_in_the_pods_memory_is_requested(version: str, extra: str, more: int) -> None:
    before, after = plan_of(version=version), plan_of(version=version, extraArgs=[extra])
    assert after.resources.memory_gib - before.resources.memory_gib == more


def test_a_stated_memory_that_does_not_hold_it_is_refused() -> None:
    problem = only_problem(resources={"memoryGib": 16}, extraArgs=["--cpu-offload-gb=20"])
    assert (problem.path, problem.fix) == ("servers.gemma.resources.memoryGib", "use 25 or more")


def test_what_a_flag_takes_at_least_is_told_where_nothing_fits_beside_it() -> None:
    (problem,) = problems_of(model=GEMMA, allowUnfit=False, maxModelLen=2048, extraArgs=["--dtype=float32"])
    assert re.match(r"--dtype: takes at least \d+\.\d\d GiB of each GPU beside the plan; loading ", problem.why)
