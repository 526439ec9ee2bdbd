"""Decides on a server's network policies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.network_facts import NetworkFacts
from gke_llm_inference.planning.groups.plan import GROUP_INDEX_LABEL, LEADER_LABELS
from gke_llm_inference.planning.model_source.source import Reads
from gke_llm_inference.planning.network_policy import features
from gke_llm_inference.planning.network_policy.flows import Direction, Feature, Flow
from gke_llm_inference.planning.network_policy.rules import fqdn_policy_spec, group_policy_spec, policy_spec
from gke_llm_inference.settings import (
    ClusterSettings,
    ExistingCluster,
    NetworkPolicySettings,
    TracingSettings,
)


@dataclass(frozen=True, kw_only=True)
class NetworkPolicyPlan:
    """What a server's network policies allow; everything else is denied, in both directions.

    Attributes:
        flows: what is allowed, sorted.
        selector: labels of the server's pods, and of no others.
        enforced: whether it is known that the cluster enforces them.
        groups: groups of pods that each replica is; None where a replica is one pod.

    """

    flows: tuple[Flow, ...]
    selector: Mapping[str, str]
    enforced: bool = True
    groups: int | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """Spec of the NetworkPolicy; of a server of groups, that of the leaders, which alone are served to."""
        leaders = {} if self.groups is None else LEADER_LABELS
        return policy_spec({**self.selector, **leaders}, self._others)

    @property
    def group_specs(self) -> tuple[dict[str, Any], ...]:
        """Spec of the NetworkPolicy of each group: its pods talk to each other, and call whom the server calls."""
        called = [flow for flow in self._others if flow.direction == "out"]
        return tuple(
            group_policy_spec({**self.selector, GROUP_INDEX_LABEL: str(index)}, called)
            for index in range(self.groups or 0)
        )

    @property
    def _others(self) -> list[Flow]:
        """Flows with others than the pods of the same group."""
        return [flow for flow in self.flows if flow.feature != "group"]

    @property
    def fqdn_spec(self) -> dict[str, Any] | None:
        """Spec of the FQDNNetworkPolicy; None where no flow names a host."""
        return fqdn_policy_spec(self.selector, self._others)

    def features(self, direction: Direction) -> tuple[Feature, ...]:
        """What traffic in a direction is allowed for, sorted."""
        return tuple(sorted({flow.feature for flow in self.flows if flow.direction == direction}))


def plan_network_policy(
    settings: NetworkPolicySettings,
    facts: NetworkFacts,
    *,
    selector: Mapping[str, str],
    port: int,
    reads: Reads,
    keeps_in_bucket: bool = False,
    cluster: ClusterSettings,
    collects_metrics: bool = False,
    native_autoscaling: bool = False,
    proxy_range: str | None = None,
    tracing: TracingSettings | None = None,
    holder: tuple[str, Mapping[str, str]] | None = None,
    picker: Mapping[str, str] | None = None,
    groups: int | None = None,
) -> NetworkPolicyPlan | None:
    """The policies of a server; None where it is to have none.

    Args:
        settings: what holds for the server.
        facts: addresses and labels of everybody that it deals with.
        selector: labels of its pods.
        port: port of its container.
        reads: whom its pods call for the model.
        keeps_in_bucket: whether its pods keep what they compiled in a bucket.
        cluster: the cluster, which says whether policies can name hosts.
        collects_metrics: whether its metrics are collected.
        native_autoscaling: whether GKE reads its load itself.
        proxy_range: range of the proxy-only subnet, where a Gateway leads to the server.
        tracing: where it sends traces; None where it sends none.
        holder: namespace and labels of the pods that hold requests while the server has none; None without such.
        picker: labels of the pods of its endpoint picker; None without one.
        groups: groups of pods that each replica is; None where a replica is one pod.

    """
    if not settings.enabled:
        return None
    flows = [
        *features.calls(settings.allow_from, port),
        *features.probes(port),
        *(features.load(port) if native_autoscaling else ()),
        *(features.metrics(facts, port) if collects_metrics else ()),
        *(features.gateway(facts, proxy_range, port) if proxy_range else ()),
        *(features.holder(*holder, port) if holder else ()),
        *(features.picker(picker, port) if picker else ()),
        *features.dns(facts),
        *features.model(facts, reads, by_name=cluster.fqdn_network_policy),
        *features.identity(facts, reads),
        *(features.compile_cache(facts, by_name=cluster.fqdn_network_policy) if keeps_in_bucket else ()),
        *features.tracing(tracing),
        *features.opened(settings.allow_to),
        *(features.group(selector) if groups is not None else ()),
    ]
    return NetworkPolicyPlan(
        flows=tuple(sorted(dict.fromkeys(flows), key=lambda flow: flow.key)),
        selector=selector,
        enforced=is_enforced(cluster),
        groups=groups,
    )


def is_enforced(cluster: ClusterSettings) -> bool:
    """Whether it is known that a cluster enforces network policies: clusters that are made and Autopilot's do."""
    return not (isinstance(cluster, ExistingCluster) and cluster.profile == "standard")
