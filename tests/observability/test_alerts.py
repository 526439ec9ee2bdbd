"""What raises an alert of which server, from which threshold on, and what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog.alert_facts import ALERT_KINDS
from gke_llm_inference.cli.plan_report import stack_document, stack_text
from gke_llm_inference.planning.observability.decide import samples_of
from gke_llm_inference.planning.observability.promql import Scope, duration, escaped, pods_of
from gke_llm_inference.planning.observability.texts import anchor
from tests.planning.support import CATALOG, QWEN, UNFIT, existing_stack, only_problem, planned, standard_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gke_llm_inference.catalog import ServerKind
    from gke_llm_inference.planning import AlertPlan
    from tests.settings.support import Raw

POOLS = {"l4": {"accelerator": {"type": "nvidia-l4", "count": 1}, "maxNodes": 4}}
CHANNEL = "projects/my-project/notificationChannels/123"
OBJECTIVES = {"ttft": {"milliseconds": 2000, "percentile": 90}, "tpot": {"milliseconds": 250}}
SLOW = {"objectives": OBJECTIVES, "allowSlow": True, **UNFIT}
VLLM = {**QWEN, "maxModelLen": 4096}
TGI = {"server": "tgi", "model": "Qwen/Qwen2.5-7B-Instruct", **UNFIT}
WHERE = 'project_id="my-project",location="us-central1",cluster="gke-llm-inference-test"'
SERIES = f'{{{WHERE},namespace="llm-inference",job="chat"}}'
VERSIONS = [(kind, version) for kind, facts in CATALOG.servers.items() for version in facts.known_versions]


def watched(servers: Raw, pools: Raw | None = None, **alerts: Any) -> Raw:
    raw = standard_stack(POOLS if pools is None else pools, servers)
    settings = {"enabled": True, "notificationChannels": [CHANNEL], **alerts}
    return {**raw, "observability": {"metrics": {"enabled": True}, "alerts": settings}}


def alerts_of(server: Raw, **alerts: Any) -> dict[str, AlertPlan]:
    return {one.kind: one for one in planned(watched({"chat": server}, **alerts)).observability.alerts}


def expressions_of(server: Raw) -> dict[str, str]:
    return {kind: one.condition.expression for kind, one in alerts_of(server).items() if one.condition}


def selectors_in(expression: str) -> Iterator[Any]:
    """Every selector of an expression, by a parser of PromQL."""
    pending = [promql_parser.parse(expression)]
    while pending:
        node = pending.pop()
        if isinstance(node, promql_parser.VectorSelector):
            yield node
        elif isinstance(node, promql_parser.MatrixSelector):
            yield node.vector_selector
        elif isinstance(node, promql_parser.BinaryExpr):
            pending += [node.lhs, node.rhs]
        elif isinstance(node, promql_parser.Call):
            pending += node.args
        elif hasattr(node, "expr"):
            pending.append(node.expr)


def test_nothing_is_told_unless_it_is_asked_for() -> None:
    raw = watched({"chat": VLLM})
    del raw["observability"]["alerts"]
    plan = planned(raw).observability
    assert (plan.alerts, plan.not_watched, plan.channels) == ((), (), ())


def test_a_new_vllm_with_objectives_has_every_alert() -> None:
    assert expressions_of({**VLLM, "version": "0.33.0", **SLOW}) == {
        "noReplica": f"(sum(up{SERIES}) or vector(0)) < 1",
        "crashLoop": (
            'sum(increase(kubernetes_io:container_restart_count{monitored_resource="k8s_container",'
            'project_id="my-project",location="us-central1",cluster_name="gke-llm-inference-test",'
            'namespace_name="llm-inference",container_name="inference-server",'
            'pod_name=~"chat-[a-z0-9]{1,10}-[a-z0-9]{5}"}[45m])) > 2.5'
        ),
        "timeToFirstToken": (
            f"histogram_quantile(0.9, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket{SERIES}[10m]))) > 2"
        ),
        "interTokenLatency": (
            "histogram_quantile(0.95, sum by (le) (rate("
            f"vllm:request_time_per_output_token_seconds_bucket{SERIES}[10m]))) > 0.25"
        ),
        "queue": f"avg(avg_over_time(vllm:num_requests_waiting{SERIES}[5m])) > 2",
        "kvCacheFull": f"max(avg_over_time(vllm:kv_cache_usage_perc{SERIES}[5m])) > 0.95",
        "preemptions": f"sum(increase(vllm:num_preemptions_total{SERIES}[10m])) > 0",
        "idleGpus": (
            f"(sum(max_over_time(vllm:num_requests_running{SERIES}[5m])) == 0) unless "
            f"(sum(increase(vllm:request_success_total{SERIES}[5m])) > 0)"
        ),
    }


def test_an_old_vllm_is_asked_by_its_own_names() -> None:
    found = expressions_of({**VLLM, "version": "0.10.0", **SLOW})
    assert "vllm:gpu_cache_usage_perc" in found["kvCacheFull"]
    assert "vllm:time_per_output_token_seconds_bucket" in found["interTokenLatency"]


def test_tgi_is_asked_for_what_it_measures_and_the_plan_says_what_it_does_not() -> None:
    plan = planned(watched({"chat": {**TGI, **SLOW}})).observability
    found = {one.kind: one.condition.expression for one in plan.alerts if one.condition}
    tokens, limit = (
        f"avg_over_time({name}{SERIES}[5m])" for name in ("tgi_batch_current_max_tokens", "tgi_batch_max_total_tokens")
    )
    assert found["kvCacheFull"] == f"max({tokens} / {limit}) > 0.95"
    assert "tgi_request_mean_time_per_token_duration_bucket" in found["interTokenLatency"]
    assert {one.kind: one.why for one in plan.not_watched} == {
        "timeToFirstToken": "Text Generation Inference does not measure it",
        "preemptions": "Text Generation Inference does not count them",
    }


def test_without_objectives_no_latency_is_told_and_the_plan_says_so() -> None:
    plan = planned(watched({"chat": VLLM})).observability
    assert {one.kind for one in plan.alerts} == set(ALERT_KINDS) - {"timeToFirstToken", "interTokenLatency"}
    assert {one.kind: one.why for one in plan.not_watched} == {
        "timeToFirstToken": "objectives.ttft is not stated",
        "interTokenLatency": "objectives.tpot is not stated",
    }


def test_a_server_without_pods_has_no_alert_and_one_that_scales_to_none_no_alert_on_that() -> None:
    assert set(alerts_of({**VLLM, "replicas": 0})) == {"capacity"}


@pytest.mark.parametrize(("replicas", "told"), [(1, 0), (3, 120)])
def test_an_outage_is_told_when_no_update_explains_it(replicas: int, told: int) -> None:
    full = {"l4": {**POOLS["l4"], "maxNodes": replicas}}
    plan = planned(watched({"chat": {**VLLM, "replicas": replicas}}, full))
    (outage,) = (one.condition for one in plan.observability.alerts if one.kind == "noReplica")
    start = plan.servers[0].start.new_node_seconds
    assert outage is not None
    assert outage.seconds == (told or -(-start // 60) * 60)
    assert str(start) in outage.why or told


def test_idle_gpus_are_told_with_what_they_cost() -> None:
    raw = watched({"chat": {**VLLM, "replicas": 2}})
    (idle,) = (one for one in planned(raw).observability.alerts if one.kind == "idleGpus")
    assert idle.condition is not None
    assert idle.condition.why == "2 nvidia-l4 cost 1.71 USD an hour, 1,246 a month, at list price"
    assert idle.condition.why in idle.text
    autopilot = {
        **watched({"chat": VLLM}),
        "nodePools": {},
        "cluster": {"mode": "autopilot", "location": "us-central1"},
    }
    (idle,) = (one for one in planned(autopilot).observability.alerts if one.kind == "idleGpus")
    assert "1 nvidia-l4 are paid for; their price is not known here" in idle.text


def test_errors_of_the_autoscaler_are_told_once_from_the_cluster_s_log() -> None:
    (capacity,) = planned(watched({"a": VLLM, "b": VLLM})).observability.alerts_of(None)
    assert capacity.condition is None
    assert capacity.log_filter == (
        'resource.type="k8s_cluster"\n'
        'resource.labels.cluster_name="gke-llm-inference-test"\n'
        'resource.labels.location="us-central1"\n'
        'log_id("container.googleapis.com/cluster-autoscaler-visibility")\n'
        'jsonPayload.resultInfo.results.errorMsg.messageId:"scale.up.error."'
    )


@pytest.mark.parametrize(("kind", "version"), VERSIONS)
def test_every_expression_parses_and_asks_for_what_is_collected(kind: ServerKind, version: str) -> None:
    server = {"server": kind, "version": version, "model": "Qwen/Qwen2.5-7B-Instruct", **SLOW}
    collected = samples_of(CATALOG.metrics[kind], version)
    for expression in expressions_of(server).values():
        names = [selector.name for selector in selectors_in(expression)]
        assert names
        assert set(names) <= {*collected, "up", "kubernetes_io:container_restart_count"}


@given(namespace=st.text(max_size=80), job=st.text(min_size=1, max_size=80), cluster=st.none() | st.text(max_size=80))
def test_no_name_breaks_out_of_an_expression(namespace: str, job: str, cluster: str | None) -> None:
    scope = Scope(namespace=namespace, job=job, cluster=cluster)
    expression = (
        f"sum({scope.of('up')}) + sum(rate({scope.of('a:b_total', 300)})) + sum(rate({scope.restarts('c', 90)}))"
    )
    found = sorted(selectors_in(expression), key=lambda selector: str(selector.name))
    assert [one.name for one in found] == ["a:b_total", "kubernetes_io:container_restart_count", "up"]
    for selector in (found[0], found[2]):
        values = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        assert values == {"namespace": namespace, "job": job} | ({} if cluster is None else {"cluster": cluster})


@given(
    name=st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    hashed=st.from_regex(r"[b-z]{6,10}", fullmatch=True),
)
def test_pods_are_those_of_the_server_and_of_no_other_whose_name_goes_on(name: str, hashed: str) -> None:
    pod = f"{name}-{hashed}-"[:58] + "abcde"
    assert re.fullmatch(pods_of(name), pod)
    if len(name) < 40:
        assert not re.fullmatch(pods_of(name), f"{name}-b-{hashed}-abcde")


@pytest.mark.parametrize(("seconds", "text"), [(30, "30s"), (300, "5m"), (3600, "1h"), (5400, "90m"), (86400, "24h")])
def test_durations_are_in_their_largest_unit(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_quotes_and_lines_are_escaped() -> None:
    assert escaped('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


@pytest.mark.parametrize(("kind", "version"), VERSIONS)
def test_every_alert_says_what_to_check_and_to_do_and_fits_what_google_takes(kind: str, version: str) -> None:
    long = "x" * 63
    server = {"server": kind, "version": version, "model": "Qwen/Qwen2.5-7B-Instruct", **SLOW}
    raw = {**watched({long: server}, runbooks="https://wiki.example.com/runbooks"), "namespace": "n" * 63}
    plan = planned(raw).observability
    assert len({one.name for one in plan.alerts}) == len(plan.alerts)
    for alert in plan.alerts:
        assert "\nCheck:\n\n1. " in alert.text
        assert "\nDo:\n\n* " in alert.text
        assert "holds no prompts" in alert.text
        assert alert.text.endswith(f"\nRunbook: docs/runbooks.md#{anchor(alert.kind)}, of gke-llm-inference.")
        assert not re.search(r"\{[a-z]+\}|\$\{", alert.text)
        assert len(alert.text) <= 8192
        assert len(alert.title) <= 512
        assert alert.runbook == f"https://wiki.example.com/runbooks#{anchor(alert.kind)}"
        assert all(re.fullmatch(r"[a-z0-9_-]{1,63}", value) for value in alert.labels.values())
        assert alert.condition is None or alert.condition.seconds % 60 == 0


def refused(raw: Raw, **alerts: Any) -> tuple[str, str, str]:
    problem = only_problem(
        {**raw, "observability": {"metrics": {"enabled": True}, "alerts": {"enabled": True, **alerts}}}
    )
    return problem.path, problem.what, problem.fix


def test_alerts_without_metrics_are_refused() -> None:
    problem = only_problem({**watched({"chat": VLLM}), "observability": {"alerts": {"enabled": True}}})
    assert (problem.path, problem.fix) == ("observability.alerts.enabled", "set observability.metrics.enabled: true")


def test_alerts_need_a_cluster_whose_project_is_known() -> None:
    path, what, _ = refused(existing_stack({"chat": VLLM}))
    assert path == "observability.alerts.enabled"
    assert what == "needs a cluster in Google Cloud, and this one is a context of a kubeconfig"


def test_channels_are_those_of_the_alerts_own_project() -> None:
    raw = standard_stack(POOLS, {"chat": VLLM})
    other = "projects/other-project/notificationChannels/1"
    assert refused(raw, notificationChannels=[CHANNEL, other])[:2] == (
        "observability.alerts.notificationChannels[1]",
        "is a channel of the project other-project, and the alerts are in my-project",
    )
    assert refused(raw, notificationChannels=["oncall@example.com"])[:2] == (
        "observability.alerts.notificationChannels[0]",
        "is not the name of a notification channel",
    )
    assert refused(raw, notificationChannels=[CHANNEL, CHANNEL])[1] == "names a notification channel twice"
    by_number = "projects/123456789/notificationChannels/1"
    assert planned(watched({"chat": VLLM}, notificationChannels=[by_number])).observability.channels == (by_number,)


def warned(raw: Raw) -> list[tuple[str, str]]:
    return [(one.path, one.what) for one in planned(raw).warnings if one.path.startswith("observability")]


def test_alerts_that_reach_nobody_are_a_warning() -> None:
    found = warned(watched({"chat": VLLM}, notificationChannels=[]))
    assert found == [("observability.alerts.notificationChannels", "is empty, so that alerts reach nobody")]
    assert warned(watched({"chat": VLLM})) == []


def test_a_channel_without_alerts_is_a_warning() -> None:
    found = warned(watched({"chat": VLLM}, enabled=False))
    assert found == [("observability.alerts.notificationChannels", "has no effect")]


@pytest.mark.parametrize(
    ("change", "threshold", "why"),
    [
        ({}, 10, "twice the queue that Google's guide scales at; no objective says more"),
        (
            {"autoscaling": {"maxReplicas": 3, "target": {"waitingRequests": 12}}},
            24,
            "twice the queue that the autoscaler aims at, 12 a replica; no objective says more",
        ),
        (
            {"autoscaling": {"maxReplicas": 3}},
            6,
            "twice the queue that the autoscaler aims at, 3 a replica; no objective says more",
        ),
    ],
)
def test_a_queue_is_too_long_by_what_the_autoscaler_aims_at(change: Raw, threshold: int, why: str) -> None:
    plan = planned(watched({"chat": {**VLLM, **change}}))
    (queue,) = (one.condition for one in plan.observability.alerts if one.kind == "queue")
    assert queue is not None
    assert queue.expression.endswith(f" > {threshold}")
    assert (queue.threshold, queue.why) == (f"over {threshold} waiting a replica for 5m", why)


def test_a_cluster_of_another_stack_has_alerts_that_know_no_cluster() -> None:
    raw = {**watched({"chat": VLLM}, {}), "cluster": {"mode": "existing", "stackReference": "acme/platform/prod"}}
    plan = planned(raw)
    assert [one for one in plan.warnings if "tells servers apart by namespace" in one.what]
    assert plan.observability.alerts_of(None) == ()
    (queue,) = (one.condition for one in plan.observability.alerts if one.kind == "queue")
    assert queue is not None
    assert '{namespace="llm-inference",job="chat"}' in queue.expression


def test_the_plan_shows_every_alert_with_its_threshold_and_why() -> None:
    plan = planned(watched({"chat": {**VLLM, **SLOW}}))
    shown = " ".join(stack_text(plan, CATALOG).split())
    assert "alerts noReplica: none for" in shown
    assert "queue: over 2 waiting a replica for 5m (what a replica ends within objectives.ttft: " in shown
    assert "Alerts: 9 policies tell 1 channel; of the cluster: capacity" in shown
    document = stack_document(plan, CATALOG)
    assert [one["alert"] for one in document["servers"]["chat"]["alerts"]] == list(ALERT_KINDS[:-1])
    assert document["alerts"]["notificationChannels"] == [CHANNEL]
    assert document["alerts"]["ofCluster"][0]["logFilter"].startswith('resource.type="k8s_cluster"')


def test_what_to_do_holds_for_servers_that_scale() -> None:
    """`replicas` beside `autoscaling` is refused, so that advice which names one names the other."""
    for facts in CATALOG.alerts.alerts.values():
        for advice in facts.do:
            assert "`replicas" not in advice or "autoscaling" in advice, advice
