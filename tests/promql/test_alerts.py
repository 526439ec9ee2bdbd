"""When alerts fire: each over the day for which it is meant, and over no other part of it."""

from functools import cache

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.planning.pod.names import SERVER_CONTAINER
from gke_llm_inference.settings import parse_settings
from tests.promql.engine import STEP, Engine, Series
from tests.promql.exposed import exposed
from tests.promql.traffic import MINUTE

LENGTH = 250 * MINUTE
WHERE = {"project_id": "acme-ml", "location": "us-central1", "cluster": "llm-prod", "namespace": "llm-inference"}
SCRAPES = LENGTH // STEP + 1


def busy_day(second: int) -> float:
    """Requests a second: idle for 70 minutes, then a load, for 40 minutes more than is served, less, and idle again."""
    minute = second / MINUTE
    if minute < 70 or minute >= 170:
        return 0.0
    if minute < 100:
        return 6.0
    return 12.0 if minute < 140 else 1.0


@cache
def plan(kind: str) -> StackPlan:
    server = {
        "server": kind,
        "model": "Qwen/Qwen2.5-7B-Instruct",
        "maxModelLen": 4096,
        "replicas": 2,
        "allowSlow": True,
        "objectives": {"ttft": {"milliseconds": 2000}, "tpot": {"milliseconds": 60}},
    }
    stack = {
        "cluster": {"mode": "autopilot", "location": "us-central1"},
        "observability": {
            "metrics": {"enabled": True},
            "alerts": {
                "enabled": True,
                "notificationChannels": ["projects/acme-ml/notificationChannels/1"],
            },
        },
        "servers": {"chat": server},
    }
    return plan_stack(parse_settings(stack), StackIdentity("llm", "prod", "acme-ml"))


def series(kind: str, *, gone: range = range(0), restarts: range = range(0)) -> list[Series]:
    """What is collected of the server, and of one beside it that is always busy.

    Args:
        kind: which server it is.
        gone: minutes in which no replica answers the collector.
        restarts: minutes in which a pod restarts, once in each.

    """
    [server] = plan(kind).servers
    found: list[Series] = []
    for job, arrivals in (("chat", busy_day), ("chat-large", _busy)):
        labels = {**WHERE, "job": job, "pod": job}
        found += exposed(server.kind, server.version, labels, arrivals, LENGTH, load_catalog())
        found.append(Series({**labels, "__name__": "up"}, (1.0,) * SCRAPES))
        found.append(_restarts(job, restarts if job == "chat" else range(0)))
    return [_without(one, gone) if one.labels.get("job") == "chat" else one for one in found]


def _busy(_second: int) -> float:
    return 3.0


def _without(one: Series, gone: range) -> Series:
    return Series(
        one.labels, tuple(None if step * STEP // MINUTE in gone else value for step, value in enumerate(one.values))
    )


def _restarts(job: str, minutes: range) -> Series:
    labels = {
        "__name__": "kubernetes_io:container_restart_count",
        "monitored_resource": "k8s_container",
        "project_id": WHERE["project_id"],
        "location": WHERE["location"],
        "cluster_name": WHERE["cluster"],
        "namespace_name": WHERE["namespace"],
        "container_name": SERVER_CONTAINER,
        "pod_name": f"{job}-7d9c5b4f68-ax2z7",
    }
    return Series(
        labels, tuple(float(sum(minute * MINUTE <= step * STEP for minute in minutes)) for step in range(SCRAPES))
    )


def firing(engine: Engine, kind: str, collected: list[Series]) -> dict[str, list[tuple[int, int]]]:
    """First and last minutes of the times in which each alert fires; those that never do are left out."""
    alerts = {one.kind: one.condition for one in plan(kind).observability.alerts_of("chat") if one.condition}
    answers = engine.ask(collected, [one.expression for one in alerts.values()], LENGTH)
    found: dict[str, list[tuple[int, int]]] = {}
    for (name, condition), lines in zip(alerts.items(), answers, strict=True):
        assert len(lines) <= 1, name
        since: int | None = None
        for minute in range(LENGTH // MINUTE + 1):
            if not lines or lines[0].at(minute * MINUTE) is None:
                since = None
                continue
            since = minute if since is None else since
            if (minute - since) * MINUTE >= condition.seconds:
                times = found.setdefault(name, [])
                if times and times[-1][1] == minute - 1:
                    times[-1] = (times[-1][0], minute)
                else:
                    times.append((minute, minute))
    return found


def test_alerts_of_vllm_fire_when_the_load_is_too_much_and_when_there_is_none(engine: Engine) -> None:
    assert firing(engine, "vllm", series("vllm")) == {
        "timeToFirstToken": [(106, 165)],
        "interTokenLatency": [(109, 164)],
        "queue": [(106, 160)],
        "kvCacheFull": [(115, 155)],
        "preemptions": [(111, 165)],
        # An hour without a request, twice.
        "idleGpus": [(60, 70), (237, 250)],
    }


def test_alerts_of_tgi_fire_in_its_own_names(engine: Engine) -> None:
    assert firing(engine, "tgi", series("tgi")) == {
        "interTokenLatency": [(108, 163)],
        "queue": [(106, 160)],
        "kvCacheFull": [(115, 155)],
        "idleGpus": [(60, 70), (237, 250)],
    }


def test_a_server_that_no_collector_reaches_is_told(engine: Engine) -> None:
    fired = firing(engine, "vllm", series("vllm", gone=range(80, 95)))
    # Five minutes until its last series are stale, and two that the alert waits.
    assert fired["noReplica"] == [(87, 94)]
    assert "noReplica" not in firing(engine, "vllm", series("vllm", gone=range(80, 86)))


def test_a_pod_that_restarts_again_and_again_is_told(engine: Engine) -> None:
    assert firing(engine, "vllm", series("vllm", restarts=range(75, 90, 5)))["crashLoop"] == [(85, 119)]
    # A restart an hour is none.
    assert "crashLoop" not in firing(engine, "vllm", series("vllm", restarts=range(10, 250, 60)))
