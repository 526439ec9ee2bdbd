"""A real API server takes the network policies as they are planned, and they select the server's pods alone."""

import copy
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.support import NAMESPACE, Cluster, Document, client, config_text, documents_of
from tests.planning.support import QWEN, planned, standard_stack
from tests.settings.support import autopilot_stack
from tests.support import Recordings

SETTINGS: Document = {
    "allowFrom": [
        {"podLabels": {}},
        {"namespaceLabels": {}},
        {"namespaceLabels": {"team": "search"}, "podLabels": {"example.com/tier": "Web"}},
        {"cidr": "10.200.0.0/24"},
    ],
    "allowTo": [{"host": "*.mirror.example.com", "ports": [443]}, {"cidr": "10.9.0.0/16", "ports": [8443, 8444]}],
}
KINDS = ("NetworkPolicy", "FQDNNetworkPolicy")


def stack_of(mode: str, **more: Any) -> Document:
    """A stack whose cluster names hosts, with a server that downloads its model and one that reads a bucket."""
    server = {**QWEN, "maxModelLen": 4096}
    mounted = {**server, "modelVolume": {"claim": "weights", "storage": "gcsfuse"}}
    raw = (
        standard_stack({"l4": {"maxNodes": 4}}, {})
        if mode == "standard"
        else {**autopilot_stack(), "huggingFace": {"tokenSource": "existingSecret"}}
    )
    cluster = {**raw["cluster"], "fqdnNetworkPolicy": True}
    token = {"huggingFace": {"tokenSource": "existingSecret"}}
    return {**raw, **token, "cluster": cluster, "servers": {"gemma": server, "mounted": mounted}, **more}


def policies_of(recordings: Recordings, raw: Document) -> list[Document]:
    return [one for one in documents_of(recordings.config(config_text(raw))) if one["kind"] in KINDS]


@pytest.mark.parametrize("mode", ["standard", "autopilot"])
def test_policies_are_taken_as_they_are_planned(
    request: pytest.FixtureRequest, recordings: Recordings, mode: str
) -> None:
    cluster: Cluster = request.getfixturevalue(mode)
    raw = stack_of(mode, networkPolicy=SETTINGS)
    plan = planned(raw)
    cluster.deploy(recordings.config(config_text(raw)), plan)
    for server in plan.servers:
        assert server.network_policy
        for document in policies_of(recordings, raw):
            if document["metadata"]["name"] == server.name:
                spec = (
                    server.network_policy.spec
                    if document["kind"] == "NetworkPolicy"
                    else server.network_policy.fqdn_spec
                )
                # The server adds no default of its own to any field, and loses none.
                assert cluster.apply(document, dry_run=True)["spec"] == spec == document["spec"]
    assert len(policies_of(recordings, raw)) == 4


def test_a_policy_selects_the_pods_of_its_server_alone(standard: Cluster, recordings: Recordings) -> None:
    raw = stack_of("standard")
    plan = planned({**raw, "servers": {"gemma": raw["servers"]["gemma"], "second": raw["servers"]["gemma"]}})
    standard.deploy(
        recordings.config(
            config_text({**raw, "servers": {"gemma": raw["servers"]["gemma"], "second": raw["servers"]["gemma"]}})
        ),
        plan,
    )
    for server in plan.servers:
        expected = {pod.metadata.name for pod in standard.expect_ready(server)}
        (policy,) = [
            one
            for one in client.NetworkingV1Api(standard.api).list_namespaced_network_policy(NAMESPACE).items
            if one.metadata.name == server.name
        ]
        selector = ",".join(f"{key}={value}" for key, value in policy.spec.pod_selector.match_labels.items())
        selected = standard.core.list_namespaced_pod(NAMESPACE, label_selector=selector).items
        assert {pod.metadata.name for pod in selected} == expected


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("NetworkPolicy", ("ingress", 0, "form"), []),
        ("NetworkPolicy", ("egress", 0, "to", 0), {}),
        ("NetworkPolicy", ("policyTypes", 0), "Both"),
        ("FQDNNetworkPolicy", ("egress", 0, "matches", 0), {"name": "a.com", "pattern": "*.a.com"}),
        ("FQDNNetworkPolicy", ("egress", 0, "matches", 0), {"name": "*.a.com"}),
        ("FQDNNetworkPolicy", ("egress", 0, "ports", 0, "port"), 70000),
        ("FQDNNetworkPolicy", ("egress", 0, "port"), 443),
    ],
)
def test_what_is_wrong_in_a_policy_is_refused(
    standard: Cluster, recordings: Recordings, kind: str, path: tuple[str | int, ...], value: Any
) -> None:
    raw = stack_of("standard", networkPolicy=SETTINGS)
    documents = documents_of(recordings.config(config_text(raw)))
    standard.apply(documents[0])
    document = copy.deepcopy(next(one for one in documents if one["kind"] == kind))
    standard.apply(document, dry_run=True)
    target: Any = document["spec"]
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises((DynamicApiError, ValueError)):
        standard.apply(document, dry_run=True)
