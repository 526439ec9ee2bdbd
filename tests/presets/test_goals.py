"""What goals choose for the server, version, GPU and checkpoint, and that they never break what works without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.planning.optimization import SIMULATIONS
from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, outcome_of, standard_stack
from tests.presets.support import (
    FALCON,
    GEMMA,
    GEMMA2_FP8,
    GEMMA3_27B,
    LLAMA_8B,
    LLAMA_8B_AWQ,
    LLAMA_13B_GPTQ,
    LLAMA_70B,
    LLAMA_70B_AWQ,
    MIXTRAL,
    TGI_VERSIONS,
    VLLM_VERSIONS,
    arguments_of,
    decisions_of,
    described,
    few_simulations,
    only_problem,
    outcome,
    plan_of,
)
from tests.settings.support import PROPERTY, autopilot_stack

if TYPE_CHECKING:
    from gke_llm_inference.planning.plan import GoalChoice

pytestmark = pytest.mark.searches

GOALS = ("latency", "throughput", "cost")
BIG = described(parameters=100 * 10**9, attentionHeads=64, headDim=128, maxPositions=32768)
A100, A100_80, H100 = ({"type": name} for name in ("nvidia-tesla-a100", "nvidia-a100-80gb", "nvidia-h100-80gb"))
CHAT = {"profile": "chat", "requestRate": 1}


def choice_of(**server: Any) -> GoalChoice:
    choice = plan_of(**server).choice
    assert choice is not None
    return choice


def given_by(**server: Any) -> dict[str, Any]:
    return dict(choice_of(**server).settings)


# What each goal takes


@pytest.mark.parametrize(
    ("model", "gpus"),
    [({"model": GEMMA}, 1), ({"model": MIXTRAL}, 2), ({"model": LLAMA_70B_AWQ}, 4), ({"model": LLAMA_13B_GPTQ}, 1)],
    ids=["7B", "47B", "70B awq", "13B gptq"],
)
def test_the_cost_goal_takes_the_fewest_l4s_that_serve_the_model(model: dict[str, Any], gpus: int) -> None:
    plan = plan_of(server="vllm", version="0.26.0", **model, presets=["cost"])
    assert plan.gpu_count == gpus
    assert f"--tensor-parallel-size={gpus}" in plan.arguments
    assert plan.memory is not None
    assert plan.memory.has_room
    assert (plan.memory.verdict == "estimated") is (model["model"] == MIXTRAL)


@pytest.mark.parametrize(
    ("gpu", "model", "gpus"),
    [(A100, GEMMA3_27B, 1), (A100_80, LLAMA_70B_AWQ, 1), (H100, LLAMA_70B, 1)],
    ids=["A100 27B", "A100 80 GB 70B awq", "H100 70B"],
)
def test_the_cost_goal_takes_the_fewest_of_other_gpus_too(gpu: dict[str, Any], model: str, gpus: int) -> None:
    assert plan_of(accelerator=gpu, model=model, presets=["cost"]).gpu_count == gpus


def test_latency_buys_time_that_cost_does_not() -> None:
    asked = {"model": LLAMA_8B, "workload": CHAT}
    fast, cheap = choice_of(**asked, presets=["latency"]), choice_of(**asked, presets=["cost"])
    assert int(dict(fast.settings)["accelerator.count"]) > int(dict(cheap.settings)["accelerator.count"])
    assert fast.why.startswith("least time of a mean request for 1 requests a second of chat: ")
    assert cheap.why.startswith("least USD a month for 1 requests a second of chat: ")


def test_a_server_without_replicas_is_chosen_for_as_if_no_load_were_known() -> None:
    none = given_by(model=LLAMA_8B, presets=["cost"], replicas=0, workload=CHAT)
    assert "replicas" not in none
    assert none == given_by(model=LLAMA_8B, presets=["cost"], replicas=1, workload={"profile": "chat"})


def test_what_only_waits_is_not_simulated() -> None:
    chosen = choice_of(model=LLAMA_8B, presets=["latency"], replicas=1, workload={"concurrency": 100_000})
    assert "first token " in chosen.why


def test_a_load_that_no_number_of_replicas_serves_is_told() -> None:
    plan = plan_of(model=LLAMA_8B, presets=["cost"], workload={"profile": "chat", "requestRate": 100_000})
    assert plan.choice is None
    (decision,) = (one for one in map(str, plan.decisions) if one.startswith("cost: "))
    assert decision.startswith("cost: accelerator.count: 2 (nothing that fits serves the load, so the fewest GPUs: ")


def test_objectives_take_the_cheapest_that_meets_them() -> None:
    asked = {"model": LLAMA_8B, "workload": CHAT}
    loose = {"tpot": {"milliseconds": 150}}
    tight = {"tpot": {"milliseconds": 30}}
    one = plan_of(**asked, presets=["objectives"], objectives=loose)
    other = plan_of(**asked, presets=["objectives"], objectives=tight)
    assert one.gpu_count * one.replicas < other.gpu_count * other.replicas


def test_objectives_that_are_not_stated_are_a_problem() -> None:
    problem = only_problem(presets=["fp8", "objectives"])
    assert (problem.path, problem.what) == ("servers.gemma.presets[1]", "objectives has none to meet")
    assert problem.fix == "state the server's objectives, or use the preset cost"


def test_objectives_that_nothing_meets_are_refused_with_the_nearest_and_a_warning_where_that_is_allowed() -> None:
    asked = {"presets": ["objectives"], "objectives": {"tpot": {"milliseconds": 1}}, "workload": CHAT}
    problem = only_problem(**asked)
    assert (problem.path, problem.what) == ("servers.gemma.objectives", "nothing that the stack may have meets them")
    assert "a lone request takes" in problem.why
    assert "nearest is " in problem.fix
    allowed = outcome(**asked, allowSlow=True)
    assert not isinstance(allowed, Refusal)
    assert [one.what for one in allowed.warnings if one.path == "servers.gemma.objectives"] == [problem.what]
    choice = allowed.servers[0].choice
    assert choice is not None
    assert choice.why.startswith("nearest to the objectives, which nothing meets: ")


def test_another_goal_takes_the_nearest_where_nothing_meets_the_objectives() -> None:
    asked = {"presets": ["cost"], "objectives": {"tpot": {"milliseconds": 1}}, "allowSlow": True}
    assert choice_of(**asked).why.startswith("nearest to the objectives, which nothing meets: ")


def test_of_two_goals_the_first_decides_and_the_second_among_what_it_cannot_tell_apart() -> None:
    asked = {"model": LLAMA_8B, "workload": CHAT}
    first = choice_of(**asked, presets=["cost", "latency"])
    alone = choice_of(**asked, presets=["cost"])
    assert first.goals == ("cost", "latency")
    assert dict(first.settings)["accelerator.count"] == dict(alone.settings)["accelerator.count"]
    assert choice_of(**asked, presets=["latency", "cost"]).goals == ("latency", "cost")


# What the stack states


@pytest.mark.parametrize("server", ["vllm", "tgi"])
@pytest.mark.parametrize("goal", GOALS)
def test_a_number_of_gpus_that_the_stack_states_is_left_alone(goal: str, server: str) -> None:
    assert plan_of(server=server, accelerator={"count": 4}, presets=[goal]).gpu_count == 4
    assert plan_of(server=server, model=LLAMA_70B, accelerator={"count": 1}, presets=[goal]).gpu_count == 1
    assert plan_of(server=server, presets=["tensor-parallel", goal]).gpu_count == 2


@pytest.mark.parametrize(
    ("goal", "server", "kept"),
    [
        ("cost", {"maxModelLen": 2048}, "--max-model-len=2048"),
        ("throughput", {"maxNumSeqs": 33}, "--max-num-seqs=33"),
        ("latency", {"maxNumBatchedTokens": 999}, "--max-num-batched-tokens=999"),
        ("cost", {"quantization": "bitsandbytes", "model": MIXTRAL}, "--quantization=bitsandbytes"),
        ("throughput", {"kvCacheDtype": "fp8_e5m2", "gpuMemoryUtilization": 0.88}, "--kv-cache-dtype=fp8_e5m2"),
        ("cost", {"extraArgs": ["--max-model-len=2k"]}, "--max-model-len=2k"),
    ],
)
def test_a_limit_or_format_that_the_stack_states_is_kept(goal: str, server: dict[str, Any], kept: str) -> None:
    plan = plan_of(**server, presets=[goal])
    assert kept in plan.arguments
    key = next(iter(server))
    assert plan.choice is not None
    assert key not in dict(plan.choice.settings)


def test_a_model_that_is_more_than_its_id_is_not_exchanged_for_a_checkpoint() -> None:
    asked = {"model": GEMMA, "accelerator": {"type": "nvidia-l4", "count": 1}, "presets": ["latency"]}
    assert given_by(**asked)["model"] == "casperhansen/gemma-7b-it-awq"
    assert "model" not in given_by(**asked, revision="main")
    volume = {"claim": "models", "storage": "filestore"}
    assert "model" not in given_by(**asked, modelVolume=volume)


def test_clients_ask_for_a_checkpoint_by_the_name_that_the_stack_states() -> None:
    asked = {"model": GEMMA, "accelerator": {"type": "nvidia-l4", "count": 1}, "presets": ["latency"]}
    plan = plan_of(**asked)
    assert plan.model == "casperhansen/gemma-7b-it-awq"
    assert f"--served-model-name={GEMMA}" in plan.arguments
    assert "--served-model-name=mine" in plan_of(**asked, servedModelName="mine").arguments


def test_the_settings_of_a_choice_keep_it() -> None:
    asked = {"model": LLAMA_8B, "workload": CHAT}
    chosen = plan_of(**asked, presets=["cost"])
    assert chosen.choice is not None
    stated: dict[str, Any] = {}
    for key, value in chosen.choice.settings:
        outer, _, inner = key.partition(".")
        if inner:
            stated.setdefault(outer, {})[inner] = value
        else:
            stated[outer] = value
    pinned = plan_of(**{**asked, **stated})
    assert (pinned.arguments, pinned.gpu_count, pinned.replicas) == (
        chosen.arguments,
        chosen.gpu_count,
        chosen.replicas,
    )


# Checkpoints, versions, and what cannot be predicted


@pytest.mark.parametrize("version", TGI_VERSIONS)
def test_tgi_is_told_the_format_of_a_checkpoint(version: str) -> None:
    asked = {"server": "tgi", "version": version, "presets": ["cost"]}
    assert "--quantize=awq" in arguments_of(**asked, model=LLAMA_8B_AWQ)
    assert "--quantize=gptq" in arguments_of(**asked, model=LLAMA_13B_GPTQ)
    assert not any(text.startswith("--max-num-seqs") for text in arguments_of(**asked, model=GEMMA2_FP8))


def test_a_goal_does_not_take_gptq_for_gemma_where_the_guide_rules_it_out() -> None:
    said = choice_of(version="0.10.0", model=GEMMA, accelerator={"type": "nvidia-l4", "count": 1}, presets=["cost"])
    assert "GPTQ" not in said.what + "".join(one.what for one in said.runners_up)


def test_a_goal_does_not_take_an_fp8_kv_cache_that_tgi_has_no_kernel_for() -> None:
    narrow = described(headDim=80)
    for server in ({"model": FALCON}, narrow):
        choice = plan_of(server="tgi", **server, presets=["throughput"]).choice
        assert choice is None or "FP8 KV" not in choice.what + "".join(one.what for one in choice.runners_up)


def test_where_speed_is_not_known_a_goal_takes_the_fewest_gpus_and_says_so() -> None:
    facts = CATALOG.performance
    unknown = facts.model_copy(update={"gpus": {"nvidia-h100-80gb": facts.gpus["nvidia-h100-80gb"]}})
    catalog = CATALOG.model_copy(update={"read_performance": lambda: unknown})
    raw = autopilot_stack(model=GEMMA3_27B, accelerator={"type": "nvidia-l4"}, presets=["cost"])
    plan = outcome_of(raw, catalog=catalog)
    assert not isinstance(plan, Refusal)
    (server,) = plan.servers
    assert server.choice is None
    (said,) = [str(one) for one in server.decisions]
    assert said.startswith(f"cost: accelerator.count: {server.gpu_count} (the speed of nvidia-l4 cannot be predicted, ")


def test_where_no_number_is_enough_a_goal_takes_the_one_that_holds_the_longest_context() -> None:
    model = described(parameters=140 * 10**9, maxPositions=131_072, kvHeads=32, headDim=128)
    asked = {**model, "quantization": "fp8", "kvCacheDtype": "auto", "maxModelLen": 131_072, "presets": ["latency"]}
    memory = plan_of(**asked, accelerator={"type": "nvidia-l4", "count": 8}).memory
    assert memory is not None
    assert 0 < memory.largest_context < 131_072
    chosen = plan_of(**asked)
    assert (chosen.gpu_count, chosen.choice) == (8, None)
    (said,) = [text for text in decisions_of(**asked) if "accelerator.count" in text]
    assert f"8 hold {memory.largest_context:,}" in said


@pytest.mark.parametrize("goal", [*GOALS, "objectives"])
def test_what_a_goal_says_has_its_figures_and_how_far_they_may_be_off(goal: str) -> None:
    choice = choice_of(presets=[goal], objectives={"tpot": {"milliseconds": 190}} if goal == "objectives" else None)
    said = "\n".join(map(str, choice.decisions))
    assert said.startswith(f"{goal}: takes {choice.what} (least ")
    assert "USD per million output tokens (± " in said
    assert "at p95 (± " in said
    assert "the stack states no workload, so it is planned for the profile chat" in said
    assert f"{goal}: sets accelerator.count: " in said
    assert 0 < len(choice.runners_up) <= 3
    assert all(one.why for one in choice.runners_up)


# Where the stack has GPUs


def test_a_list_of_gpus_is_chosen_from_and_nothing_else() -> None:
    raw = autopilot_stack(model=LLAMA_8B, accelerator=["nvidia-l4"], presets=["latency"], workload=CHAT)
    plan = outcome_of(raw)
    assert not isinstance(plan, Refusal), str(plan)
    assert plan.servers[0].gpu_type == "nvidia-l4"
    counted = autopilot_stack(
        model=LLAMA_8B,
        accelerator=["nvidia-a100-80gb", {"type": "nvidia-tesla-a100", "count": 2}],
        presets=["cost"],
        workload=CHAT,
    )
    plan = outcome_of(counted)
    assert not isinstance(plan, Refusal), str(plan)
    assert plan.servers[0].gpu_type == "nvidia-a100-80gb"


def test_a_list_of_gpus_needs_a_goal() -> None:
    (problem,) = refused(autopilot_stack(accelerator=["nvidia-l4", "nvidia-tesla-a100"]))
    assert (problem.path, problem.what) == ("servers.gemma.accelerator", "is a list, and no goal chooses from it")
    assert problem.fix == "add a goal such as cost to presets, or name one GPU"


def test_an_unknown_gpu_of_a_list_is_refused_with_the_nearest() -> None:
    (problem,) = refused(autopilot_stack(accelerator=["nvidia-l4", "nvidia-l44"], presets=["cost"]))
    assert (problem.path, problem.fix) == ("servers.gemma.accelerator.choices[1].type", "did you mean nvidia-l4?")


def test_on_a_standard_cluster_a_goal_takes_gpus_of_the_stacks_own_pools() -> None:
    pools = {"l4": {"accelerator": {"type": "nvidia-l4", "count": 2}, "maxNodes": 4}}
    server = {"server": "vllm", "model": LLAMA_8B, "presets": ["latency"], "workload": CHAT}
    plan = outcome_of(standard_stack(pools, {"gemma": server}))
    assert not isinstance(plan, Refusal), str(plan)
    assert (plan.servers[0].gpu_type, plan.servers[0].node_pool) == ("nvidia-l4", "l4")
    assert plan.servers[0].gpu_count * plan.servers[0].replicas <= 8


def test_other_gpus_that_would_be_better_are_advised_and_not_taken() -> None:
    raw = autopilot_stack(
        model=LLAMA_8B,
        accelerator={"type": "nvidia-l4"},
        presets=["objectives"],
        objectives={"tpot": {"milliseconds": 40}},
        workload={"profile": "chat", "requestRate": 4},
    )
    plan = outcome_of(raw)
    assert not isinstance(plan, Refusal), str(plan)
    (server,) = plan.servers
    assert server.gpu_type == "nvidia-l4"
    assert server.choice is not None
    assert "the stack states other GPUs; " in server.choice.advice
    assert server.choice.advice.endswith(" less USD a month")


def test_replicas_are_chosen_for_a_stated_load_and_only_there() -> None:
    asked = {"model": LLAMA_8B, "accelerator": {"type": "nvidia-l4", "count": 1}, "presets": ["cost"]}
    few = plan_of(**asked, workload={"profile": "chat", "requestRate": 1})
    many = plan_of(**asked, workload={"profile": "chat", "requestRate": 10})
    assert 1 <= few.replicas < many.replicas
    assert plan_of(**asked).replicas == 1
    assert plan_of(**asked, replicas=40, workload={"profile": "chat", "requestRate": 10}).replicas == 40


def test_servers_that_are_alike_are_searched_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from gke_llm_inference.planning import optimization as goals

    searched = []
    choose = goals.choose

    def counted(server: Any, *rest: Any) -> Any:
        searched.append(server.key)
        return choose(server, *rest)

    monkeypatch.setattr(goals, "choose", counted)
    server = {"server": "vllm", "model": GEMMA, "presets": ["cost"]}
    raw = autopilot_stack()
    plan = outcome_of({**raw, "servers": {"a": server, "b": server, "c": {**server, "replicas": 2}}})
    assert not isinstance(plan, Refusal)
    assert searched == ["a", "c"]
    assert plan.servers[0].choice == plan.servers[1].choice


# A goal never breaks a stack

_LIMITS = st.sampled_from([1, 2, 16, 31, 32, 33, 1024, 2047, 2048, 4095, 4096, 4097, 8191, 8192, 131072])
_MODELS = st.sampled_from(
    [
        *({"model": name} for name in (*CATALOG.models, *CATALOG.checkpoints)),
        *(described(checkpoint=name) for name in ("none", "fp8", "squeezellm")),
        described(maxPositions=100),
        described(attentionHeads=71, kvHeads=1),
        described(family="falcon"),
        BIG,
    ]
)
_COMMON = {
    "accelerator": st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from(list(CATALOG.accelerators)), "count": st.sampled_from([1, 2, 4, 8])}
    ),
    "maxModelLen": _LIMITS,
    "maxOutputTokens": _LIMITS,
    "quantization": st.sampled_from(["fp8", "awq", "gptq", "bitsandbytes"]),
    "kvCacheDtype": st.sampled_from(["auto", "fp8_e4m3", "fp8_e5m2"]),
    "speculativeTokens": st.integers(1, 16),
}
_TECHNIQUES = st.lists(
    st.sampled_from(["fp8", "tensor-parallel", "token-limits", "prefix-caching", "fp8-kv-cache-e5m2"]),
    max_size=2,
    unique=True,
)
SERVERS = st.one_of(
    st.fixed_dictionaries(
        {"server": st.just("vllm"), "version": st.sampled_from(VLLM_VERSIONS)},
        optional={
            **_COMMON,
            "maxNumSeqs": _LIMITS,
            "maxNumBatchedTokens": _LIMITS,
            "chunkedPrefill": st.booleans(),
            "prefixCaching": st.booleans(),
        },
    ),
    st.fixed_dictionaries(
        {"server": st.just("tgi"), "version": st.sampled_from(TGI_VERSIONS)},
        optional={**_COMMON, "maxInputTokens": _LIMITS, "maxBatchPrefillTokens": _LIMITS},
    ),
)
# Every example is a search of its own.
_FEW = settings(PROPERTY, max_examples=12)


@_FEW
@given(server=SERVERS, model=_MODELS, techniques=_TECHNIQUES, goal=st.sampled_from(GOALS))
def test_a_goal_never_breaks_a_stack_that_works_without_it(
    server: dict[str, Any], model: dict[str, Any], techniques: list[str], goal: str
) -> None:
    without = outcome(**server, **model, presets=techniques)
    if isinstance(without, Refusal):
        return
    with few_simulations():
        with_goal = outcome(**server, **model, presets=[*techniques, goal])
    assert not isinstance(with_goal, Refusal), str(with_goal)
    # Whether the server fits is what a goal may well change.
    fit = "servers.gemma"
    assert {one for one in with_goal.warnings if one.path != fit} == {
        one for one in without.warnings if one.path != fit
    }


@_FEW
@given(server=SERVERS, model=_MODELS, goal=st.sampled_from(GOALS))
def test_a_goal_leaves_what_the_stack_says_as_it_is(server: dict[str, Any], model: dict[str, Any], goal: str) -> None:
    with few_simulations():
        without, with_goal = outcome(**server, **model), outcome(**server, **model, presets=[goal])
    if isinstance(without, Refusal) or isinstance(with_goal, Refusal):
        return
    derived = ("--tensor-parallel-size=", "--num-shard=", "--max-input-tokens=", "--model-id=", model["model"])
    explicit = {text for text in without.servers[0].arguments if not text.startswith(derived)}
    assert explicit <= set(with_goal.servers[0].arguments)
    if "count" in server.get("accelerator", {}):
        assert with_goal.servers[0].gpu_count == without.servers[0].gpu_count


@pytest.mark.parametrize(
    ("goal", "server"),
    [
        pytest.param("throughput", {"server": "tgi", "version": "3.0.0"}, id="TGI in between"),
        pytest.param(
            "cost",
            {"version": "0.10.0", **described(checkpoint="bitsandbytes", parameters=70 * 10**9)},
            id="bitsandbytes checkpoint",
        ),
    ],
)
def test_a_goal_chooses_nothing_that_is_refused_then(goal: str, server: dict[str, Any]) -> None:
    plan_of(**server)
    plan_of(**server, presets=[goal])


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            standard_stack({"l4": {}}, {"gemma": {"server": "vllm", "model": GEMMA3_27B}}), id="pool with one GPU"
        ),
        pytest.param(
            autopilot_stack(model=GEMMA3_27B, resources={"cpu": 30}),
            id="requests of one GPU's machine",
        ),
    ],
)
def test_a_goal_chooses_no_gpus_that_the_stack_has_no_place_for(raw: dict[str, Any]) -> None:
    servers = {"gemma": {**raw["servers"]["gemma"], "presets": ["cost"]}}
    assert isinstance(outcome_of(raw), Refusal) or not isinstance(outcome_of({**raw, "servers": servers}), Refusal)


def refused(raw: dict[str, Any]) -> tuple[Any, ...]:
    result = outcome_of(raw)
    assert isinstance(result, Refusal), "the plan is not refused"
    return result.problems


def test_a_search_has_a_bound() -> None:
    assert SIMULATIONS == 100
