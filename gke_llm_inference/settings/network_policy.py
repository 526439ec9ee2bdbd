"""Settings of network policies: who may call a server, and whom it may call beside what its features need."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from gke_llm_inference.settings.base import Cidr, Settings, refused

KubernetesLabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        max_length=317,
    ),
]
KubernetesLabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
KubernetesLabels = dict[KubernetesLabelKey, KubernetesLabelValue]
Host = Annotated[
    str,
    StringConstraints(pattern=r"^(\*\.){0,8}([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$", max_length=253),
]
Port = Annotated[int, Field(ge=1, le=65535)]


class NetworkPeer(Settings):
    """Who may call a server: pods by labels of them and of their namespace, or addresses outside of the cluster."""

    namespace_labels: KubernetesLabels | None = None
    """Labels of the pods' namespace, such as kubernetes.io/metadata.name; {} for every one, the servers' if absent."""
    pod_labels: KubernetesLabels | None = None
    """Labels of the pods; all pods of the namespace if absent."""
    cidr: Cidr | None = None
    """Addresses that are no pod's; in place of labels."""

    @property
    def _ways(self) -> tuple[bool, ...]:
        return self.namespace_labels is not None or self.pod_labels is not None, self.cidr is not None

    @model_validator(mode="after")
    def _one_way(self) -> "NetworkPeer":
        if sum(self._ways) != 1:
            raise refused(
                "names two peers" if any(self._ways) else "names no peer",
                "an entry is about pods, found by labels, or about addresses",
                "write two entries" if any(self._ways) else "give podLabels: {} for every pod of the namespace",
            )
        return self


class NetworkDestination(NetworkPeer):
    """Whom a server may call: pods by labels, addresses, or a host by its name."""

    host: Host | None = None
    """Name of a host outside of the cluster, a star for one label; needs a cluster with fqdnNetworkPolicy."""
    ports: Annotated[tuple[Port, ...], Field(strict=False, min_length=1)]
    """TCP ports; of pods their own, not those of a Service."""

    @property
    def _ways(self) -> tuple[bool, ...]:
        return *super()._ways, self.host is not None


class NetworkPolicySettings(Settings):
    """Network policies of a stack's servers: everything is denied but what the features in use need."""

    enabled: bool = True
    """Whether each server has one; without, every pod of the cluster can call it, and it can call everybody."""
    allow_from: Annotated[tuple[NetworkPeer, ...], Field(strict=False)] | None = None
    """Who may call the servers; pods of their namespace if absent, nobody if empty."""
    allow_to: Annotated[tuple[NetworkDestination, ...], Field(strict=False)] = ()
    """Whom the servers may call besides, such as a mirror of Hugging Face."""

    @property
    def callers(self) -> tuple[NetworkPeer, ...]:
        """Who may call: what is stated, or every pod of the servers' namespace."""
        return (NetworkPeer(pod_labels={}),) if self.allow_from is None else self.allow_from


class ServerNetworkPolicySettings(Settings):
    """The network policy of one server, where it differs from the stack's."""

    enabled: bool | None = None
    """Whether the server has one; as in the stack if absent."""
    allow_from: Annotated[tuple[NetworkPeer, ...], Field(strict=False)] | None = None
    """Who may call the server; as in the stack if absent."""
    allow_to: Annotated[tuple[NetworkDestination, ...], Field(strict=False)] | None = None
    """Whom the server may call besides; as in the stack if absent."""


def policy_of(stack: NetworkPolicySettings, server: ServerNetworkPolicySettings | None) -> NetworkPolicySettings:
    """What holds for a server: its own settings, and the stack's for what they leave open."""
    if server is None:
        return stack
    return stack.model_copy(
        update={
            name: value
            for name in ServerNetworkPolicySettings.model_fields
            if (value := getattr(server, name)) is not None
        }
    )
