"""Servers that do not fit their GPUs: what is refused, what is only told, and that what is proposed helps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.planning.memory.result import floored
from tests.planning.support import CATALOG, architecture, existing_stack, on_autopilot, only_problem, planned
from tests.settings.support import Raw, autopilot_stack

if TYPE_CHECKING:
    from gke_llm_inference.settings import Finding

FITS = "fits"
TIGHT = "tight"
UNFIT = "does not fit"
LLAMA_70B = "meta-llama/Llama-3.1-70B-Instruct"
# With a warm compile cache and this share, Gemma's whole context fits one L4, and with a cold one it does not.
CACHED = {"gpuMemoryUtilization": 0.91}
# The one thing that outlives a pod: a cache that its image brings, where no volume is mounted.
IN_IMAGE = {"image": "example.com/vllm/vllm-openai:v0.26.0", "extraEnv": {"VLLM_CACHE_ROOT": "/opt/compiled"}}


def strict(**server: Any) -> Raw:
    """Autopilot with Gemma 7B on one L4, refused where it does not fit; `server` changes or adds keys."""
    return autopilot_stack(**{"allowUnfit": False, **server})


def verdict_of(**server: Any) -> str:
    """The verdict on that server, which is planned."""
    (plan,) = planned(strict(**server)).servers
    assert plan.memory is not None
    return plan.memory.verdict


def fit_warnings(**server: Any) -> list[Finding]:
    """What is told of the memory of that server, which is planned."""
    return [warning for warning in planned(strict(**server)).warnings if warning.path == "servers.gemma"]


def with_changes(changes: tuple[tuple[str, str | int | float | bool], ...]) -> Raw:
    """The settings of an alternative as they stand in a configuration."""
    server: Raw = {}
    for name, value in changes:
        target, _, key = name.rpartition(".")
        (server.setdefault(target, {}) if target else server)[key] = value
    return server


def test_gemma_7b_at_its_own_context_is_refused_on_one_l4() -> None:
    problem = only_problem(strict())
    assert problem.path == "servers.gemma"
    assert problem.what == "does not fit 1 × nvidia-l4"
    assert "one request of 8192 tokens needs 3.50 GiB of KV cache" in problem.why
    assert "15.91 GiB of weights" in problem.why
    alternatives = on_autopilot().alternatives
    assert problem.fix == "; or ".join(found.what for found in alternatives[:3])
    assert problem.fix.startswith("FP8 weights, quantized on load; or ")


def test_allowed_it_is_planned_with_the_same_finding_as_a_warning() -> None:
    assert fit_warnings(allowUnfit=True) == [replace(only_problem(strict()), severity="warning")]
    assert verdict_of(allowUnfit=True) == UNFIT


def test_following_the_first_proposal_gives_a_plan_without_a_warning() -> None:
    first = on_autopilot().alternatives[0]
    changes = with_changes(first.changes)
    assert changes
    assert verdict_of(**changes) == first.plan.verdict == FITS
    assert fit_warnings(**changes) == []


def test_every_proposal_of_settings_can_be_followed() -> None:
    for found in on_autopilot().alternatives:
        assert found.gpus in CATALOG.accelerators[found.accelerator or ""].autopilot_maxima, found.what
        if found.changes:
            assert verdict_of(**with_changes(found.changes)) == found.plan.verdict, found.what


@pytest.mark.parametrize(
    "server",
    [
        {"maxModelLen": 4096},
        {"model": "casperhansen/gemma-7b-it-awq"},
        {"accelerator": {"memoryMib": 40_000}},
        {"accelerator": {"count": 2}},
        {"kvCacheDtype": "fp8_e4m3", "gpuMemoryUtilization": 0.88},
    ],
    ids=["shorter context", "AWQ checkpoint", "more memory", "two GPUs", "FP8 KV cache"],
)
def test_what_fits_is_planned_without_a_word(server: Raw) -> None:
    assert verdict_of(**server) == FITS
    assert fit_warnings(**server) == []
    assert on_autopilot(**server).alternatives == ()


def test_less_memory_than_the_catalog_has_it_makes_a_server_unfit() -> None:
    assert only_problem(strict(maxModelLen=4096, accelerator={"memoryMib": 20_000})).path == "servers.gemma"


def test_what_is_tight_is_a_warning_with_alternatives() -> None:
    tight = {"gpuMemoryUtilization": 0.9, "compileCache": "warm", **IN_IMAGE}
    (warning,) = fit_warnings(**tight)
    assert warning.what == "is tight on 1 × nvidia-l4"
    assert warning.why
    assert warning.fix == "; or ".join(found.what for found in on_autopilot(**tight).alternatives[:3])
    assert verdict_of(**tight) == TIGHT


@pytest.mark.parametrize("server", [{"version": "0.10.0"}, {"server": "tgi"}], ids=["vLLM 0.10.0", "TGI"])
def test_a_near_miss_of_what_was_not_measured_is_a_warning(server: Raw) -> None:
    (warning,) = fit_warnings(**server)
    assert warning.what == "does not fit 1 × nvidia-l4"
    (plan,) = planned(strict(**server)).servers
    assert plan.memory is not None
    assert (plan.memory.verdict, plan.memory.calibrated) == (UNFIT, False)
    assert 0 < plan.memory.needed_mib - plan.memory.state.kv_cache_mib <= plan.memory.error_margin_mib
    assert plan.remarks[0].endswith("; estimated, not measured")


@pytest.mark.parametrize(
    "server",
    [
        {"model": LLAMA_70B, "version": "0.10.0"},
        {"model": LLAMA_70B, "server": "tgi"},
        {"model": LLAMA_70B, "accelerator": {"count": 2}},
        {"model": "google/gemma-3-27b-it"},
        {"model": "mistralai/Mixtral-8x7B-Instruct-v0.1"},
    ],
    ids=["vLLM 0.10.0", "TGI", "two GPUs", "vision tower", "experts"],
)
def test_a_far_miss_is_refused_whether_measured_or_not(server: Raw) -> None:
    assert only_problem(strict(**server, maxModelLen=512)).path == "servers.gemma"


@pytest.mark.parametrize(
    "version",
    [
        "0.10.0",
        "0.26.0",
    ],
)
def test_a_budget_beyond_what_is_free_is_refused_in_every_version(version: str) -> None:
    problem = only_problem(strict(version=version, gpuMemoryUtilization=1, maxModelLen=1024))
    assert "free" in problem.why


@pytest.mark.parametrize(
    ("server", "verdict"),
    [
        ({"presets": ["fp8"]}, FITS),
        ({"gpuMemoryUtilization": 0.9, "compileCache": "warm", **IN_IMAGE}, TIGHT),
        ({}, UNFIT),
    ],
    ids=[FITS, TIGHT, UNFIT],
)
def test_remarks_begin_with_the_verdict(server: Raw, verdict: str) -> None:
    plan = on_autopilot(**server)
    assert plan.memory is not None
    assert bool(plan.decisions) == ("presets" in server)
    assert plan.remarks == (plan.memory.summary, plan.start_summary, *map(str, plan.decisions))
    assert plan.remarks[0].startswith(f"{verdict}: ")


def test_a_warm_compile_cache_fits_where_a_cold_one_does_not() -> None:
    for cold in ({}, {"compileCache": "cold"}):
        assert only_problem(strict(**CACHED, **cold)).what == "does not fit 1 × nvidia-l4"
    assert verdict_of(**CACHED, compileCache="warm", **IN_IMAGE) == FITS
    assert fit_warnings(**CACHED, compileCache="warm", **IN_IMAGE) == []


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"image": IN_IMAGE["image"]},
        {"extraEnv": IN_IMAGE["extraEnv"]},
        {"image": IN_IMAGE["image"], "extraEnv": {"VLLM_CACHE_ROOT": "/home/vllm/.cache/vllm"}},
        {"image": IN_IMAGE["image"], "extraEnv": {"VLLM_CACHE_ROOT": "/home/vllm"}},
        {"image": IN_IMAGE["image"], "extraEnv": {"VLLM_CACHE_ROOT": "/models/cache"}},
        {"image": IN_IMAGE["image"], "extraEnv": {"VLLM_CACHE_ROOT": "cache"}},
    ],
)
@pytest.mark.parametrize("share", [0.9, 0.91])
def test_a_warm_compile_cache_that_nothing_keeps_softens_no_refusal(kept: Raw, share: float) -> None:
    said = {"gpuMemoryUtilization": share, "compileCache": "warm", **kept}
    assert only_problem(strict(**said)).what == "does not fit 1 × nvidia-l4"
    stack = planned(strict(**said, allowUnfit=True))
    assert stack.servers[0].memory is not None
    assert stack.servers[0].memory.verdict == UNFIT
    (warning,) = [one for one in stack.warnings if one.path == "servers.gemma.compileCache"]
    assert warning.what == "warm has no effect: nothing keeps the compile cache"


def test_no_proposal_rests_on_a_compile_cache_that_is_kept() -> None:
    changed = [key for found in on_autopilot(**CACHED).alternatives for key, _ in found.changes]
    assert changed
    assert "compileCache" not in changed


@pytest.mark.parametrize(("runner", "value"), [("V1", "0"), ("V2", "1"), (None, None)])
def test_the_model_runner_is_chosen_by_its_variable(runner: str | None, value: str | None) -> None:
    chosen = {} if runner is None else {"modelRunner": runner}
    plan = on_autopilot(**chosen)
    assert dict(plan.environment).get("VLLM_USE_V2_MODEL_RUNNER") == value


@pytest.mark.parametrize("runner", ["V1", "V2"])
def test_memory_is_planned_for_the_model_runner_that_was_chosen(runner: str) -> None:
    plan = on_autopilot(modelRunner=runner)
    assert plan.memory is not None
    assert plan.memory.limits.runner == runner


def test_memory_is_planned_for_arguments_of_ones_own() -> None:
    assert verdict_of(extraArgs=["--max-model-len=4096"]) == FITS
    assert only_problem(strict(maxModelLen=4096, extraArgs=["--gpu-memory-utilization=0.7"])).path == "servers.gemma"


# GPUs that the catalog lacks


def test_a_gpu_that_the_catalog_lacks_is_planned_on_nodes_that_exist_already_once_its_memory_is_told() -> None:
    gpu = {"type": "nvidia-h20-96gb", "memoryMib": 97_000}
    plan = planned(existing_stack({"gemma": {"server": "vllm", "model": "google/gemma-7b-it", "accelerator": gpu}}))
    (server,) = plan.servers
    assert server.memory is not None
    assert (server.memory.verdict, server.memory.total_mib, server.machine_type) == (FITS, 97_000, None)
    assert server.node_selector == {"cloud.google.com/gke-accelerator": "nvidia-h20-96gb"}
    (warning,) = plan.warnings
    assert (warning.path, warning.what) == (
        "servers.gemma.accelerator.type",
        "nvidia-h20-96gb is not in the catalog",
    )


def test_its_memory_still_refuses_what_does_not_fit_and_proposes_more_of_it() -> None:
    gpu = {"type": "nvidia-rtx-4000", "memoryMib": 20_000}
    raw = existing_stack({"gemma": {"server": "vllm", "model": "google/gemma-7b-it", "accelerator": gpu}})
    problem = only_problem(raw)
    assert problem.what == "does not fit 1 × nvidia-rtx-4000"
    assert "the checkpoint" in problem.fix


def test_without_its_memory_or_without_nodes_it_is_refused() -> None:
    server = {"server": "vllm", "model": "google/gemma-7b-it"}
    unknown = only_problem(existing_stack({"gemma": {**server, "accelerator": {"type": "nvidia-l5"}}}))
    assert (unknown.path, unknown.what) == (
        "servers.gemma.accelerator.type",
        "nvidia-l5 is not a GPU of the catalog",
    )
    assert "did you mean nvidia-l4?" in unknown.fix
    told = {**server, "accelerator": {"type": "nvidia-l5", "memoryMib": 40_000}}
    homeless = only_problem(autopilot_stack(accelerator=told["accelerator"]))
    assert homeless.what == "the catalog has no machine type with nvidia-l5"
    assert homeless.fix.startswith("use an existing Standard cluster that has such nodes, or one of: ")


# Settings that decide on memory, wherever they stand


def test_a_share_that_is_not_free_at_start_is_answered_with_the_largest_that_is() -> None:
    problem = only_problem(strict(maxModelLen=4096, gpuMemoryUtilization=1))
    assert "are free of 22.03 GiB at start" in problem.why
    assert problem.fix == "gpuMemoryUtilization 0.9"
    assert verdict_of(maxModelLen=4096, gpuMemoryUtilization=0.9) == FITS
    higher = only_problem(strict(maxModelLen=4096, gpuMemoryUtilization=0.95))
    assert higher.why.startswith("at a restart in its pod, the profile passes")


def test_the_model_runner_is_not_chosen_behind_the_plans_back() -> None:
    problem = only_problem(strict(maxModelLen=4096, extraEnv={"VLLM_USE_V2_MODEL_RUNNER": "1"}))
    assert (problem.path, problem.fix) == ("servers.gemma.extraEnv.VLLM_USE_V2_MODEL_RUNNER", "set modelRunner instead")


def test_a_near_miss_is_shown_as_one() -> None:
    plan = on_autopilot().memory
    assert plan is not None
    largest = plan.largest_context
    short = on_autopilot(maxModelLen=largest + 16).memory
    assert short is not None
    needed, left = short.needed_mib, short.state.kv_cache_mib
    assert needed > left
    assert f"{left / 1024:.2f} GiB" in short.reason or f"{left:.1f} MiB" in short.reason
    assert floored(0.999) == 0.9


@pytest.mark.parametrize("parameters", [40 * 10**9, 150 * 10**9])
def test_weights_beyond_the_budget_are_not_a_near_miss(parameters: int) -> None:
    # Estimated with several GPUs, so that a near miss is a warning: what weights lack of the budget counts as missing.
    numbers = architecture(parameters=parameters, layers=40, hiddenSize=5120, attentionHeads=40)
    gpus = {"type": "nvidia-h100-80gb", "count": 4, "memoryMib": int(parameters * 2 / 2**20 / 4 * 1.03)}
    server = {"server": "vllm", "model": "me/mine", "architecture": numbers, "accelerator": gpus, "maxModelLen": 256}
    problem = only_problem(existing_stack({"it": server}))
    assert problem.what == "does not fit 4 × nvidia-h100-80gb"
