"""Who may talk to a server inside of the cluster, and whom it may talk to."""

from collections.abc import Iterator, Sequence

from gke_llm_inference.planning.exposure import wide_ranges
from gke_llm_inference.policy.model import NoSettings, StackPolicy
from gke_llm_inference.policy.resources import Opaque, Resource, at, items
from gke_llm_inference.policy.workloads import is_server, is_workload, same_namespace, selects

_DIRECTIONS = ("Ingress", "Egress")


def _network_policies(resources: Sequence[Resource], _: NoSettings) -> Iterator[tuple[str | None, str]]:
    policies = [one for one in resources if (one.group, one.kind) == ("networking.k8s.io", "NetworkPolicy")]
    for workload in resources:
        if not is_workload(workload) or not is_server(workload):
            continue
        own = [
            one
            for one in policies
            if same_namespace(one, workload) and selects(one.at("spec", "podSelector"), workload)
        ]
        for direction in _DIRECTIONS:
            if not any(_is_about(one, direction) for one in own):
                yield workload.urn, f"has no NetworkPolicy that denies {direction.lower()}"
        for policy in own:
            for why in _openings(policy):
                yield policy.urn, why


def _is_about(policy: Resource, direction: str) -> bool:
    """Whether a policy isolates pods in a direction, or may."""
    types = policy.at("spec", "policyTypes")
    if types is None:  # Kubernetes adds Ingress always, and Egress where there are rules for it
        return direction == "Ingress" or bool(policy.at("spec", "egress"))
    return (
        isinstance(types, Opaque) or direction in items(types) or any(isinstance(one, Opaque) for one in items(types))
    )


def _openings(policy: Resource) -> Iterator[str]:
    """What a policy lets in that is nobody in particular."""
    for index, rule in enumerate(items(policy.at("spec", "ingress"))):
        peers = at(rule, "from")
        if isinstance(rule, dict) and (peers is None or peers == []):
            yield f"its ingress rule {index} lets in everybody"
        ranges = [at(peer, "ipBlock", "cidr") for peer in items(peers)]
        for one in wide_ranges(ranges):
            yield f"its ingress rule {index} lets in the internet: {one}"


NETWORK_POLICIES = StackPolicy(
    name="network-policies",
    what="Every inference server has a NetworkPolicy for both directions that lets in nobody but named callers.",
    why=(
        "Servers do not authenticate clients inside the cluster, and one that runs code of a model must not reach "
        "everything."
    ),
    fix="remove networkPolicy.enabled: false, and name callers with allowFrom; InferenceServer makes the policy",
    check=_network_policies,
)
