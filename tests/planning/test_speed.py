"""How fast a server of a stack is planned to be, whether that is enough, and what would be."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.planning.performance import plan as performance_plan
from gke_llm_inference.planning.performance.bands import error_band
from gke_llm_inference.planning.performance.replica import HEADROOM, replicas_for, usd_per_million
from gke_llm_inference.settings import Finding, Refusal, parse_settings
from tests.planning.support import (
    CATALOG,
    IDENTITY,
    QWEN,
    existing_stack,
    only_problem,
    only_server,
    outcome_of,
    planned,
    problems_of,
    standard_stack,
)
from tests.settings.support import PROPERTY, Raw, autopilot_stack

pytestmark = pytest.mark.searches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gke_llm_inference.planning.performance.plan import PerformancePlan

L4_USD_PER_HOUR = 0.8536
LARGE = 1_000_000.0
"""Milliseconds that every server stays below."""
NOISE = 0.05
"""Share by which batches that form differently may move a figure, as docs/speed.md states it."""
FEW = hypothesis.settings(PROPERTY, max_examples=10)


def stack(gpu: str = "nvidia-l4", nodes: int = 8, **server: Any) -> Raw:
    pools = {"gpu": {"accelerator": {"type": gpu, "count": 1}, "maxNodes": nodes}}
    asked = {**QWEN, "maxModelLen": 16384, "accelerator": {"type": gpu, "count": 1}, **server}
    return standard_stack(pools, {"qwen": asked})


def performance_of(raw: Raw) -> PerformancePlan:
    found = only_server(raw).performance
    assert found is not None
    return found


def at(milliseconds: float, percentile: float = 95) -> Raw:
    return {"percentile": percentile, "milliseconds": milliseconds}


def warnings_at(raw: Raw, path: str) -> list[Finding]:
    return [warning for warning in planned(raw).warnings if warning.path.startswith(path)]


CHAT = {"profile": "chat", "requestRate": 1.0}
LIGHT = performance_of(stack(workload=CHAT, replicas=4))


def test_nothing_is_simulated_where_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def unread(*_: Any, **__: Any) -> Any:
        raise AssertionError("a load is looked at")

    monkeypatch.setattr("gke_llm_inference.planning.performance.plan.plan_performance", unread)
    monkeypatch.setattr("gke_llm_inference.planning.performance.replica.simulate", unread)
    catalog = load_catalog().model_copy(update={"read_workloads": unread})
    plan = plan_stack(parse_settings(stack(replicas=2)), IDENTITY, catalog)
    assert [server.performance for server in plan.servers] == [None]


def test_each_replica_gets_its_share_and_the_price_is_that_of_its_tokens() -> None:
    plan = LIGHT
    assert (plan.point.load, plan.keeps_up, plan.verdict, plan.judgements) == (0.25, True, None, ())
    workload = plan.workload
    assert (workload.name, workload.inputs.p50, workload.outputs.p90) == ("chat", 1020, 424)
    assert plan.output_tokens_per_second == pytest.approx(0.25 * workload.mean_output)
    assert plan.input_tokens_per_second == pytest.approx(0.25 * workload.mean_input)
    expected = usd_per_million(L4_USD_PER_HOUR, 0.25 * workload.mean_output)
    assert plan.usd_per_million_output_tokens == pytest.approx(expected)
    assert plan.usd_per_million_input_tokens == pytest.approx(
        usd_per_million(L4_USD_PER_HOUR, 0.25 * workload.mean_input)
    )
    assert plan.highest is not None
    assert plan.needed == replicas_for(1.0, plan.highest.load)
    assert plan.point.ttft_ms.p50 <= plan.point.ttft_ms.p90 <= plan.point.ttft_ms.p99
    memory, facts = only_server(stack(workload=CHAT, replicas=4)).memory, CATALOG.performance
    assert memory is not None
    gpu = facts.gpus["nvidia-l4"]
    assert plan.basis == "transferred"
    assert plan.ttft == error_band("ttft_ms.p50", memory.request, gpu, facts)
    assert plan.tpot == error_band("tpot_ms.p50", memory.request, gpu, facts)
    assert plan.throughput == error_band("output_tokens_per_second", memory.request, gpu, facts)


def test_without_a_load_a_replica_is_planned_with_headroom() -> None:
    plan = performance_of(stack(workload={"profile": "rag"}))
    assert plan.highest is not None
    assert plan.point.load == pytest.approx(HEADROOM * plan.highest.load)
    assert plan.needed is None


def test_what_the_profile_says_gives_way_to_what_is_stated() -> None:
    plan = performance_of(
        stack(workload={"profile": "rag", "outputTokens": {"p50": 64}, "concurrency": 12}, replicas=3)
    )
    assert (plan.workload.inputs.p50, plan.workload.outputs.p50, plan.point.load) == (4096, 64, 4.0)


@pytest.mark.parametrize("objective", ["ttft", "tpot"])
def test_an_objective_is_met_only_with_the_error_band_to_spare(objective: str) -> None:
    latency, band = (LIGHT.point.ttft_ms, LIGHT.ttft) if objective == "ttft" else (LIGHT.point.tpot_ms, LIGHT.tpot)
    # Tails are less sure than the median.
    assert band.at(90).percent > band.percent
    band = band.at(90)
    predicted, share = latency.at(90), band.percent / 100
    name = objective.upper()

    def asked(milliseconds: float, **server: Any) -> Raw:
        return stack(workload=CHAT, replicas=4, objectives={objective: at(milliseconds, 90)}, **server)

    sure = asked(predicted * (1 + share) * 1.001)
    assert performance_of(sure).verdict == "meets"
    assert warnings_at(sure, "servers.qwen.objectives") == []

    near = asked(predicted * 1.001)
    (warning,) = warnings_at(near, "servers.qwen.objectives")
    assert warning.path == f"servers.qwen.objectives.{objective}"
    assert warning.what.startswith(f"may be missed: {name} p90 is ")
    assert f"(± {band.percent:.0f} %), and at most " in warning.what
    assert warning.why == (
        f"at 0.25 requests a second per replica, and the error band of ± {band.percent:.0f} % reaches beyond the "
        "objective"
    )

    (problem,) = problems_of(asked(predicted * (1 - share) * 0.9))
    assert (problem.path, problem.severity) == (f"servers.qwen.objectives.{objective}", "problem")
    assert problem.what.startswith(f"is missed: {name} p90 is ")


def test_objectives_that_are_missed_are_a_warning_where_the_stack_allows_it() -> None:
    asked: Raw = {"workload": CHAT, "replicas": 4, "objectives": {"tpot": at(1)}}
    (problem,) = problems_of(stack(**asked))
    (warning,) = warnings_at(stack(**asked, allowSlow=True), "servers.qwen.objectives")
    assert (warning.severity, warning.what, warning.why) == ("warning", problem.what, problem.why)


def test_an_objective_below_one_step_is_refused_with_the_steps_own_time() -> None:
    problem = only_problem(stack(workload=CHAT, replicas=4, objectives={"tpot": at(1)}))
    assert problem.path == "servers.qwen.objectives.tpot"
    assert problem.why.startswith("one step of a lone request takes ")
    assert problem.why.endswith(" ms already, and makes one token")
    assert problem.fix == "nothing that was tried meets the objectives; relax them, or ask gke-llm-inference optimize"
    problem = only_problem(stack(workload=CHAT, replicas=4, objectives={"ttft": at(2)}))
    assert problem.why.startswith("a lone prompt takes ")
    assert problem.why.endswith(" to its first token already")


def test_objectives_without_a_workload_are_those_of_chat_and_say_so() -> None:
    server = only_server(stack(objectives={"ttft": at(LARGE)}))
    assert server.performance is not None
    assert (server.performance.workload.name, server.performance.verdict) == ("chat", "meets")
    (decision,) = [one for one in server.decisions if one.origin == "objectives"]
    assert decision.what == "workload: {profile: chat}"
    assert decision.why.startswith("none is stated; chat is Azure/AzurePublicDataset")


def changed(raw: Raw, changes: Mapping[str, Any], pools: Raw) -> Raw:
    server: Raw = {**raw["servers"]["qwen"], "accelerator": dict(raw["servers"]["qwen"]["accelerator"])}
    for name, value in changes.items():
        if name.startswith("accelerator."):
            server["accelerator"][name.removeprefix("accelerator.")] = value
        else:
            server[name] = value
    return {**raw, "nodePools": {**raw["nodePools"], **pools}, "servers": {"qwen": server}}


@pytest.mark.parametrize(
    "server",
    [
        {"workload": CHAT, "replicas": 2, "objectives": {"tpot": at(30)}},
        {"workload": {"profile": "chat", "requestRate": 4}, "replicas": 2, "objectives": {"ttft": at(4000)}},
        {"workload": CHAT, "replicas": 8, "objectives": {"maxUsdPerMillionTokens": 5}},
    ],
)
def test_what_is_proposed_is_planned_as_it_says(server: Raw) -> None:
    raw = stack(**server, allowSlow=True)
    plan = planned(raw)
    (slow,) = plan.servers
    assert slow.faster
    doubts = [("meets", "may meet").index(str(one.performance.verdict)) for one in slow.faster]
    assert doubts == sorted(doubts)
    told = "\n".join(warning.fix for warning in plan.warnings)
    for one in slow.faster:
        assert one.what in told
        pools: Raw = {}
        if one.node_pool is not None:
            key, pool = one.node_pool
            pools[key] = {"accelerator": {"type": one.accelerator, "count": one.gpus}, "maxNodes": pool.max_nodes}
        if one.max_nodes is not None:
            key, most = one.max_nodes
            pools[key] = {**raw["nodePools"][key], "maxNodes": most}
        proposed = performance_of(changed(raw, dict(one.changes), pools))
        assert proposed == one.performance
        assert proposed.price.usd_per_hour is not None
        assert one.usd_per_hour == pytest.approx(proposed.price.usd_per_hour * proposed.replicas)
    sure = [one.usd_per_hour or 0.0 for one in slow.faster if one.performance.verdict == "meets"]
    assert sure == sorted(sure)
    doubtful = [one.usd_per_hour or 0.0 for one in slow.faster if one.performance.verdict == "may meet"]
    assert not sure or all(usd < sure[0] for usd in doubtful)


def test_replicas_below_the_need_are_a_warning_with_numbers() -> None:
    raw = stack(workload={"profile": "chat", "requestRate": 4}, replicas=2)
    plan = performance_of(raw)
    assert plan.needed is not None
    assert plan.needed > 2
    (warning,) = planned(raw).warnings
    assert warning.path == "servers.qwen.replicas"
    assert warning.what == f"2 for 4 requests a second, which need {plan.needed}"
    assert warning.why.startswith("at 2 requests a second per replica, of which it serves 0.")
    assert f"(± {plan.throughput.percent:.0f} %): the queue grows, and after 10 minutes a request waits " in warning.why
    assert warning.fix == f"set replicas to {plan.needed}"
    enough = stack(workload={"profile": "chat", "requestRate": 4}, replicas=plan.needed, nodes=plan.needed)
    assert planned(enough).warnings == ()


def test_a_load_that_leaves_no_headroom_is_told_with_the_latency_there() -> None:
    most = LIGHT.highest
    assert most is not None
    (warning,) = planned(stack(workload={"profile": "chat", "requestRate": round(most.load * 0.95, 3)})).warnings
    assert warning.path == "servers.qwen.replicas"
    assert ", of which 80% is given; TTFT p95 " in warning.why


def test_a_queue_that_may_not_grow_is_not_refused() -> None:
    most = performance_of(stack(workload={"profile": "chat", "requestRate": 50})).highest
    assert most is not None

    def asked(rate: float, milliseconds: float) -> Raw:
        workload = {"profile": "chat", "requestRate": round(rate, 3)}
        return stack(workload=workload, objectives={"ttft": at(milliseconds)}, allowSlow=True)

    little, much = performance_of(asked(most.load * 1.1, LARGE)), performance_of(asked(most.load * 1.4, LARGE))
    assert (little.keeps_up, little.verdict) == (False, "may meet")
    assert (much.keeps_up, much.verdict) == (False, "misses")
    assert little.judgements[0].text == "TTFT p95 may grow without end"
    assert much.judgements[0].text == "TTFT p95 grows without end"
    assert performance_of(asked(most.load * 1.1, 2)).verdict == "misses"


def test_more_replicas_than_a_server_may_have_are_not_proposed() -> None:
    (warning,) = planned(stack(workload={"profile": "chat", "requestRate": 100_000})).warnings
    assert warning.fix == "use faster GPUs or several servers; one has 1,000 replicas at most"


def test_a_server_without_pods_is_planned_for_one_and_says_what_is_missing() -> None:
    (warning,) = planned(stack(workload=CHAT, replicas=0)).warnings
    assert warning.what.startswith("0 for 1 requests a second, which need ")
    assert warning.why == "without a replica nobody answers"


def test_a_gpu_without_roofs_is_refused_with_objectives_and_warned_of_without() -> None:
    gpu = {"type": "nvidia-tesla-t4", "count": 1, "memoryMib": 40_000}
    server = {**QWEN, "maxModelLen": 8192, "accelerator": gpu, "image": "vllm/vllm-openai:v0.26.0"}
    with_objectives = outcome_of(existing_stack({"qwen": {**server, "objectives": {"ttft": at(LARGE)}}}))
    assert isinstance(with_objectives, Refusal)
    (problem,) = [one for one in with_objectives.problems if one.path == "servers.qwen.objectives"]
    assert problem.what == "the speed of nvidia-tesla-t4 is not known"
    assert problem.fix == f"use one of: {', '.join(sorted(CATALOG.performance.gpus))}; or remove objectives"
    raw = existing_stack({"qwen": {**server, "workload": CHAT}})
    found = {warning.what: warning for warning in warnings_at(raw, "servers.qwen.workload")}
    assert "the speed of nvidia-tesla-t4 is not known" in found
    assert only_server(raw).performance is None


def test_requests_beyond_the_context() -> None:
    problem = only_problem(stack(maxModelLen=1024, workload=CHAT))
    assert problem.path == "servers.qwen.workload"
    assert problem.what == "a request of chat has 1,149 tokens at the median, and the context 1,024"
    assert problem.fix.startswith("set maxModelLen to ")
    (warning,) = warnings_at(stack(maxModelLen=4096, workload=CHAT, replicas=4), "servers.qwen.workload")
    plan = performance_of(stack(maxModelLen=4096, workload=CHAT, replicas=4))
    assert warning.what == f"{plan.too_long:.1%} of the requests of chat have more tokens than the context of 4,096"
    assert 0.02 < plan.too_long < 0.1
    assert plan.workload.longest <= 4096


def test_a_profile_that_is_none_has_the_nearest_named() -> None:
    problem = only_problem(stack(workload={"profile": "summarization"}))
    assert (problem.path, problem.what, problem.fix) == (
        "servers.qwen.workload.profile",
        "summarization is not a profile of the catalog",
        "did you mean summarisation?",
    )


def test_a_price_that_is_not_known_judges_nothing() -> None:
    raw = autopilot_stack(
        model="Qwen/Qwen2.5-7B-Instruct", maxModelLen=16384, workload=CHAT, objectives={"maxUsdPerMillionTokens": 100}
    )
    plan = performance_of(raw)
    assert plan.price.is_least
    assert plan.verdict == "may meet"
    (warning,) = warnings_at(raw, "servers.gemma.objectives")
    assert warning.what.startswith("cannot be judged: a million output tokens cost at least ")
    assert "premium" in warning.why
    raw["servers"]["gemma"]["objectives"] = {"maxUsdPerMillionTokens": 0.01}
    (problem,) = problems_of(raw)
    assert problem.path == "servers.gemma.objectives.maxUsdPerMillionTokens"
    assert problem.what.startswith("is missed: a million output tokens cost ")
    existing = existing_stack(
        {"qwen": {**QWEN, "maxModelLen": 16384, "objectives": {"maxUsdPerMillionTokens": 100}, "workload": CHAT}}
    )
    (warning,) = warnings_at(existing, "servers.qwen.objectives")
    assert warning.what == "cannot be judged: a million output tokens cost an amount that is not known"
    assert warning.why == "the cluster's own nodes are not in the configuration"


def test_objectives_that_exclude_each_other_say_so() -> None:
    objectives = {"tpot": at(LIGHT.point.tpot_ms.p95 * 1.2), "maxUsdPerMillionTokens": 0.5}
    found = problems_of(stack(workload=CHAT, replicas=4, objectives=objectives))
    (problem,) = [one for one in found if one.path.endswith("maxUsdPerMillionTokens")]
    assert problem.why.startswith("within the other objectives a replica's tokens cost ")


def test_what_the_prediction_leaves_out_promises_nothing() -> None:
    raw = stack(workload=CHAT, replicas=4, speculativeTokens=4, objectives={"ttft": at(LARGE)})
    plan = performance_of(raw)
    assert (plan.verdict, plan.basis, plan.ttft.basis) == ("may meet", "estimated", "estimated")
    (warning,) = warnings_at(raw, "servers.qwen.objectives")
    assert warning.why.endswith(
        "as an estimate: speculative tokens are not counted: how many are right depends on the prompts"
    )


@pytest.mark.parametrize(("burstiness", "basis"), [(5, "transferred"), (5.1, "estimated"), (20, "estimated")])
def test_bursts_that_the_simulated_requests_cannot_show_are_an_estimate(burstiness: float, basis: str) -> None:
    plan = performance_of(stack(workload={**CHAT, "burstiness": burstiness}, replicas=4))
    assert plan.basis == basis
    note = "a burstiness above 5 is more than the 160 requests that are simulated can show"
    assert (note in plan.notes) == (basis == "estimated")


def test_a_server_that_was_not_measured_is_an_estimate() -> None:
    raw = stack(workload=CHAT, replicas=4)
    raw["servers"]["qwen"] = {**raw["servers"]["qwen"], "server": "tgi"}
    plan = performance_of(raw)
    assert (plan.basis, plan.tpot.percent) == ("estimated", CATALOG.performance.bands["estimated"]["tpot_ms.p50"])


def test_a_server_that_does_not_start_has_no_speed() -> None:
    raw = stack(model="google/gemma-7b-it", maxModelLen=8192, allowUnfit=True, workload=CHAT)
    server = only_server(raw)
    assert server.memory is not None
    assert (server.memory.starts, server.performance) == (False, None)


def test_a_queue_that_is_not_simulated_waits_by_littles_law() -> None:
    few, many = (
        performance_of(stack(workload={"profile": "chat", "concurrency": count})) for count in (20_000, 40_000)
    )
    waits = (many.point.ttft_ms.p50 - few.point.ttft_ms.p50) / 1000
    assert waits == pytest.approx(20_000 / few.point.rate, rel=1e-6)


def test_servers_that_are_alike_are_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = performance_plan.plan_performance

    def counted(*arguments: Any, **named: Any) -> PerformancePlan:
        asked.append(arguments)
        return original(*arguments, **named)

    monkeypatch.setattr("gke_llm_inference.planning.performance.plan.plan_performance", counted)
    server = {**QWEN, "maxModelLen": 16384, "workload": CHAT, "replicas": 2}
    servers = {f"s{index:03d}": server for index in range(200)} | {"other": {**server, "replicas": 3}}
    pool = {"accelerator": {"type": "nvidia-l4", "count": 1}, "maxNodes": 1000}
    planned(standard_stack({"gpu": pool}, servers))
    assert len(asked) == 2
    planned(standard_stack({"gpu": pool}, {"one": server}))
    assert len(asked) == 3, "another plan knows nothing of the first"


def test_the_facts_are_those_of_the_catalog() -> None:
    facts = CATALOG.performance
    l4 = facts.gpus["nvidia-l4"]
    twice = l4.model_copy(update={"bandwidth_gb_per_s": 2 * l4.bandwidth_gb_per_s, "bf16_tflops": 2 * l4.bf16_tflops})
    changed_facts = facts.model_copy(update={"gpus": {**facts.gpus, "nvidia-l4": twice}})
    catalog = CATALOG.model_copy(update={"read_performance": lambda: changed_facts})
    plan = plan_stack(parse_settings(stack(workload=CHAT, replicas=4)), IDENTITY, catalog)
    faster = plan.servers[0].performance
    assert faster is not None
    assert faster.point.tpot_ms.p50 < 0.7 * LIGHT.point.tpot_ms.p50
    assert planned(stack(workload=CHAT, replicas=4)).servers[0].performance == LIGHT


TOKENS = st.one_of(
    st.integers(1, 6000),
    st.tuples(st.integers(1, 3000), st.integers(0, 5000)).map(lambda pair: {"p50": pair[0], "p90": sum(pair)}),
)
WORKLOADS = st.fixed_dictionaries(
    {},
    optional={
        "profile": st.sampled_from(["chat", "rag", "code", "summarisation", "agents", "none"]),
        "inputTokens": TOKENS,
        "outputTokens": TOKENS,
        "requestRate": st.one_of(st.floats(0.001, 100_000), st.just(0.0)),
        "concurrency": st.integers(0, 100_000),
        "burstiness": st.floats(0, 20),
        "prefixCacheHitRate": st.floats(0, 0.999),
    },
)
LATENCIES = st.fixed_dictionaries(
    {"milliseconds": st.floats(0.001, 100_000)}, optional={"percentile": st.floats(49, 100)}
)
OBJECTIVES = st.fixed_dictionaries(
    {}, optional={"ttft": LATENCIES, "tpot": LATENCIES, "maxUsdPerMillionTokens": st.floats(0.001, 1000)}
)
SERVERS = st.fixed_dictionaries(
    {"workload": WORKLOADS, "objectives": OBJECTIVES},
    optional={
        "replicas": st.integers(0, 8),
        "allowSlow": st.booleans(),
        "maxNumSeqs": st.integers(1, 300),
        "maxModelLen": st.integers(64, 32_768),
        "kvCacheDtype": st.just("fp8_e4m3"),
        "server": st.sampled_from(["vllm", "tgi"]),
    },
)


@FEW
@given(SERVERS)
def test_any_workload_is_planned_or_refused_and_twice_the_same(server: Raw) -> None:
    raw = stack(**server)
    first, second = outcome_of(raw), outcome_of(raw)
    if isinstance(first, StackPlan) and isinstance(second, StackPlan):
        assert first == second
        assert repr(first.servers[0].performance) == repr(second.servers[0].performance)
    else:
        assert str(first) == str(second)


@FEW
@given(
    profile=st.sampled_from(["chat", "rag", "code", "summarisation"]),
    gpu=st.sampled_from(["nvidia-l4", "nvidia-tesla-a100"]),
    rate=st.floats(0.05, 1.0),
    more=st.floats(1.2, 4.0),
)
def test_more_load_never_lowers_latency(profile: str, gpu: str, rate: float, more: float) -> None:
    low, high = (
        performance_of(stack(gpu, workload={"profile": profile, "requestRate": asked})) for asked in (rate, rate * more)
    )
    # 160 requests that meet by chance in one batch or in two: a step at either load is not the same step.
    assert high.point.tpot_ms.p50 >= low.point.tpot_ms.p50 * (1 - NOISE)
    assert high.point.ttft_ms.p95 >= low.point.ttft_ms.p95 * (1 - NOISE)
    assert high.point.utilization >= low.point.utilization * (1 - NOISE)


@FEW
@given(rate=st.floats(0.2, 20), replicas=st.integers(1, 6), faster=st.floats(1.0, 3.0))
def test_more_replicas_or_a_faster_gpu_never_cost_throughput(rate: float, replicas: int, faster: float) -> None:
    workload = {"profile": "chat", "requestRate": rate}
    few, more = (performance_of(stack(workload=workload, replicas=count)) for count in (replicas, replicas + 1))
    total = [plan.output_tokens_per_second * plan.replicas for plan in (few, more)]
    assert total[1] >= total[0] * (1 - NOISE)
    facts = CATALOG.performance
    l4 = facts.gpus["nvidia-l4"]
    scaled = {
        name: getattr(l4, name) * faster for name in ("bandwidth_gb_per_s", "bf16_tflops", "fp8_tflops", "int8_tflops")
    }
    gpus = {**facts.gpus, "nvidia-l4": l4.model_copy(update=scaled)}
    catalog = CATALOG.model_copy(update={"read_performance": lambda: facts.model_copy(update={"gpus": gpus})})
    raw = stack(workload=workload, replicas=replicas)
    quick = plan_stack(parse_settings(raw), StackIdentity("p", "s", "my-project"), catalog).servers[0].performance
    assert quick is not None
    assert quick.output_tokens_per_second >= few.output_tokens_per_second * (1 - NOISE)
    assert dataclasses.asdict(quick.price) == dataclasses.asdict(few.price)
    if few.needed is not None:
        assert quick.needed is not None
        assert quick.needed <= math.ceil(few.needed * (1 + NOISE))


def test_a_load_beyond_all_replicas_is_refused_with_numbers() -> None:
    raw = stack(workload={"profile": "chat", "requestRate": 100_000}, objectives={"ttft": at(3000)})
    (problem,) = problems_of(raw)
    assert problem.path == "servers.qwen.objectives.ttft"
    assert "TTFT p95 grows without end" in problem.what
    assert problem.fix.startswith("nothing that was tried meets the objectives")
    allowed = stack(workload={"profile": "chat", "requestRate": 100_000}, objectives={"ttft": at(3000)}, allowSlow=True)
    (warning,) = warnings_at(allowed, "servers.qwen.replicas")
    assert warning.fix == "use faster GPUs or several servers; one has 1,000 replicas at most"


def test_no_more_replicas_are_needed_than_requests_are_in_flight() -> None:
    workload = {"profile": "chat", "concurrency": 4}
    plan = performance_of(stack(workload=workload, replicas=4, objectives={"tpot": at(61)}, allowSlow=True))
    assert plan.highest is not None
    assert (plan.highest.load, plan.needed) == (1, 4)
