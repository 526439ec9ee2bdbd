"""Each exposure, cluster, server, routing, autoscaling and observability together: planned, and nothing left open."""

import pytest

from gke_llm_inference.planning import StackPlan
from gke_llm_inference.planning.access.exposed import guarded_paths
from gke_llm_inference.planning.pod.template import pod_template
from tests.planning.combinations import COMBINATIONS, EXPOSURES, SERVERS, Combination
from tests.planning.support import CATALOG, planned

ALWAYS = {"noReplica", "crashLoop", "queue", "kvCacheFull", "idleGpus", "capacity"}
TRACED = {"vllm": True, "tgi": False}


@pytest.mark.parametrize("exposure", EXPOSURES)
@pytest.mark.parametrize("server", SERVERS)
def test_every_combination_is_planned_as_each_of_its_settings_says(exposure: str, server: str) -> None:
    chosen = [one for one in COMBINATIONS if (one.exposure, one.server) == (exposure, server)]
    assert len(chosen) == (24 if exposure == "none" else 48)
    for one in chosen:
        plan = planned(one.settings)
        assert _of_autoscaling(plan) == (one.source, None if one.source else 2), one
        assert _of_observability(plan) == _watched(one), one
        assert [(kind.exposure, kind.encrypted) for kind in plan.access.gateways] == (
            [] if one.exposure == "none" else [(one.exposure, True)]
        ), one
        assert [reached.picker is not None for reached in plan.access.servers if reached.routes] == (
            [] if one.exposure == "none" else [one.picked]
        ), one
        assert _unguarded(plan) == [], one
        assert _key_of_pod(plan) == {"name": "keys", "key": "api_key"}, one


def _of_autoscaling(plan: StackPlan) -> tuple[str | None, int | None]:
    """Who counts the pods; how many there are if nobody does."""
    (server,) = plan.servers
    return (server.autoscaling.source, None) if server.autoscaling else (None, server.replicas)


def _of_observability(plan: StackPlan) -> tuple[set[str], int, bool]:
    """The alerts, the number of dashboards, and whether the server is traced."""
    (server,) = plan.servers
    found = plan.observability
    assert found.metrics or not found.alerts
    return {alert.kind for alert in found.alerts}, len(found.dashboards), server.tracing is not None


def _watched(one: Combination) -> tuple[set[str], int, bool]:
    if not one.watched:
        return set(), 0, False
    # TGI counts no preemptions, and has no spans without text.
    return ALWAYS | ({"preemptions"} if one.server == "vllm" else set()), 1, TRACED[one.server]


def _unguarded(plan: StackPlan) -> list[str]:
    """Paths that are let through from anywhere without a key."""
    (server,) = plan.servers
    guarded = guarded_paths(server.version, CATALOG.access[server.kind])
    routes = [route for reached in plan.access.servers for route in reached.routes]
    assert routes or not plan.access.gateways
    return [route.path for route in routes if not guarded.guards(route.path, route.method)]


def _key_of_pod(plan: StackPlan) -> object:
    (server,) = plan.servers
    (container,) = pod_template(server)["spec"]["containers"]
    variable = CATALOG.access[server.kind].key_variable
    return next(one["valueFrom"]["secretKeyRef"] for one in container["env"] if one["name"] == variable)
