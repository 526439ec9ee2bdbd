"""Traces: what a server is told, who may send them, and that no text of a user is in them."""

from typing import Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.settings import Finding, Refusal, parse_settings

ENDPOINT = "http://collector.telemetry.svc.cluster.local:4317"


def planned(servers: dict[str, Any], **tracing: Any) -> StackPlan:
    stack = {
        "cluster": {"mode": "autopilot", "location": "us-central1"},
        "observability": {"tracing": {"endpoint": ENDPOINT, **tracing}},
        "servers": servers,
    }
    return plan_stack(parse_settings(stack), StackIdentity("llm", "prod", "acme-ml"))


def server(kind: str = "vllm", **more: Any) -> dict[str, Any]:
    return {"server": kind, "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096, **more}


def warnings(plan: StackPlan) -> list[Finding]:
    return [one for one in plan.warnings if "trac" in one.what or "otlp" in one.what]


def test_a_server_is_told_where_it_sends_which_share_of_its_requests() -> None:
    [chat] = planned({"chat": server()}, samplingRatio=0.25).servers
    assert f"--otlp-traces-endpoint={ENDPOINT}" in chat.all_arguments
    assert dict(chat.environment).items() >= {
        ("OTEL_SERVICE_NAME", "chat"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    }
    assert chat.network_policy is not None
    [flow] = [one for one in chat.network_policy.flows if one.feature == "tracing"]
    assert (str(flow.peer), [str(port) for port in flow.ports]) == ("every pod of namespace telemetry", ["TCP 4317"])


def test_the_collectors_own_port_and_labels_are_those_of_the_policy() -> None:
    [chat] = planned({"chat": server()}, collectorPort=14317, collectorLabels={"app": "collector"}).servers
    assert chat.network_policy is not None
    [flow] = [one for one in chat.network_policy.flows if one.feature == "tracing"]
    assert str(flow.peer) == "pods app=collector of namespace telemetry"
    assert [port.number for port in flow.ports] == [14317]


@pytest.mark.parametrize(
    ("asked", "what", "why", "fix"),
    [
        (
            server(version="0.10.0"),
            "vllm 0.10.0",
            "its image has no OpenTelemetry, without which it does not start",
            "use 0.17.0 or later",
        ),
        (
            server("tgi"),
            "tgi 3.3.7",
            "its spans hold every token of its answers, and spans go to a tracing backend, where they are kept and "
            "read by others than the users",
            "use vLLM, whose spans hold no text",
        ),
    ],
)
def test_a_server_that_may_send_none_is_not_traced_and_says_so(
    asked: dict[str, Any], what: str, why: str, fix: str
) -> None:
    plan = planned({"chat": asked})
    [chat] = plan.servers
    assert not any("otlp" in one for one in chat.all_arguments)
    assert not any(name.startswith("OTEL") for name, _ in chat.environment)
    assert chat.network_policy is not None
    assert "tracing" not in chat.network_policy.features("out")
    [found] = warnings(plan)
    assert found == Finding(
        path="servers.chat",
        what=f"is not traced, though the stack has observability.tracing: it is {what}",
        why=why,
        fix=fix,
        severity="warning",
    )


def test_arguments_of_ones_own_may_not_send_text() -> None:
    stack = {
        "cluster": {"mode": "autopilot", "location": "us-central1"},
        "servers": {"chat": server("tgi", extraArgs=[f"--otlp-endpoint={ENDPOINT}"])},
    }
    [found] = warnings(plan_stack(parse_settings(stack), StackIdentity("llm", "prod", "acme-ml")))
    assert (found.path, found.what) == (
        "servers.chat.extraArgs[0]",
        "--otlp-endpoint sends every token of its answers to a collector",
    )


def test_an_address_beside_that_of_the_stack_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        planned({"chat": server(extraArgs=[f"--otlp-traces-endpoint={ENDPOINT}"])})
    [problem] = refused.value.problems
    assert (problem.path, problem.what) == (
        "servers.chat.extraArgs[0]",
        "--otlp-traces-endpoint stands beside observability.tracing",
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://collector.telemetry.svc.cluster.local:4317",
        "http://collector.telemetry.svc.cluster.local",
        "http://collector.example.com:4317",
        "http://collector.telemetry.svc:0",
        "http://collector.telemetry.svc:65536",
        "http://collector.telemetry.svc:4317/v1/traces",
        "collector.telemetry.svc:4317",
    ],
)
def test_spans_go_to_a_collector_in_the_cluster_alone(endpoint: str) -> None:
    with pytest.raises(Refusal) as refused:
        planned({"chat": server()}, endpoint=endpoint)
    [problem] = refused.value.problems
    assert problem.path == "observability.tracing.endpoint"
    assert problem.what == "is not the address of a collector in the cluster"
    assert endpoint not in str(problem)


def test_no_attribute_of_a_span_is_a_text() -> None:
    facts = load_catalog().tracing
    assert all(one.attributes or one.text_in_spans for one in facts.values())
    numbers = ("latency", "usage", "request.max_tokens", "request.n", "request.temperature", "request.top_p")
    for attribute in facts["vllm"].attributes:
        assert attribute.removeprefix("gen_ai.").startswith(numbers) or attribute == "gen_ai.request.id"
