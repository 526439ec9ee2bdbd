"""The LeaderWorkerSet of a server, as its API spells it (leaderworkerset.x-k8s.io/v1, v0.9.0)."""

from typing import Any

from gke_llm_inference.catalog.kubernetes_names import ZONE_LABEL
from gke_llm_inference.planning.groups.plan import GROUP_INDEX_LABEL, GroupPlan
from gke_llm_inference.planning.plan import ServerPlan
from gke_llm_inference.planning.pod.names import SERVER_CONTAINER
from gke_llm_inference.planning.pod.template import pod_template

# The kubelet puts in what the controller states: no shell stands between SIGTERM and the server.
_LEADER = "$(LWS_LEADER_ADDRESS)"
_RANK = "$(LWS_WORKER_INDEX)"
# Of a worker nobody asks anything; it has no HTTP server to be probed or to drain.
_OF_LEADERS = ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle")


def group_spec(plan: ServerPlan, leader: dict[str, Any], worker: dict[str, Any]) -> dict[str, Any]:
    """The spec of the LeaderWorkerSet.

    Args:
        plan: the server, which has a group.
        leader: template of the leaders.
        worker: template of the workers.

    """
    assert plan.group is not None, "a replica is one pod"
    return {
        "replicas": plan.replicas,
        # Workers must be there before the leader can be ready.
        "startupPolicy": "LeaderCreated",
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {"maxSurge": 0, "maxUnavailable": 1, "partition": 0},
        },
        # The names of the server's own Service are not taken by the headless one.
        "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
        "leaderWorkerTemplate": {
            "size": plan.group.nodes,
            # Ranks that lost one of them wait for it forever: all start again together.
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": leader,
            "workerTemplate": worker,
        },
    }


def leader_template(plan: ServerPlan) -> dict[str, Any]:
    """The template of the pods that answer requests, one in each group."""
    template = _member(plan)
    container = _server(template)
    container["args"] += ["--node-rank=0", f"--master-addr={_LEADER}"]
    return template


def worker_template(plan: ServerPlan) -> dict[str, Any]:
    """The template of the other pods of a group, which only compute."""
    template = _member(plan)
    container = _server(template)
    container["args"] += [f"--node-rank={_RANK}", f"--master-addr={_LEADER}", "--headless"]
    for key in _OF_LEADERS:
        container.pop(key, None)
    # A worker that ends takes the group with it: it stays for as long as the leader has for running answers.
    waits = plan.shutdown.sleep_seconds + plan.shutdown.timeout_seconds
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": waits}}}
    return template


def _member(plan: ServerPlan) -> dict[str, Any]:
    """What leaders and workers have in common."""
    assert plan.group is not None, "a replica is one pod"
    template = pod_template(plan)
    spec = template["spec"]
    # Replicas are spread by what Deployments mark pods with; groups belong together.
    del spec["topologySpreadConstraints"]
    affinity = _affinity(plan, plan.group)
    if affinity:
        spec["affinity"] = affinity
    container = _server(template)
    own = {"name": "VLLM_HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    named = {one["name"]: one for one in (own, *container["env"])}
    container["env"] = [one for _, one in sorted(named.items())]
    return template


def _affinity(plan: ServerPlan, group: GroupPlan) -> dict[str, Any]:
    """Keeps the pods of a group in one zone, where their node pool does not do so by itself."""
    if not group.one_zone:
        return {}
    term = {
        "topologyKey": ZONE_LABEL,
        "labelSelector": {"matchLabels": dict(plan.selector)},
        "matchLabelKeys": [GROUP_INDEX_LABEL],
    }
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _server(template: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in template["spec"]["containers"] if one["name"] == SERVER_CONTAINER)
    return found
