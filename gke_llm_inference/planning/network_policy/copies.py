"""The network policy of what copies models from Hugging Face to a bucket: it calls, and nobody calls it."""

from collections.abc import Mapping

from gke_llm_inference.catalog.network_facts import NetworkFacts
from gke_llm_inference.planning.network_policy import features
from gke_llm_inference.planning.network_policy.decide import NetworkPolicyPlan, is_enforced
from gke_llm_inference.settings import ClusterSettings, NetworkPolicySettings


def plan_copy_policy(
    settings: NetworkPolicySettings,
    facts: NetworkFacts,
    *,
    selector: Mapping[str, str],
    cluster: ClusterSettings,
) -> NetworkPolicyPlan | None:
    """The policy of the pods that copy models; None where the stack's servers have none either.

    Args:
        settings: what holds for the stack.
        facts: addresses and hosts of everybody that the pods deal with.
        selector: labels of the pods.
        cluster: the cluster, which says whether policies can name hosts.

    """
    if not settings.enabled:
        return None
    flows = [*features.dns(facts), *features.model_copy(facts, by_name=cluster.fqdn_network_policy)]
    return NetworkPolicyPlan(
        flows=tuple(sorted(dict.fromkeys(flows), key=lambda flow: flow.key)),
        selector=selector,
        enforced=is_enforced(cluster),
    )
